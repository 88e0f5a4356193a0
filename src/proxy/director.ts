// What a director is and what it answers: where one call goes.

import { checkFunction, checkNames, checkNumber, checkObject, shown } from "../check/check.ts";
import type { CallOptions } from "../client/call-options.ts";
import { ClientConn } from "../client/client-conn.ts";
import type { GrpcError } from "../grpc/error.ts";
import { CallContext } from "../server/call-context.ts";
import type { StreamPeeker } from "./peeker.ts";
import type { CallResult, DestinationResult } from "./results.ts";

/**
 * Decides where a call goes. It runs after all interceptors. Answering at once, without a promise, costs the call none.
 *
 * Throwing refuses the call: a `GrpcError` gives its status, anything else UNKNOWN with its message, as in Go.
 * The request waits meanwhile, held back by flow control; `peeker` can look at its first messages.
 *
 * The call does not wait for it: when the client goes or the deadline passes, `ctx.signal` says so and handlers and interceptors
 * are told. Should it answer all the same, every `onError` and the finalizer run, and nothing is sent.
 */
export type StreamDirector = (
  ctx: CallContext,
  fullMethodName: string,
  peeker: StreamPeeker,
) => StreamParameters | Promise<StreamParameters>;

/** What to do with a secondary that takes the request more slowly than the primary. */
export interface LagPolicy {
  /**
   * - `"backpressure"`: the client is slowed down to it.
   * - `"drop"`: it is reset and its `onError` told; what that returns is ignored, the call goes on.
   * - `"fail"`: it is reset and its `onError` told; the call fails unless that swallows the error.
   */
  readonly policy: "backpressure" | "drop" | "fail";
  /**
   * How many bytes of the request it may be behind the primary, for `"drop"` and `"fail"`. They are kept in memory.
   * @default 1_048_576
   */
  readonly maxLagBytes?: number;
}

/**
 * Told once when the call to a destination has failed: it could not be opened, it was reset, or it ended with a status other than OK.
 * What it returns stands for the outcome: an error (this or another) fails the call; nothing, `undefined` or `null` swallows it.
 * That goes for the primary, too: the client then gets OK, without a message if none came. A handler that only logs has to
 * return the error. Throwing is the same as returning what is thrown. When a destination could not be opened, those of all
 * destinations are told, and none can swallow it.
 *
 * It cannot be asynchronous: an error is judged at once. A promise, as anything else that is no error, swallows nothing and is a
 * warning of the process. What takes time belongs in the `RequestFinalizer`.
 */
export type DestinationErrorHandler = (
  error: GrpcError,
  result: DestinationResult,
  // biome-ignore lint/suspicious/noConfusingVoidType: a handler that only takes note has no return statement
) => Error | null | undefined | void;

/** One backend that takes part in a call. */
export interface Destination {
  /** The connection to it, from `dial` or `ClientConn.fromSession`. */
  readonly conn: ClientConn;
  /**
   * Its own metadata, deadline and cancellation; derive it from the context that the director is given.
   * @default the context of the call: the client's metadata is forwarded as it came
   */
  readonly ctx?: CallContext;
  /**
   * Payload of the first message that it gets, without the length prefix and uncompressed. It is sent at once and takes the place of the
   * client's first message, peeked at or not; in a handler of all messages that were read. A client that sends none changes nothing:
   * this is the only message then. An empty buffer is a message of no bytes; leave the property out to send what the client sends.
   */
  readonly message?: Uint8Array;
  /**
   * Told once when the call to this destination has failed. Without it the error counts; with it only what it returns does, for
   * the primary as for secondaries.
   */
  readonly onError?: DestinationErrorHandler;
  /** Only for secondaries. @default { policy: "backpressure" } */
  readonly lag?: LagPolicy;
}

/**
 * Runs once when every destination has ended, whatever the outcome, before the client is told. Throwing turns a call that would have
 * ended with OK into that error; an error that the call already has stays. It also runs when the client has gone, and
 * nothing cancels it.
 */
export type RequestFinalizer = (result: CallResult) => void | Promise<void>;

/** Where a call goes: the director's answer. */
export class StreamParameters {
  readonly #primary: Destination;
  readonly #secondaries: readonly Destination[];
  readonly #requestFinalizer: RequestFinalizer | undefined;
  readonly #callOptions: CallOptions | undefined;

  /**
   * @param primary its responses go to the client
   * @param secondaries get the same request; their responses are read and dropped
   * @throws {TypeError | RangeError} naming what was expected and what came
   */
  constructor(
    primary: Destination,
    secondaries: readonly Destination[] = NO_DESTINATIONS,
    requestFinalizer?: RequestFinalizer,
    callOptions?: CallOptions,
  ) {
    checkDestination(primary, "primary");
    if (!Array.isArray(secondaries)) {
      throw new TypeError(`secondaries: expected an array, got ${shown(secondaries)}`);
    }
    for (const secondary of secondaries) checkDestination(secondary, "secondary");
    checkFunction("requestFinalizer", requestFinalizer);
    this.#primary = primary;
    this.#secondaries = secondaries;
    this.#requestFinalizer = requestFinalizer;
    this.#callOptions = callOptions;
  }

  primary(): Destination {
    return this.#primary;
  }

  secondaries(): readonly Destination[] {
    return this.#secondaries;
  }

  requestFinalizer(): RequestFinalizer | undefined {
    return this.#requestFinalizer;
  }

  callOptions(): CallOptions | undefined {
    return this.#callOptions;
  }
}

const NO_DESTINATIONS: readonly Destination[] = [];

function checkDestination(destination: Destination, role: string): void {
  const { conn, ctx, message, onError, lag } = destination ?? {};
  if (typeof conn?.open !== "function") {
    const got = destination instanceof ClientConn ? "the conn itself" : shown(conn);
    throw new TypeError(
      `${role} destination: expected { conn } with a conn made by dial(), got ${got}`,
    );
  }
  if (ctx !== undefined && !(ctx instanceof CallContext)) {
    throw new TypeError(`ctx of the ${role}: expected a CallContext, got ${shown(ctx)}`);
  }
  if (message !== undefined && !(message instanceof Uint8Array)) {
    throw new TypeError(`message of the ${role}: expected a Uint8Array, got ${shown(message)}`);
  }
  checkFunction(`onError of the ${role}`, onError);
  if (lag !== undefined) checkLag(lag);
}

function checkLag(lag: LagPolicy): void {
  checkObject("lag", lag);
  checkNames("lag", lag, ["policy", "maxLagBytes"]);
  if (!POLICIES.includes(lag.policy)) {
    throw new TypeError(
      `lag.policy: expected one of ${POLICIES.join(", ")}, got ${shown(lag.policy)}`,
    );
  }
  if (lag.maxLagBytes !== undefined) checkNumber("lag.maxLagBytes", lag.maxLagBytes, 0);
}

const POLICIES: readonly string[] = ["backpressure", "drop", "fail"];
