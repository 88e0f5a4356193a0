// How a proxied call went: for `onError`, the request finalizer and whoever keeps statistics.

import type { ClientConn } from "../client/client-conn.ts";
import type { GrpcError } from "../grpc/error.ts";
import type { Metadata } from "../grpc/metadata.ts";

/** How the call to one destination went. */
export interface DestinationResult {
  readonly role: "primary" | "secondary";
  /** Position among the secondaries, from 0; 0 for the primary. */
  readonly index: number;
  /** Where it was sent last: the destination's `conn`, or the one of its `fallbacks` it came to. */
  readonly conn: ClientConn;
  /** The address of the backend that it was sent to last; `undefined` when no stream was opened. */
  readonly address: string | undefined;
  /** Streams that were opened for it: more than one when it was sent again. */
  readonly attempts: number;
  /** `false` while it is under way: a detached one when the finalizer runs. */
  readonly ended: boolean;
  /** The gRPC status it ended with; UNKNOWN while it has not ended. */
  readonly status: number;
  /** The `grpc-message` that came with it. */
  readonly details: string;
  /** Trailing metadata; empty when it sent none. */
  readonly trailers: Metadata;
  /**
   * Why it counts as failed; `undefined` when it ended with OK. Stays when `onError` swallows it.
   */
  readonly error: GrpcError | undefined;
  /** The error does not count: `onError` swallowed it, or the destination is detached. */
  readonly swallowed: boolean;
  /** Bytes of request messages, prefixes included, that were passed to the transport for it. */
  readonly requestBytes: number;
  /** Bytes of response messages, prefixes included, that came from it. */
  readonly responseBytes: number;
  /** Complete request messages that were passed to the transport for it. */
  readonly requestMessages: number;
  /** Complete response messages that came from it. */
  readonly responseMessages: number;
}

/** How a proxied call went, before the finalizer had its say. */
export interface CallResult {
  readonly method: string;
  /** The status that the client gets unless the finalizer turns it. */
  readonly status: number;
  readonly details: string;
  /** `undefined` when the call ends with OK. */
  readonly error: GrpcError | undefined;
  /** The client cancelled or disconnected: it will not be told anything. */
  readonly clientGone: boolean;
  readonly primary: DestinationResult;
  readonly secondaries: readonly DestinationResult[];
  /** From the request's arrival, in milliseconds. */
  readonly durationMs: number;
}

/** Shows how the call to a destination goes, and nothing else of what knows it. */
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
