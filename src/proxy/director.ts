// What a director is and what it answers: where one call goes.

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
 * Decides where a call goes. It runs after all interceptors. Answering at once, without a promise,
 * costs the call none.
 *
 * Throwing refuses the call: the client is sent a `GrpcError` as it is, for anything else UNKNOWN
 * without a word of what was thrown. The request waits meanwhile, held back by flow control;
 * `peeker` can look at its first messages.
 *
 * The call does not wait for it: when the client goes or the deadline passes, `ctx.signal` says so
 * and handlers and interceptors are told. Should it answer all the same, every `onError` and the
 * finalizer run, and nothing is sent.
 *
 * `onError` and the finalizer run in the async context (`AsyncLocalStorage`) in which it was
 * called: `run` the handler or director in one. What a director enters itself (`enterWith`) may be
 * seen by later calls on the connection; what handlers and interceptors enter is not.
 */
export type StreamDirector = (
  ctx: CallContext,
  fullMethodName: string,
  peeker: StreamPeeker,
) => StreamParameters | Promise<StreamParameters>;

/**
 * How much a secondary matters.
 *
 * - `"required"`: nobody is sent anything before it is open, and if it cannot be opened the call
 *   fails, whatever `onError` says. That is the rule of Go's grpc-proxy.
 * - `"optional"`: the others begin without it. What it has missed is kept for it, up to
 *   `maxLagBytes`. That it cannot be opened is judged by its `onError`, as is every other failure
 *   of it. The call ends when it has ended, too.
 * - `"detached"`: a copy that cannot hurt. It delays neither the beginning, nor the client, nor the
 *   end of the call, and nothing that becomes of it reaches the client: `onError` is told, but what
 *   it returns is ignored. When the call is over it may go on for `maxDetachedMs` if it has been
 *   given the whole request, as long as a server keeps no more than 64 MiB for all that do. A
 *   client that cancels, or whose deadline passes, ends it with the call; `server.close` and
 *   `conn.close` end it, too. The finalizer and `openCallCount` do not wait for it. How it ended is
 *   also told on the channel `grpc-relay:detached:end`.
 */
export type DestinationNeed = "required" | "optional" | "detached";

/**
 * Told once when the call to a destination has failed: it could not be opened, it was reset, or it
 * ended with a status other than OK. What it returns stands for the outcome: an error (this or
 * another) fails the call; nothing, `undefined` or `null` swallows it. That goes for the primary,
 * too: the client then gets OK, without a message if none came. A handler that only logs has to
 * return the error. Throwing is the same as returning what is thrown. When a required destination
 * could not be opened, those of all destinations are told, and none can swallow it. Of a detached
 * one what it returns is ignored.
 *
 * It cannot be asynchronous: an error is judged at once. A promise, as anything else that is no
 * error, swallows nothing and is a warning of the process. What takes time belongs in the
 * `RequestFinalizer`.
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
   * Its own metadata, deadline and cancellation; derive it from the context that the director is
   * given.
   * @default the context of the call: the client's metadata is forwarded as it came
   */
  readonly ctx?: CallContext;
  /**
   * Payload of the first message that it gets, without the length prefix and uncompressed. It is
   * sent at once and takes the place of the client's first message, peeked at or not; in a handler
   * of all messages that were read. A client that sends none changes nothing: this is the only
   * message then. An empty buffer is a message of no bytes; leave the property out to send what the
   * client sends.
   */
  readonly message?: Uint8Array;
  /**
   * Told once when the call to this destination has failed. Without it the error counts; with it
   * only what it returns does, for the primary as for secondaries.
   */
  readonly onError?: DestinationErrorHandler;
  /**
   * Asked in this order when `conn` fails without having begun the call: it cannot be reached, it
   * refuses the stream, or it goes away. Each is asked once, while the deadline allows; nothing
   * that may have begun is sent again. With `waitForReady` only the last is waited for.
   * @default none
   */
  readonly fallbacks?: readonly ClientConn[];
  /**
   * Call options of this destination alone; those that are left out are the call's. Its
   * `maxRequestMessageBytes` holds besides that of the call.
   */
  readonly callOptions?: CallOptions;
  /** How much it matters; only for secondaries. @default "required" */
  readonly need?: DestinationNeed;
  /**
   * How many bytes of the request it may be behind the primary, only for secondaries. They are kept
   * in memory. One that is further behind is reset and fails with `SECONDARY_LAG`. Without this one
   * that is open slows the client down instead, unless it is detached.
   * @default 1_048_576 while an optional one is being opened, and for a detached one
   */
  readonly maxLagBytes?: number;
  /**
   * How long a detached secondary may go on when all others have ended, in milliseconds. Then it is
   * reset and fails with DEADLINE_EXCEEDED. The deadline that it was given holds besides.
   * @default 30_000
   */
  readonly maxDetachedMs?: number;
}

/**
 * Runs once when every destination but detached ones has ended, whatever the outcome, before the
 * client is told. Throwing turns a call that would have ended with OK into that error; an error
 * that the call already has stays. It also runs when the client has gone, and nothing cancels it.
 */
export type RequestFinalizer = (result: CallResult) => void | Promise<void>;

/** Where a call goes: the director's answer. */
export class StreamParameters {
  readonly #primary: Destination;
  readonly #secondaries: readonly Destination[];
  readonly #requestFinalizer: RequestFinalizer | undefined;
  readonly #callOptions: CallOptions | undefined;
  /** @internal Some of the program is called back when a destination or the call ends. */
  readonly hasCallbacks: boolean;
  /** @internal Checked, with the defaults of what was left out. */
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

/** A primary is always required, and all others are behind it. */
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
    // One that is spelt otherwise is named, with the name that was meant.
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

/** As most are, many of them made for one call each. */
function isConnAlone(destination: Destination): boolean {
  for (const option in destination) if (option !== "conn") return false;
  return true;
}

function refuse(name: string, value: unknown): void {
  throw new TypeError(`${name}: expected none, got ${shown(value)}`);
}
