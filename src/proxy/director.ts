// The director and its answer: where one call goes.

import { checkFunction, checkNumber, checkOneOf, shown } from "../check/check.ts";
import { anything, type OptionChecks, type OptionTable, optionTable } from "../check/options.ts";
import {
  CALL_OPTIONS,
  type CallOptions,
  type ResolvedCallOptions,
  resolveCallOptions,
} from "../client/call-options.ts";
import { ClientConn } from "../client/client-conn.ts";
import type { GrpcError } from "../grpc/error.ts";
import { CallContext } from "../server/call-context.ts";
import type { StreamPeeker } from "./peeker.ts";
import type { CallResult, DestinationResult } from "./results.ts";

/**
 * Decides where a call goes. The director runs after all interceptors. A director that answers at
 * once, without a promise, costs the call no promise.
 *
 * A director that throws refuses the call. The client is sent a `GrpcError` as it is, and UNKNOWN
 * for anything else, without its text. The request waits meanwhile, held back by flow control;
 * `peeker` can look at its first messages.
 *
 * The call does not wait for the director. When the client goes or the deadline passes,
 * `ctx.signal` is aborted, and handlers and interceptors are told. If the director still answers,
 * every `onError` and the finalizer run, and nothing is sent.
 *
 * `onError` and the finalizer run in the async context (`AsyncLocalStorage`) in which the director
 * was called: `run` the handler or director in one. A store that a director enters itself
 * (`enterWith`) may be seen by later calls on the connection. Stores that handlers and interceptors
 * enter are not seen.
 */
export type StreamDirector = (
  ctx: CallContext,
  fullMethodName: string,
  peeker: StreamPeeker,
) => StreamParameters | Promise<StreamParameters>;

/**
 * How much a secondary matters.
 *
 * - `"required"`: nothing is sent to anybody before it is open. If it cannot be opened the call
 *   fails, whatever `onError` says. That is the rule of Go's grpc-proxy.
 * - `"optional"`: the others begin without it. Up to `maxLagBytes` of the request are kept for it.
 *   Its `onError` judges its failures, also a failure to open it. The call does not end before it
 *   has ended.
 * - `"detached"`: a copy that cannot hurt. It delays neither the beginning, nor the client, nor the
 *   end of the call, and its outcome never reaches the client: `onError` is told, but its return
 *   value is ignored. After the call it may go on for `maxDetachedMs` if it has been given the
 *   whole request, as long as the server keeps no more than 64 MiB for all such secondaries. A
 *   client that cancels, or whose deadline passes, ends it with the call; `server.close` and
 *   `conn.close` end it, too. The finalizer and `openCallCount` do not wait for it. Its end is also
 *   published on the channel `grpc-relay:detached:end`.
 */
export type DestinationNeed = "required" | "optional" | "detached";

/**
 * Told once when the call to a destination has failed: it could not be opened, it was reset, or it
 * ended with a status other than OK. The return value decides. An error (this or another) fails the
 * call; nothing, `undefined` or `null` swallows the error. That holds for the primary, too: the
 * client then gets OK, without a message if none came. So a handler that only logs has to return
 * the error. Throwing an error is the same as returning it. When a required destination could not
 * be opened, the handlers of all destinations are told, and none can swallow the error. The return
 * value for a detached destination is ignored.
 *
 * The handler cannot be asynchronous: an error is judged at once. A promise, like anything else
 * that is no error, swallows nothing, and the process is warned. Work that takes time belongs in
 * the `RequestFinalizer`.
 */
export type DestinationErrorHandler = (
  error: GrpcError,
  result: DestinationResult,
  // biome-ignore lint/suspicious/noConfusingVoidType: a handler that only takes note has no return statement
) => Error | null | undefined | void;

/** One backend that takes part in a call. */
export interface Destination {
  /** The connection to the backend, from `dial` or `ClientConn.fromSession`. */
  readonly conn: ClientConn;
  /**
   * Metadata, deadline and cancellation for this destination. Derive the context from the one that
   * the director is given.
   * @default the context of the call: the client's metadata is forwarded as it came
   */
  readonly ctx?: CallContext;
  /**
   * Payload of the first message for this destination, without the length prefix and uncompressed.
   * It is sent at once, in the place of the client's first message, peeked at or not. In a handler
   * it takes the place of all messages that were read. If the client sends no message, this is the
   * only one. An empty buffer is a message of no bytes. Leave the property out to send what the
   * client sends.
   */
  readonly message?: Uint8Array;
  /**
   * Told once when the call to this destination has failed. Without this handler the error counts.
   * With it only its return value counts, for the primary as for secondaries.
   */
  readonly onError?: DestinationErrorHandler;
  /**
   * Conns that are asked, in this order, when `conn` fails without having begun the call: it cannot
   * be reached, it refuses the stream, or it goes away. Each is asked once, while the deadline
   * allows. A call that may have begun is never sent again. `waitForReady` applies only to the last
   * conn.
   * @default none
   */
  readonly fallbacks?: readonly ClientConn[];
  /**
   * Call options of this destination alone. Options that are left out are the call's.
   * `maxRequestMessageBytes` holds in addition to that of the call.
   */
  readonly callOptions?: CallOptions;
  /** How much it matters; only for secondaries. @default "required" */
  readonly need?: DestinationNeed;
  /**
   * How many bytes of the request the secondary may be behind the primary. So many bytes are kept
   * in memory. A secondary further behind is reset and fails with `SECONDARY_LAG`. Without this
   * option an open secondary slows the client down instead, unless it is detached.
   * @default 1_048_576 while an optional one is being opened, and for a detached one
   */
  readonly maxLagBytes?: number;
  /**
   * How long a detached secondary may go on when all others have ended, in milliseconds. Then it is
   * reset and fails with DEADLINE_EXCEEDED. Its own deadline holds in addition.
   * @default 30_000
   */
  readonly maxDetachedMs?: number;
}

