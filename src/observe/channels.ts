// Events for subscribers, by node:diagnostics_channel: instrumentation needs no dependency on this
// library, and calls cost nothing while nobody listens. A leaf.

import { type Channel, channel, subscribe, unsubscribe } from "node:diagnostics_channel";

/** A channel for one kind of event. */
class EventChannel<Event extends object> {
  readonly #name: string;
  readonly #channel: Channel;

  constructor(name: string) {
    this.#name = name;
    this.#channel = channel(name);
  }

  /** Ask before building an event. */
  get hasSubscribers(): boolean {
    return this.#channel.hasSubscribers;
  }

  publish(event: Event): void {
    this.#channel.publish(event);
  }

  /** @returns a function that ends the subscription */
  subscribe(listener: (event: Event) => void): () => void {
    // Nothing but `publish` puts anything into it, and that takes events.
    const look = (message: unknown): void => listener(message as Event);
    subscribe(this.#name, look);
    return () => unsubscribe(this.#name, look);
  }
}

/**
 * Published on `grpc-relay:call:start` when a gRPC request has arrived, before interceptors and
 * director run.
 */
export interface CallStartEvent {
  readonly method: string;
  readonly authority: string;
  readonly remoteAddress: string;
}

/** Published on `grpc-relay:call:end` when a call has been answered or its client has gone. */
export interface CallEndEvent extends CallStartEvent {
  /** The gRPC status that the client was sent, or would have been sent. */
  readonly status: number;
  /**
   * The `GrpcError` of a status other than OK; `undefined` for OK. Its `message`, `cause` and
   * `stack` have what the client is not told: the address of the backend, the text of TLS, the
   * error that a handler or hook threw.
   */
  readonly error: Error | undefined;
  /** The client cancelled or disconnected first. */
  readonly clientGone: boolean;
  /** From the request's arrival, in milliseconds. */
  readonly durationMs: number;
  /** Bytes of messages, prefixes included. */
  readonly requestBytes: number;
  readonly responseBytes: number;
}

/**
 * Published on `grpc-relay:detached:end` when a detached destination has ended, which may be after
 * its call.
 */
export interface DetachedEndEvent {
  readonly method: string;
  /** The target of its `ClientConn`. */
  readonly target: string;
  /** Position among the secondaries of the call, from 0. */
  readonly index: number;
  /** The gRPC status that it ended with, and the `grpc-message` that came with it. */
  readonly status: number;
  readonly details: string;
  /** `undefined` when it ended with OK. */
  readonly error: Error | undefined;
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
 * - `"transientFailure"`: connecting failed. Calls fail with that error, unless they wait for a
 *   connection (`waitForReady`). After the backoff it connects for the waiting calls, or is idle.
 * - `"shutdown"`: closed for ever, or the session that was handed over has ended.
 */
export type ConnState = "idle" | "connecting" | "ready" | "transientFailure" | "shutdown";

/**
 * The health of one address, by the dial option `healthCheck`.
 *
 * - `"unknown"`: it is not connected, or has not answered yet. Calls wait.
 * - `"serving"`: the latest answer was SERVING. Only now, and when it is unchecked, calls go to it.
 * - `"notServing"`: the latest answer was NOT_SERVING, SERVICE_UNKNOWN or another.
 * - `"failed"`: it could not be asked. It is asked again after a backoff.
 * - `"unchecked"`: it counts as healthy. The server has no health service, or allows one stream
 *   only.
 */
export type AddressHealth = "unknown" | "serving" | "notServing" | "failed" | "unchecked";

/** Published on `grpc-relay:conn:state` when a `ClientConn` changes its state. */
export interface ConnStateEvent {
  readonly target: string;
  readonly state: ConnState;
  /**
   * Why, as one line for people: `a call wants it`, `read ECONNRESET`. May change in any release.
   */
  readonly reason: string;
  /** The `GrpcError`, when the connection failed or was lost. */
  readonly error: Error | undefined;
}

/**
 * Published on `grpc-relay:address:state` when something about one address of a `ClientConn` has
 * changed: its connection has come or gone, its health is another, it was ejected or has returned,
 * it has left the list. Whether the state of the whole conn has changed is told on
 * `grpc-relay:conn:state`.
 */
export interface AddressStateEvent extends ConnStateEvent {
  /** As in `ClientConn.addresses`. */
  readonly address: string;
  /** Why the address has failed, was lost or takes no calls; at that change only. */
  readonly error: Error | undefined;
  /** Not `undefined` while it is ejected by `outlierDetection`. */
  readonly ejectedForMs: number | undefined;
  /** Its health by `healthCheck`; `undefined` without that option. */
  readonly health: AddressHealth | undefined;
}

/**
 * Published on `grpc-relay:refused` when something from a peer is refused and does not become a
 * call: a malformed request, a request that is not gRPC (HTTP 415), a breach of HTTP/2 that ends a
 * stream or a connection, another protocol, a failed handshake, an exceeded bound of ours. Backends
 * are peers, too.
 */
export interface RefusedEvent {
  /** The scope that ended. */
  readonly scope: "connection" | "stream";
  /** `"downstream"`: the peer is a client. `"upstream"`: it is a backend. */
  readonly side: "downstream" | "upstream";
  /** The address of the peer. */
  readonly peer: string;
  /** With `scope: "stream"`. */
  readonly streamId?: number;
  /**
   * One line for people: the broken rule. It may show what the peer sent, and change in any
   * release.
   */
  readonly rule: string;
  /** The option or limit of ours that was exceeded, and its value. */
  readonly limit?: { readonly name: string; readonly value: number };
  /** For a connection that failed before it was HTTP/2: the error that `onConnectionError` gets. */
  readonly cause?: Error;
}

export const callStart: EventChannel<CallStartEvent> = new EventChannel("grpc-relay:call:start");
export const callEnd: EventChannel<CallEndEvent> = new EventChannel("grpc-relay:call:end");
export const detachedEnd: EventChannel<DetachedEndEvent> = new EventChannel(
  "grpc-relay:detached:end",
);
export const connState: EventChannel<ConnStateEvent> = new EventChannel("grpc-relay:conn:state");
export const addressState: EventChannel<AddressStateEvent> = new EventChannel(
  "grpc-relay:address:state",
);
export const refused: EventChannel<RefusedEvent> = new EventChannel("grpc-relay:refused");

/** A refusal as a session reports it. */
interface SessionRefusal {
  readonly scope: RefusedEvent["scope"];
  readonly streamId: number;
  readonly rule: string;
  readonly limit: RefusedEvent["limit"] | undefined;
}

/** Publishes what a session refused from `peer`, if anybody listens. */
export function publishRefusal(
  side: RefusedEvent["side"],
  peer: string,
  refusal: SessionRefusal,
): void {
  if (!refused.hasSubscribers) return;
  const { scope, streamId, rule, limit } = refusal;
  refused.publish({
    scope,
    side,
    peer,
    ...(streamId === 0 ? {} : { streamId }),
    rule,
    ...(limit === undefined ? {} : { limit }),
  });
}
