// The client side of one node:http2 stream.

import type { ClientHttp2Stream } from "node:http2";
import { ErrorCode } from "../../wire/error-code.ts";
import { type HeaderList, listBytes } from "../../wire/field.ts";
import type { LentBytes } from "../../wire/lent-bytes.ts";
import { RECEIVED } from "../../wire/message-rules.ts";
import type { StreamListener } from "../transport.ts";
import { NodeStream, onError, type StreamOwner } from "./stream.ts";

/** The reports of a stream to its session, beside the questions of `StreamOwner`. */
export interface ClientStreamOwner extends StreamOwner {
  /** HEADERS or DATA goes to the server. */
  sent(): void;
  /** HEADERS or DATA came from the server. */
  heard(): void;
}

export class NodeClientStream extends NodeStream {
  declare readonly session: ClientStreamOwner;
  /** The listener that the stream was opened with. */
  readonly opener: StreamListener;
  private headersSeen = false;
  /**
   * DATA that came in the same read as the response headers: node:http2 emits the headers a tick
   * later.
   */
  private early: Buffer[] | undefined;

  constructor(
    node: ClientHttp2Stream,
    session: ClientStreamOwner,
    listener: StreamListener,
    sendEnded: boolean,
  ) {
    super(node, session);
    this.opener = listener;
    this.listener = listener;
    this.sendEnded = sendEnded;
    // Starts the flow; the event itself goes to `data`.
    node.on("data", onError);
  }

  sendHeaders(): void {
    // Request headers go out with the stream.
  }

  override sendData(chunk: LentBytes, endStream: boolean): number {
    if (!this.over) this.session.sent();
    return super.sendData(chunk, endStream);
  }

  /**
   * node:http2 must know of request trailers before it sends the headers. gRPC has no request
   * trailers, so only END_STREAM is sent.
   */
  sendTrailers(_trailers: HeaderList): void {
    this.sendData(Buffer.alloc(0), true);
  }

  override response(headers: HeaderList, endStream: boolean): void {
    this.session.heard();
    if (this.over || this.headersSeen) return;
    this.headersSeen = true;
    if (this.isTooLarge(headers)) return;
    const { problem, list } = RECEIVED.response(headers);
    if (this.refuses(problem)) return;
    this.recvEnded = endStream;
    this.listener.onHeaders(list, endStream);
    if (endStream) this.dropUnsent();
    const early = this.early;
    if (early === undefined) return;
    this.early = undefined;
    for (const chunk of early) this.listener.onData(chunk, false);
  }

  data(chunk: Buffer): void {
    this.session.heard();
    if (this.over) return;
    this.received(chunk.length);
    if (this.headersSeen) this.listener.onData(chunk, false);
    else if (this.early === undefined) this.early = [chunk];
    else this.early.push(chunk);
  }

  trailers(trailers: HeaderList): void {
    this.session.heard();
    if (this.over || this.recvEnded) return;
    // Data that node:http2 has not emitted yet goes first.
    while (this.node.readableLength > 0 && this.node.read() !== null);
    if (this.isTooLarge(trailers)) return;
    const { problem, list } = RECEIVED.trailers(trailers);
    if (this.refuses(problem)) return;
    this.recvEnded = true;
    this.listener.onTrailers(list);
    this.dropUnsent();
  }

  /**
   * The server has answered completely. Nobody wants a request that still waits for its window. It
   * would keep the stream, and its place in the server's limit, as long as the server gives no
   * credit. `queuedBytes` cannot tell this: node:http2 holds some bytes that it accepted.
   */
  private dropUnsent(): void {
    if (this.sendEnded && !this.node.writableFinished) this.reset(ErrorCode.NO_ERROR);
  }

  /** On the client side node:http2 announces the limit, but does not enforce it. */
  private isTooLarge(fields: HeaderList): boolean {
    const { maxHeaderListBytes } = this.session;
    const bytes = listBytes(fields);
    if (bytes <= maxHeaderListBytes) return false;
    const rule = `header list of ${bytes} bytes, our limit is ${maxHeaderListBytes} bytes (maxHeaderListBytes)`;
    const limit = { name: "maxHeaderListBytes", value: maxHeaderListBytes };
    this.breach(ErrorCode.ENHANCE_YOUR_CALM, "went over a limit", rule, limit);
    return true;
  }

  /**
   * 'end' without trailers: END_STREAM on DATA, or a reset with NO_ERROR. node:http2 makes both
   * look the same.
   */
  ended(): void {
    if (this.over) {
      // The server's reset with NO_ERROR crossed ours. node:http2 has closed the stream, and would
      // wait for ever for the end of the request.
      setImmediate(() => {
        if (this.node.closed) this.node.destroy();
      });
      return;
    }
    if (this.recvEnded) return;
    // node:http2 adds one listener on 'end' for END_STREAM on DATA and one when the stream closes.
    const seen = this.node.listenerCount("end");
    if (this.headersSeen && seen >= (this.node.closed ? 2 : 1)) {
      this.recvEnded = true;
      this.listener.onData(Buffer.alloc(0), true);
      this.dropUnsent();
    } else {
      this.failAsReset();
    }
  }
}
