// The `engine` transport: our own HTTP/2 on node:net and node:tls sockets.

import { type OptionCheck, OptionTable, optionTable } from "../../check/options.ts";
import { DEFAULT_LIMITS, type EngineLimits, resolveLimits } from "../../h2/limits.ts";
import {
  type ClientSession,
  type ClientSessionListener,
  type ConnectOptions,
  type Listener,
  type ListenerEvents,
  type ListenOptions,
  Transport,
} from "../transport.ts";
import { connect } from "./connect.ts";
import { listen } from "./listen.ts";

export type { EngineLimits } from "../../h2/limits.ts";

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
  return new EngineTransport(resolveLimits(options.limits ?? {}));
}

/** HTTP/2 of our own, within certain limits. */
class EngineTransport extends Transport {
  readonly name = "engine";
  readonly #limits: EngineLimits;

  constructor(limits: EngineLimits) {
    super();
    this.#limits = limits;
  }

  connect(options: ConnectOptions, listener: ClientSessionListener): ClientSession {
    return connect(options, this.#limits, listener);
  }

  listen(options: ListenOptions, events: ListenerEvents): Promise<Listener> {
    return listen(options, this.#limits, events);
  }
}
