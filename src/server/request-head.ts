// The head of a gRPC request: the values of its header fields, checked as grpc-go checks them. It
// knows no stream.

import { isGrpcContentType } from "../grpc/content-type.ts";
import { forwardableRequestMetadata } from "../grpc/header-filter.ts";
import { parseTimeout } from "../grpc/timeout.ts";
import type { HeaderField, HeaderList } from "../wire/field.ts";

/**
 * The values of the header fields of one request. Equal requests share one head: HPACK gives the
 * same list for a block that comes again.
 */
export class RequestHead {
  readonly headers: HeaderList;
  httpMethod = "";
  scheme = "http";
  authority = "";
  path: HeaderField | undefined = undefined;
  contentType: HeaderField | undefined = undefined;
  timeout: string | undefined = undefined;
  /** `grpc-encoding`: how messages with the compressed flag are compressed. */
  messageEncoding: string | undefined = undefined;
  /** The header list with which such a request was last sent on; `forwardedTo` says where. */
  private forwardedList: HeaderList | undefined = undefined;
  private forwardedTo: object | undefined = undefined;
  private metadataList: HeaderList | undefined = undefined;

  constructor(headers: HeaderList) {
    this.headers = headers;
    for (let i = 0; i < headers.length; i++) this.take(headers[i] as HeaderField);
  }

  private take(field: HeaderField): void {
    switch (field.name) {
      case ":method":
        this.httpMethod = field.value;
        return;
      case ":scheme":
        this.scheme = field.value;
        return;
      case ":authority":
        this.authority = field.value;
        return;
      case ":path":
        this.path = field;
        return;
      case "host":
        // RFC 9113 §8.3.1: `:authority` stands before `host`.
        if (this.authority === "") this.authority = field.value;
        return;
      case "content-type":
        this.contentType ??= field;
        return;
      case "grpc-timeout":
        this.timeout ??= field.value;
        return;
      case "grpc-encoding":
        this.messageEncoding ??= field.value;
    }
  }

  /**
   * The fields that travel end to end, in wire order: the metadata of the call. Always the same
   * list.
   */
  get metadata(): HeaderList {
    this.metadataList ??= forwardableRequestMetadata(this.headers);
    return this.metadataList;
  }

  /** Full method name; empty when the client sent no path. */
  get method(): string {
    return this.path?.value ?? "";
  }

  /** The list that `keepForwarded` was given last, if it was given for `origin`. */
  forwarded(origin: object): HeaderList | undefined {
    return this.forwardedTo === origin ? this.forwardedList : undefined;
  }

  /**
   * Such requests are sent on to `origin` with this very list `headers`, unless a call needs
   * another list.
   */
  keepForwarded(origin: object, headers: HeaderList): void {
    this.forwardedTo = origin;
    this.forwardedList = headers;
  }

  /**
   * Why this is not a gRPC request, as one line of text for an HTTP 415; `undefined` for a gRPC
   * request.
   */
  refusal(): string | undefined {
    if (this.httpMethod !== "POST") return `expected method POST, got ${this.httpMethod}`;
    if (this.contentType === undefined) return "expected content-type application/grpc, got none";
    if (isGrpcContentType(this.contentType.value)) return undefined;
    return `expected content-type application/grpc, got ${this.contentType.value}`;
  }

  /**
   * The timeout of the client in milliseconds. Infinity when the client sets none, `undefined` when
   * the field is malformed.
   */
  timeoutMs(): number | undefined {
    return this.timeout === undefined ? Number.POSITIVE_INFINITY : parseTimeout(this.timeout);
  }
}

/** How many heads are remembered: a few methods with the metadata of a few clients repeat. */
const RECENT_HEADS = 8;

/** The heads of the latest lists, from all connections. */
export class RecentHeads {
  readonly #heads: RequestHead[] = [];
  #next = 0;

  /** The head of this very list. */
  of(headers: HeaderList): RequestHead {
    const heads = this.#heads;
    for (let i = 0; i < heads.length; i++) {
      const head = heads[i] as RequestHead;
      if (head.headers === headers) return head;
    }
    const head = new RequestHead(headers);
    heads[this.#next] = head;
    this.#next = (this.#next + 1) % RECENT_HEADS;
    return head;
  }
}
