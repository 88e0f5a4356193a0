// The server side of one node:http2 stream.

import type { ServerHttp2Stream } from "node:http2";
import { ErrorCode } from "../../wire/error-code.ts";
import type { HeaderList } from "../../wire/field.ts";
import type { LentBytes } from "../../wire/lent-bytes.ts";
import { RECEIVED, SENT } from "../../wire/message-rules.ts";
import { HeaderError, type StreamListener } from "../transport.ts";
import {
  checkSent,
  isSingleValueRefusal,
  type NodeHeaders,
  RESPOND_TAKES_LISTS,
  toJoinedNodeObject,
  toNodeList,
  toNodeObject,
} from "./header-lists.ts";
import { checkedTrailers, NodeStream, onError, resetBare, type StreamOwner } from "./stream.ts";

// `sendDate: false`: a relayed response carries the date of its origin, or none.
const WITH_TRAILERS = { endStream: false, waitForTrailers: true, sendDate: false };
const TRAILERS_ONLY = { endStream: true, sendDate: false };

/** The session of a stream. The stream asks it, and tells it when it has sent. */
export interface ServerStreamOwner extends StreamOwner {
  /** HEADERS or DATA goes to the client. */
  sent(): void;
}

export class NodeServerStream extends NodeStream {
  declare readonly session: ServerStreamOwner;
  private readonly server: ServerHttp2Stream;
  private responseTrailers: NodeHeaders | undefined;
  /** node:http2 has seen END_STREAM. It may still hold data that came before. */
  private endSeen: boolean;

  constructor(node: ServerHttp2Stream, session: ServerStreamOwner, endStream: boolean) {
    super(node, session);
    this.server = node;
    this.recvEnded = endStream;
    this.endSeen = endStream;
  }

  /** Lets events flow from now on. */
  listen(listener: StreamListener): void {
    if (this.over) return;
    this.listener = listener;
    const node = this.server;
    // END_STREAM may have come before anyone listened here.
    if (!this.recvEnded) this.endSeen = node.listenerCount("end") > 0 && !node.closed;
    // Starts the flow; the event itself goes to `data`.
    node.on("data", onError);
  }

  sendHeaders(headers: HeaderList, endStream: boolean): void {
    const node = this.server;
    if (this.over || this.sendEnded || node.destroyed || node.closed || node.headersSent) return;
    checkSent(SENT.response(headers), node.session);
    const options = endStream ? TRAILERS_ONLY : WITH_TRAILERS;
    try {
      node.respond(RESPOND_TAKES_LISTS ? toNodeList(headers) : toNodeObject(headers), options);
    } catch (error) {
      if (!isSingleValueRefusal(error)) {
        throw new HeaderError(error instanceof Error ? error.message : String(error), {
          cause: error,
        });
      }
      node.respond(toJoinedNodeObject(headers), options);
    }
    this.session.sent();
    if (endStream) {
      this.sendEnded = true;
      if (!this.recvEnded) setImmediate(closeEarly, this);
    }
  }

  override sendData(chunk: LentBytes, endStream: boolean): number {
    this.session.sent();
    return super.sendData(chunk, endStream);
  }

  sendTrailers(trailers: HeaderList): void {
    if (this.over || this.sendEnded || this.server.destroyed) return;
    this.responseTrailers = checkedTrailers(trailers, this.server.session);
    this.session.sent();
    this.sendEnded = true;
    this.server.end();
  }

  override wantTrailers(): void {
    this.server.sendTrailers(this.responseTrailers ?? {});
    // node:http2 submits the trailers in an immediate; this one comes after it.
    if (!this.recvEnded) setImmediate(closeEarly, this);
  }

  /**
   * RFC 9113 §8.1: a response that is complete before its request asks the client to stop sending.
   */
  closeEarly(): void {
    if (this.over || this.recvEnded) return;
    this.finish();
    resetBare(this.server, ErrorCode.NO_ERROR);
  }

  data(chunk: Buffer): void {
    if (this.over) return;
    this.received(chunk.length);
    const last = this.endSeen && this.server.readableLength === 0;
    if (last) this.recvEnded = true;
    this.listener.onData(chunk, last);
  }

  /**
   * Called a tick before 'end' itself: early enough to forward END_STREAM on the last DATA frame.
   */
  override endListened(): void {
    // When the stream closes, node:http2 marks it as closed before it adds its listener.
    if (this.over || this.recvEnded || this.server.closed) return;
    this.endSeen = true;
    if (this.server.readableLength > 0) return;
    this.recvEnded = true;
    this.listener.onData(Buffer.alloc(0), true);
  }

  /** gRPC has no request trailers, but HTTP/2 has. */
  trailers(trailers: HeaderList): void {
    if (this.over || this.recvEnded) return;
    // Data that node:http2 has not emitted yet goes first.
    while (this.server.readableLength > 0 && this.server.read() !== null);
    const { problem, list } = RECEIVED.trailers(trailers);
    if (this.refuses(problem)) return;
    this.recvEnded = true;
    this.listener.onTrailers(list);
  }

  ended(): void {
    if (this.over || this.recvEnded) return;
    if (this.server.closed && !this.endSeen) {
      this.failAsReset();
      return;
    }
    this.recvEnded = true;
    this.listener.onData(Buffer.alloc(0), true);
  }
}

function closeEarly(stream: NodeServerStream): void {
  stream.closeEarly();
}