/**
 * Runs once when every destination except detached ones has ended, whatever the outcome, before the
 * client is told. An error that it throws replaces OK; an error that the call already has stays.
 * The finalizer also runs when the client has gone, and nothing cancels it.
 */
export type RequestFinalizer = (result: CallResult) => void | Promise<void>;

/** Where a call goes: the director's answer. */
export class StreamParameters {
  readonly #primary: Destination;
  readonly #secondaries: readonly Destination[];
  readonly #requestFinalizer: RequestFinalizer | undefined;
  readonly #callOptions: CallOptions | undefined;
  /** @internal Code of the user is called when a destination or the call ends. */
  readonly hasCallbacks: boolean;
  /** @internal Checked, with defaults for the options that were left out. */
  readonly resolvedCallOptions: ResolvedCallOptions;

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
    checkDestination(primary, "primary", PRIMARY);
    if (!Array.isArray(secondaries)) {
      throw new TypeError(`secondaries: expected an array, got ${shown(secondaries)}`);
    }
    for (const secondary of secondaries) checkDestination(secondary, "secondary", SECONDARY);
    checkFunction("requestFinalizer", requestFinalizer);
    this.#primary = primary;
    this.#secondaries = secondaries;
    this.#requestFinalizer = requestFinalizer;
    this.#callOptions = callOptions;
    this.hasCallbacks =
      requestFinalizer !== undefined ||
      primary.onError !== undefined ||
      (secondaries.length > 0 && secondaries.some(({ onError }) => onError !== undefined));
    this.resolvedCallOptions = resolveCallOptions(callOptions);
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

type SecondaryOption = "need" | "maxLagBytes" | "maxDetachedMs";

/** A primary is always required, and is never behind another destination. */
const OF_PRIMARY: OptionChecks<Pick<Destination, SecondaryOption>> = {
  need: (name, value) => checkOneOf(name, value, ["required"]),
  maxLagBytes: refuse,
  maxDetachedMs: refuse,
};

const OF_SECONDARY: OptionChecks<Pick<Destination, SecondaryOption>> = {
  need: (name, value) => checkOneOf(name, value, ["required", "optional", "detached"]),
  maxLagBytes: (name, value) => checkNumber(name, value, 0),
  maxDetachedMs: (name, value) => checkNumber(name, value, 0),
};

const PRIMARY = destinationTable("primary");
const SECONDARY = destinationTable("secondary");

function destinationTable(role: string): OptionTable {
  return optionTable<Destination>(
    `${role} destination`,
    {
      conn: anything,
      ctx: (name, value) => {
        if (value instanceof CallContext) return;
        throw new TypeError(`${name}: expected a CallContext, got ${shown(value)}`);
      },
      message: (name, value) => {
        if (value instanceof Uint8Array) return;
        throw new TypeError(`${name}: expected a Uint8Array, got ${shown(value)}`);
      },
      onError: checkFunction,
      fallbacks: checkConns,
      callOptions: CALL_OPTIONS,
      ...(role === "primary" ? OF_PRIMARY : OF_SECONDARY),
    },
    { named: (option) => `${option} of the ${role}` },
  );
}

function checkDestination(destination: Destination, role: string, table: OptionTable): void {
  const conn = destination?.conn;
  if (!isConn(conn)) {
    // A misspelt `conn` is named, with the name that was meant.
    if (typeof destination === "object" && destination !== null && !("open" in destination)) {
      table.check(destination);
    }
    const got = destination instanceof ClientConn ? "the conn itself" : shown(conn);
    throw new TypeError(
      `${role} destination: expected { conn } with a conn made by dial(), got ${got}`,
    );
  }
  if (!isConnAlone(destination)) table.check(destination);
}

function checkConns(name: string, value: unknown): void {
  if (Array.isArray(value) && value.every(isConn)) return;
  const wrong = Array.isArray(value) ? value.find((conn) => !isConn(conn)) : value;
  throw new TypeError(`${name}: expected an array of conns made by dial(), got ${shown(wrong)}`);
}

function isConn(conn: { readonly open?: unknown } | undefined): boolean {
  return typeof conn?.open === "function";
}

/** Most destinations are; many of them are made for one call each. */
function isConnAlone(destination: Destination): boolean {
  for (const option in destination) if (option !== "conn") return false;
  return true;
}

function refuse(name: string, value: unknown): void {
  throw new TypeError(`${name}: expected none, got ${shown(value)}`);
}
