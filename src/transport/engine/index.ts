// The `engine` transport: our own HTTP/2 on node:net and node:tls sockets.

import { type OptionCheck, OptionTable, optionTable } from "../../check/options.ts";
import { DEFAULT_LIMITS, type H2Limits, resolveLimits } from "../../h2/limits.ts";
import type { Transport } from "../transport.ts";
import { connect } from "./connect.ts";
import { listen } from "./listen.ts";

/** Bounds against hostile peers, with their units, defaults and reasons. */
export type EngineLimits = H2Limits;

export interface EngineOptions {
  /** Bounds that differ from the defaults. */
  readonly limits?: Partial<EngineLimits>;
}

const limit: OptionCheck = (name, value) => {
  resolveLimits({ [name]: value });
};

const ENGINE_OPTIONS = optionTable<EngineOptions>("options of engineTransport", {
  limits: new OptionTable(
    "limits",
    Object.fromEntries(Object.keys(DEFAULT_LIMITS).map((name) => [name, limit])),
  ),
});

/**
 * HTTP/2 of our own, for the `transport` option of `Server` and `dial`: `"engine"` with limits of
 * one's choice. Honours every option of `SessionOptions`.
 * @throws {TypeError | RangeError} for an option that is unknown, and a limit that is no integer
 *   from 1 up
 */
export function engineTransport(options: EngineOptions = {}): Transport {
  ENGINE_OPTIONS.check(options);
  const limits = resolveLimits(options.limits ?? {});
  return {
    name: "engine",
    connect: (connectOptions, listener) => connect(connectOptions, limits, listener),
    listen: (listenOptions, events) => listen(listenOptions, limits, events),
  };
}
