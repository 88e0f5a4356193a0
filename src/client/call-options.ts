// Options of one call to a backend.

import type { Metadata } from "../grpc/metadata.ts";

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

/** @throws {RangeError} naming the option, what was expected and what came */
export function resolveCallOptions(options: CallOptions | undefined): ResolvedCallOptions {
  if (options === undefined) return DEFAULTS;
  const resolved = { ...DEFAULTS, ...options };
  for (const name of ["timeoutMs", "maxRequestMessageBytes", "maxResponseMessageBytes"] as const) {
    if (!(resolved[name] >= 0)) {
      throw new RangeError(`${name}: expected a number from 0 up, got ${resolved[name]}`);
    }
  }
  return resolved;
}
