// GOAWAY (RFC 9113 §6.8): how both sides have announced the end of the connection, and which GOAWAY
// may still be sent. The connection decides about the streams.

import { ErrorCode } from "../wire/error-code.ts";
import { connectionError } from "./error.ts";
import { MAX_STREAM_ID } from "./frame.ts";
import type { FrameWriter } from "./frame-writer.ts";
import type { Role } from "./settings.ts";

/** The GOAWAY frames of one connection, sent and received. */
export class GoAways {
  /** Our owner wants the end. A server that has not spoken yet announces it later. */
  isDraining = false;
  /** We have sent the GOAWAY that names the last stream that we take. */
  isFinal = false;

  private readonly role: Role;
  private readonly writer: FrameWriter;
  /** The stream that our GOAWAY named. */
  private lastTakenId = MAX_STREAM_ID;
  private received: { readonly lastStreamId: number; readonly code: number } | undefined =
    undefined;

  constructor(role: Role, writer: FrameWriter) {
    this.role = role;
    this.writer = writer;
  }

  /** Either side has announced the end: no stream is opened any more. */
  get isAnnounced(): boolean {
    return this.isDraining || this.received !== undefined;
  }

  /** The last streams are named. The connection ends when they have ended. */
  get isBinding(): boolean {
    return this.isFinal || this.received !== undefined;
  }

  /** The error code of the peer's GOAWAY; `undefined` while the peer has sent none. */
  get receivedCode(): number | undefined {
    return this.received?.code;
  }

  /**
   * Announces the end. A server announces it in two steps, so that requests under way are still
   * taken.
   * @returns whether `finish` has to follow when the peer has seen the announcement
   */
  announce(): boolean {
    const inTwoSteps = this.role === "server";
    this.writer.goAway(inTwoSteps ? MAX_STREAM_ID : 0, ErrorCode.NO_ERROR, "");
    if (!inTwoSteps) this.isFinal = true;
    return inTwoSteps;
  }

  /**
   * The second step names the last stream that is taken. @returns false when no second step is due
   */
  finish(lastPeerId: number): boolean {
    if (!this.isDraining || this.isFinal) return false;
    this.isFinal = true;
    this.lastTakenId = lastPeerId;
    this.writer.goAway(lastPeerId, ErrorCode.NO_ERROR, "");
    return true;
  }

  /** Says why the connection ends now. */
  sendEnd(lastPeerId: number, code: number, debugData: string): void {
    // The named stream is never higher than the one named before, even if later streams came and
    // were ignored.
    this.writer.goAway(Math.min(lastPeerId, this.lastTakenId), code, debugData);
  }

  /**
   * The peer has sent GOAWAY.
   * @returns whether the peer takes fewer of our streams than was known
   * @throws {H2Error} for a GOAWAY that takes more streams
   */
  recv(lastStreamId: number, code: number): boolean {
    const before = this.received?.lastStreamId ?? Number.POSITIVE_INFINITY;
    if (lastStreamId > before) {
      // "Endpoints MUST NOT increase the value they send in the last stream identifier".
      throw connectionError(ErrorCode.PROTOCOL_ERROR, "GOAWAY with a higher last stream id");
    }
    this.received = { lastStreamId, code };
    return lastStreamId < before;
  }
}
