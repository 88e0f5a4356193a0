// What happens, for whoever subscribes: node:diagnostics_channel, so that instrumentation needs no dependency on us and
// calls cost nothing while nobody listens. A leaf.

import { type Channel, channel } from "node:diagnostics_channel";

/** A channel for one kind of event. */
export class EventChannel<Event extends object> {
  readonly #channel: Channel;

  constructor(name: string) {
    this.#channel = channel(name);
  }

  /** Ask before building an event. */
  get hasSubscribers(): boolean {
    return this.#channel.hasSubscribers;
  }

  publish(event: Event): void {
    this.#channel.publish(event);
  }
}

/** Published on `grpc-relay:call:start` when a gRPC request has arrived, before interceptors and director run. */
export interface CallStartEvent {
  readonly method: string;
  readonly authority: string;
  readonly remoteAddress: string;
}

/** Published on `grpc-relay:call:end` when a call has been answered or its client has gone. */
export interface CallEndEvent extends CallStartEvent {
  /** The gRPC status that the client was told, or would have been. */
  readonly status: number;
  /** The client cancelled or disconnected first. */
  readonly clientGone: boolean;
  /** From the request's arrival, in milliseconds. */
  readonly durationMs: number;
  /** Bytes of messages, prefixes included. */
  readonly requestBytes: number;
  readonly responseBytes: number;
}

/**
 * Connectivity, as gRPC names it (grpc/grpc doc/connectivity-semantics-and-api.md).
 *
 * - `"idle"`: not connected; the next call, or `connect`, makes it connect.
 * - `"connecting"`: name, socket, TLS and the server's SETTINGS are under way; calls wait.
 * - `"ready"`: calls are sent.
 * - `"transientFailure"`: connecting failed; calls fail with that error, unless they wait for a connection (`waitForReady`). When
 *   the backoff is over it connects for those, or is idle.
 * - `"shutdown"`: closed, or the session that it was made of has ended; for good.
 */
export type ConnState = "idle" | "connecting" | "ready" | "transientFailure" | "shutdown";

/** Published on `grpc-relay:conn:state` when a `ClientConn` changes its state. */
export interface ConnStateEvent {
  readonly target: string;
  readonly state: ConnState;
  /** Why, when it failed. */
  readonly error: Error | undefined;
}

export const callStart: EventChannel<CallStartEvent> = new EventChannel("grpc-relay:call:start");
export const callEnd: EventChannel<CallEndEvent> = new EventChannel("grpc-relay:call:end");
export const connState: EventChannel<ConnStateEvent> = new EventChannel("grpc-relay:conn:state");
