// The results of a proxied call: for `onError`, the request finalizer and statistics.

import type { ClientConn } from "../client/client-conn.ts";
import type { GrpcError } from "../grpc/error.ts";
import type { Metadata } from "../grpc/metadata.ts";

/** The result of the call to one destination. */
export interface DestinationResult {
  readonly role: "primary" | "secondary";
  /** Position among the secondaries, from 0; 0 for the primary. */
  readonly index: number;
  /** The conn that got the call last: the destination's `conn`, or one of its `fallbacks`. */
  readonly conn: ClientConn;
  /** The address of the backend that got the call last; `undefined` when no stream was opened. */
  readonly address: string | undefined;
  /** Streams that were opened for the destination: more than one when the call was sent again. */
  readonly attempts: number;
  /**
   * `false` while the call is under way, as that of a detached destination when the finalizer runs.
   */
  readonly ended: boolean;
  /** The gRPC status that the call ended with; UNKNOWN while it has not ended. */
  readonly status: number;
  /** The `grpc-message` of that status. */
  readonly details: string;
  /** Trailing metadata; empty when the backend sent none. */
  readonly trailers: Metadata;
  /**
   * Why the call counts as failed; `undefined` when it ended with OK. The error stays when
   * `onError` swallows it.
   */
  readonly error: GrpcError | undefined;
  /** The error does not count: `onError` swallowed it, or the destination is detached. */
  readonly swallowed: boolean;
  /** Bytes of request messages, prefixes included, that were passed to the transport. */
  readonly requestBytes: number;
  /** Bytes of response messages, prefixes included, that came from the backend. */
  readonly responseBytes: number;
  /** Complete request messages that were passed to the transport. */
  readonly requestMessages: number;
  /** Complete response messages that came from the backend. */
  readonly responseMessages: number;
}

/** The result of a proxied call, before the finalizer has run. */
export interface CallResult {
  readonly method: string;
  /** The status that the client gets, unless the finalizer changes it. */
  readonly status: number;
  readonly details: string;
  /** `undefined` when the call ends with OK. */
  readonly error: GrpcError | undefined;
  /** The client cancelled or disconnected: it is not sent anything. */
  readonly clientGone: boolean;
  readonly primary: DestinationResult;
  readonly secondaries: readonly DestinationResult[];
  /** From the request's arrival, in milliseconds. */
  readonly durationMs: number;
}

/** A read-only view of the call to a destination: users see these values and nothing else. */
export class DestinationView implements DestinationResult {
  readonly #of: DestinationResult;

  constructor(of: DestinationResult) {
    this.#of = of;
  }

  get role(): "primary" | "secondary" {
    return this.#of.role;
  }

  get index(): number {
    return this.#of.index;
  }

  get conn(): ClientConn {
    return this.#of.conn;
  }

  get address(): string | undefined {
    return this.#of.address;
  }

  get attempts(): number {
    return this.#of.attempts;
  }

  get ended(): boolean {
    return this.#of.ended;
  }

  get status(): number {
    return this.#of.status;
  }

  get details(): string {
    return this.#of.details;
  }

  get trailers(): Metadata {
    return this.#of.trailers;
  }

  get error(): GrpcError | undefined {
    return this.#of.error;
  }

  get swallowed(): boolean {
    return this.#of.swallowed;
  }

  get requestBytes(): number {
    return this.#of.requestBytes;
  }

  get responseBytes(): number {
    return this.#of.responseBytes;
  }

  get requestMessages(): number {
    return this.#of.requestMessages;
  }

  get responseMessages(): number {
    return this.#of.responseMessages;
  }
}
