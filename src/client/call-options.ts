// Options of one call to a backend.

import { checkNumber, shown } from "../check/check.ts";
import { Metadata } from "../grpc/metadata.ts";
import { checkAuthority } from "./target.ts";

export interface CallOptions {
  /** The call has to be over this many milliseconds after it began; the client's own deadline still holds. @default no limit of its own */
  readonly timeoutMs?: number;
  /**
   * Wait for the backend to become reachable, within the deadline, instead of failing with UNAVAILABLE while it is not
   * (gRPC "wait for ready"). @default false
   */
  readonly waitForReady?: boolean;
  /** Largest request message in bytes, as it is on the wire; a larger one ends the call with RESOURCE_EXHAUSTED. @default no limit */
  readonly maxRequestMessageBytes?: number;
  /** Largest response message in bytes, as it is on the wire; a larger one ends the call with RESOURCE_EXHAUSTED. @default no limit */
  readonly maxResponseMessageBytes?: number;
  /** Metadata sent besides that of the context; its names replace those of the context. */
  readonly metadata?: Metadata;
  /** `:authority` of this call. @default the connection's */
  readonly authority?: string;
}

export interface ResolvedCallOptions extends CallOptions {
  readonly timeoutMs: number;
  readonly waitForReady: boolean;
  readonly maxRequestMessageBytes: number;
  readonly maxResponseMessageBytes: number;
}

const DEFAULTS: ResolvedCallOptions = {
  timeoutMs: Number.POSITIVE_INFINITY,
  waitForReady: false,
  maxRequestMessageBytes: Number.POSITIVE_INFINITY,
  maxResponseMessageBytes: Number.POSITIVE_INFINITY,
};

/** @throws {TypeError | RangeError} naming the option, what was expected and what came */
export function resolveCallOptions(options: CallOptions | undefined): ResolvedCallOptions {
  if (options === undefined) return DEFAULTS;
  if (typeof options !== "object" || options === null) {
    throw new TypeError(`call options: expected an object, got ${shown(options)}`);
  }
  const { metadata, authority } = options;
  if (metadata !== undefined && !(metadata instanceof Metadata)) {
    throw new TypeError(`call option metadata: expected a Metadata, got ${shown(metadata)}`);
  }
  if (authority !== undefined && authority !== "")
    checkAuthority("call option authority", authority);
  return {
    ...options,
    timeoutMs: atLeastZero("timeoutMs", options),
    waitForReady: options.waitForReady ?? DEFAULTS.waitForReady,
    maxRequestMessageBytes: atLeastZero("maxRequestMessageBytes", options),
    maxResponseMessageBytes: atLeastZero("maxResponseMessageBytes", options),
  };
}

function atLeastZero(
  name: "timeoutMs" | "maxRequestMessageBytes" | "maxResponseMessageBytes",
  options: CallOptions,
): number {
  const value = options[name] ?? DEFAULTS[name];
  checkNumber(name, value, 0);
  return value;
}
