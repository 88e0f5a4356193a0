// One side of one stream of the in-memory transport: its states, its send queue and its windows.

import type { Stream, StreamEnd, StreamListener } from "../../src/transport/transport.ts";
import { ErrorCode } from "../../src/wire/error-code.ts";
import type { HeaderList } from "../../src/wire/field.ts";
import { fieldValue } from "../../src/wire/field.ts";
import { keep, type LentBytes } from "../../src/wire/lent-bytes.ts";
import { SendQueue } from "./memory-queue.ts";
import type { MemorySession } from "./memory-session.ts";

const MAX_FRAME_BYTES = 16_384;

export class MemoryStream implements Stream {
  readonly id: number;
  readonly session: MemorySession;
  listener: StreamListener | undefined;
  readonly #queue = new SendQueue();
  #trailers: HeaderList | undefined;
  /** Bytes that we may send before the peer gives credit. */
  #sendWindowBytes: number;
  /** Bytes that were received and not yet given back. */
  #unacknowledgedBytes = 0;
  #headersSent = false;
  #headersReceived = false;
  /** Whether the owner has ended its side. That end may still be queued. */
  #finished = false;
  #localEnded = false;
  #remoteEnded = false;
  #over = false;

  constructor(session: MemorySession, id: number, sendWindowBytes: number) {
    this.session = session;
    this.id = id;
    this.#sendWindowBytes = sendWindowBytes;
  }

  get queuedBytes(): number {
    return this.#over ? 0 : this.#queue.bytes;
  }

  sendHeaders(headers: HeaderList, endStream: boolean): void {
    this.session.check(headers);
    if (this.#over || this.#finished) return;
    this.#headersSent = true;
    this.#finished = endStream;
    this.session.send({ type: "headers", streamId: this.id, headers, endStream });
    if (endStream) this.#endLocal();
  }

  sendData(chunk: LentBytes, endStream: boolean): number {
    if (this.#over || this.#finished) return 0;
    if (this.session.role === "server" && !this.#headersSent) {
      throw new Error("sendData before sendHeaders");
    }
    this.#finished = endStream;
    this.#queue.push(keep(chunk), endStream);
    // Bytes that were queued before go first, so bytes of this chunk are accepted only beyond them.
    const before = this.#queue.bytes - chunk.length;
    const accepted = this.#flush();
    return Math.max(0, accepted - before);
  }

  sendTrailers(trailers: HeaderList): void {
    this.session.check(trailers);
    if (this.#over || this.#finished) return;
    this.#finished = true;
    this.#trailers = trailers;
    this.#flush();
  }

  reset(code: number): void {
    if (this.#over) return;
    this.session.send({ type: "reset", streamId: this.id, code });
    this.close();
  }

  acknowledge(bytes: number): void {
    if (this.#over || this.#remoteEnded) return;
    const credit = Math.min(bytes, this.#unacknowledgedBytes);
    if (credit === 0) return;
    this.#unacknowledgedBytes -= credit;
    this.session.send({ type: "windowUpdate", streamId: this.id, bytes: credit });
  }

  // Events from the session

  /** The peer gave `bytes` of credit, or the connection has some again. */
  recvCredit(bytes: number): void {
    this.#sendWindowBytes += bytes;
    if (this.#over || this.#queue.empty) return;
    const accepted = this.#flush();
    if (accepted > 0) this.listener?.onWritable(accepted);
  }

  /** The request's headers. The listener does not exist yet: the session calls `onStream`. */
  recvRequest(endStream: boolean): void {
    this.#headersReceived = true;
    this.#remoteEnded = endStream;
  }

  recvHeaders(headers: HeaderList, endStream: boolean): void {
    const status = fieldValue(headers, ":status");
    if (!this.#headersReceived && status?.startsWith("1") === true) return;
    const trailing = this.#headersReceived;
    this.#headersReceived = true;
    if (endStream) this.#endRemote();
    if (trailing) this.listener?.onTrailers(headers);
    else this.listener?.onHeaders(headers, endStream);
  }

  recvData(chunk: Buffer, endStream: boolean): void {
    this.#unacknowledgedBytes += chunk.length;
    if (endStream) this.#endRemote();
    this.listener?.onData(chunk, endStream);
  }

  /** The stream is over for a reason that is not ours. */
  fail(end: StreamEnd): void {
    if (this.#over) return;
    this.close();
    this.listener?.onReset(end);
  }

  close(): void {
    this.#over = true;
    this.#queue.clear();
    this.session.forget(this);
  }

  #flush(): number {
    let accepted = 0;
    while (!this.#queue.empty) {
      const room = Math.min(this.#sendWindowBytes, this.session.sendWindowBytes, MAX_FRAME_BYTES);
      const piece = this.#queue.shift(Math.max(0, room));
      if (piece === undefined) break;
      this.#sendWindowBytes -= piece.chunk.length;
      this.session.sendWindowBytes -= piece.chunk.length;
      accepted += piece.chunk.length;
      this.session.send({ type: "data", streamId: this.id, ...piece });
      if (piece.endStream) this.#endLocal();
    }
    if (this.#queue.empty && this.#trailers !== undefined && !this.#localEnded) {
      const headers = this.#trailers;
      this.session.send({ type: "headers", streamId: this.id, headers, endStream: true });
      this.#endLocal();
    }
    return accepted;
  }

  #endLocal(): void {
    this.#localEnded = true;
    if (this.#remoteEnded) {
      this.close();
    } else if (this.session.role === "server") {
      // RFC 9113 §8.1: the response is complete, and the rest of the request does not matter.
      this.reset(ErrorCode.NO_ERROR);
    }
  }

  #endRemote(): void {
    this.#remoteEnded = true;
    if (this.#localEnded) this.close();
  }
}
