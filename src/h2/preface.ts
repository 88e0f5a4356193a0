// The first bytes of a client: the preface of HTTP/2 (RFC 9113 §3.4), or another protocol. Other
// protocols are recognised so that people can be told.

import { ErrorCode } from "../wire/error-code.ts";
import { CLIENT_PREFACE } from "./frame.ts";

/** Another protocol in the place of the preface. */
export interface OtherProtocol {
  /** A description for people. */
  readonly rule: string;
  readonly code: ErrorCode;
  /** An answer that its clients understand, if there is any. */
  readonly answer: Buffer | undefined;
}

const NOTHING: Buffer = Buffer.alloc(0);

/**
 * A request line that is longer and still not complete is no longer waited for: RFC 9112 §3 asks
 * for at least 8,000.
 */
const MAX_REQUEST_LINE_BYTES = 8_192;

/**
 * RFC 9112 §3: method, target and version. The line may end anywhere while it arrives. Methods in
 * use are upper case.
 */
const BEGUN_REQUEST_LINE =
  /^[A-Z-]{1,24}(?: [!-\xff]*(?: (?:H(?:T(?:T(?:P(?:\/(?:1(?:\.(?:[0-9]\r?)?)?)?)?)?)?)?)?)?)?$/;
const REQUEST_LINE = /^([A-Z-]{1,24}) [!-\xff]+ (HTTP\/1\.[0-9])\r?$/;

/** ContentType handshake and the major version of every TLS (RFC 8446 §5.1). */
const TLS_HANDSHAKE = 0x16;
const TLS_VERSION = 0x03;

const { PROTOCOL_ERROR, FRAME_SIZE_ERROR } = ErrorCode;
const HTTP1_SERVER: OtherProtocol = {
  rule: "HTTP/1 instead of HTTP/2",
  code: FRAME_SIZE_ERROR,
  answer: undefined,
};
const TLS_SERVER: OtherProtocol = {
  rule: "a TLS alert on a connection without TLS",
  code: FRAME_SIZE_ERROR,
  answer: undefined,
};
const UNKNOWN: OtherProtocol = {
  rule: "the client preface is not HTTP/2's",
  code: PROTOCOL_ERROR,
  answer: undefined,
};
const TLS: OtherProtocol = {
  rule: "TLS on a port without TLS",
  code: PROTOCOL_ERROR,
  answer: undefined,
};

/** Of version 1, or the beginning of version 2 (haproxy.org, proxy-protocol.txt). */
const PROXY: OtherProtocol = {
  rule: "a PROXY protocol header from an address that is not trusted to send one",
  code: PROTOCOL_ERROR,
  answer: undefined,
};

const PROXY_V2 = "\r\n\r\n\0";

/** The beginning of a connection, until it is clear what the peer speaks. */
export interface Preface {
  /** Set when the peer speaks another protocol. */
  readonly other: OtherProtocol | undefined;
  /** The peer speaks HTTP/2. */
  readonly isComplete: boolean;
  /**
   * Reads `chunk` up to `end`. Returns where the preface ends in it; that is `end` as long as the
   * preface is not complete.
   */
  read(chunk: Buffer, end: number): number;
}

export class ClientPreface implements Preface {
  other: OtherProtocol | undefined = undefined;
  isComplete = false;

  /** HTTP/1 can be answered, so its request line is waited for. */
  private readonly answersHttp1: boolean;
  /** The bytes so far, while the protocol is not clear. */
  private seen: Buffer = NOTHING;

  constructor(answersHttp1: boolean) {
    this.answersHttp1 = answersHttp1;
  }

  read(chunk: Buffer, end: number): number {
    const before = this.seen.length;
    const bytes =
      before === 0 ? chunk.subarray(0, end) : Buffer.concat([this.seen, chunk.subarray(0, end)]);
    const length = Math.min(bytes.length, CLIENT_PREFACE.length);
    if (CLIENT_PREFACE.compare(bytes, 0, length, 0, length) === 0) {
      this.isComplete = length === CLIENT_PREFACE.length;
      if (this.isComplete) return length - before;
    } else {
      this.other = this.answersHttp1 ? recognised(bytes) : UNKNOWN;
      if (this.other !== undefined) return end;
    }
    // The memory of the chunk may be read into again.
    this.seen = before === 0 ? Buffer.from(bytes) : bytes;
    return end;
  }
}

/** The protocol that begins with `bytes`; `undefined` as long as more bytes are needed. */
function recognised(bytes: Buffer): OtherProtocol | undefined {
  if (bytes[0] === TLS_HANDSHAKE) {
    if (bytes.length === 1) return undefined;
    return bytes[1] === TLS_VERSION ? TLS : UNKNOWN;
  }
  const text = bytes.toString("latin1", 0, MAX_REQUEST_LINE_BYTES);
  if (text.startsWith("PROXY ")) return PROXY;
  if (PROXY_V2.startsWith(text.slice(0, PROXY_V2.length))) {
    return text.length < PROXY_V2.length ? undefined : PROXY;
  }
  const end = text.indexOf("\n");
  if (end < 0) {
    const mayGoOn = bytes.length < MAX_REQUEST_LINE_BYTES && BEGUN_REQUEST_LINE.test(text);
    return mayGoOn ? undefined : UNKNOWN;
  }
  const [, method, version] = REQUEST_LINE.exec(text.slice(0, end)) ?? [];
  return method === undefined || version === undefined ? UNKNOWN : http1(method, version);
}

function http1(method: string, version: string): OtherProtocol {
  const body = `this port speaks gRPC over HTTP/2, not ${version}\n`;
  const head = [
    "HTTP/1.1 400 Bad Request",
    "content-type: text/plain; charset=utf-8",
    `content-length: ${body.length}`,
    "connection: close",
  ];
  const answer = `${head.join("\r\n")}\r\n\r\n${method === "HEAD" ? "" : body}`;
  const rule = `${version} (${method}) on a port for HTTP/2`;
  return { rule, code: PROTOCOL_ERROR, answer: Buffer.from(answer) };
}

/** `HTT` and the beginning of a TLS alert, read as the length of a frame. */
const HTTP1_AS_LENGTH = 0x485454;
const TLS_ALERT_AS_LENGTH = 0x1503;

/** A server's preface is a frame, but its first bytes tell other protocols from HTTP/2. */
export class ServerPreface implements Preface {
  other: OtherProtocol | undefined = undefined;
  isComplete = false;

  /** Looks at the first octets. They are read again as a frame. */
  read(chunk: Buffer, end: number): number {
    this.isComplete = true;
    const length = end < 3 ? 0 : chunk.readUIntBE(0, 3);
    if (length === HTTP1_AS_LENGTH) this.other = HTTP1_SERVER;
    else if (length >>> 8 === TLS_ALERT_AS_LENGTH) this.other = TLS_SERVER;
    return this.other === undefined ? 0 : end;
  }
}
