// The `engine` transport: our own HTTP/2 on node:net and node:tls sockets.

import { type H2Limits, resolveLimits } from "../../h2/limits.ts";
import type { Transport } from "../transport.ts";
import { connect } from "./connect.ts";
import { listen } from "./listen.ts";

export interface EngineOptions {
  /** Bounds against hostile peers that differ from the defaults. */
  readonly limits?: Partial<H2Limits>;
}

/**
 * Honours every option of `SessionOptions`.
 * @throws {RangeError} for a limit that is no integer above 0
 */
export function engineTransport(options: EngineOptions = {}): Transport {
  const limits = resolveLimits(options.limits ?? {});
  return {
    name: "engine",
    connect: (connectOptions, listener) => connect(connectOptions, limits, listener),
    listen: (listenOptions, events) => listen(listenOptions, limits, events),
  };
}
