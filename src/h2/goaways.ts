// GOAWAY (RFC 9113 §6.8): what either side has said of the end of the connection, and what it may
// still say. What becomes of the streams is the connection's.

import { ErrorCode } from "../wire/error-code.ts";
import { connectionError } from "./error.ts";
import { MAX_STREAM_ID } from "./frame.ts";
import type { FrameWriter } from "./frame-writer.ts";
import type { Role } from "./settings.ts";

/** The GOAWAY frames of one connection, sent and received. */
export class GoAways {
  /** Our owner wants the end; a server that has not spoken yet says so later. */
  isDraining = false;
  /** The GOAWAY that names the last stream that we take was sent. */
  isFinal = false;

  private readonly role: Role;
  private readonly writer: FrameWriter;
  /** The stream that it named. */
  private lastTakenId = MAX_STREAM_ID;
  private received: { readonly lastStreamId: number; readonly code: number } | undefined =
    undefined;

  constructor(role: Role, writer: FrameWriter) {
    this.role = role;
    this.writer = writer;
  }

  /** Some end is announced, by either side: no stream is to be opened any more. */
  get isAnnounced(): boolean {
    return this.isDraining || this.received !== undefined;
  }

  /** It is said which streams are the last ones. When they have ended, so has the connection. */
  get isBinding(): boolean {
    return this.isFinal || this.received !== undefined;
  }

  /** The error code of the peer's; `undefined` while it has sent none. */
  get receivedCode(): number | undefined {
    return this.received?.code;
  }

  /**
   * Says that the end comes. A server does it in two steps, so that requests under way still count.
   * @returns whether `finish` has to follow when the peer has seen it
   */
  announce(): boolean {
    const inTwoSteps = this.role === "server";
    this.writer.goAway(inTwoSteps ? MAX_STREAM_ID : 0, ErrorCode.NO_ERROR, "");
    if (!inTwoSteps) this.isFinal = true;
    return inTwoSteps;
  }

  /** The second step names the last stream that is taken. @returns false when it is not due */
  finish(lastPeerId: number): boolean {
    if (!this.isDraining || this.isFinal) return false;
    this.isFinal = true;
    this.lastTakenId = lastPeerId;
    this.writer.goAway(lastPeerId, ErrorCode.NO_ERROR, "");
    return true;
  }

  /** Says why the connection ends now. */
  sendEnd(lastPeerId: number, code: number, debugData: string): void {
    // Never higher than it was said before, whatever came since and was ignored.
    this.writer.goAway(Math.min(lastPeerId, this.lastTakenId), code, debugData);
  }

  /**
   * The peer has sent one.
   * @returns whether it takes fewer of our streams than was known
   * @throws {H2Error} for one that takes more
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
