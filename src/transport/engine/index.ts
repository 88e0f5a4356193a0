// The `engine` transport: our own HTTP/2 on node:net and node:tls sockets.

import { checkInteger } from "../../check/check.ts";
import { type OptionCheck, OptionTable, optionTable } from "../../check/options.ts";
import { DEFAULT_LIMITS, type EngineLimits, resolveLimits } from "../../h2/limits.ts";
import { WindowBudget } from "../../h2/window-budget.ts";
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
import type { EngineBounds } from "./session.ts";

export type { EngineLimits } from "../../h2/limits.ts";

export interface EngineOptions {
  /** Bounds that differ from the defaults. */
  readonly limits?: Partial<EngineLimits>;
  /**
   * The bound of the growth of all receive windows of streams above `streamWindowBytes`, in bytes.
   * A window grows when its path has much under way at once: long round trips at high speed.
   * Clients and backends can make this process hold as much on top of their first windows. 0 keeps
   * all windows as they begin.
   * @default 67_108_864 for all transports of the process that do not say otherwise
   */
  readonly windowBudgetBytes?: number;
}

/** Of all transports that have none of their own. */
const PROCESS_BUDGET = new WindowBudget(67_108_864);

const limit: OptionCheck = (name, value) => {
  resolveLimits({ [name]: value });
};

const ENGINE_OPTIONS = optionTable<EngineOptions>("options of engineTransport", {
  limits: new OptionTable(
    "limits",
    Object.fromEntries(Object.keys(DEFAULT_LIMITS).map((name) => [name, limit])),
  ),
  windowBudgetBytes: (name, value) => checkInteger(name, value, 0),
});

/**
 * HTTP/2 of our own, for the `transport` option of `Server` and `dial`. It is `"engine"` with other
 * bounds, and supports every option of `SessionOptions`.
 * @throws {TypeError | RangeError} for an unknown option, for a limit that is no integer from 1 up,
 *   and for a budget that is no integer from 0 up
 */
export function engineTransport(options: EngineOptions = {}): Transport {
  ENGINE_OPTIONS.check(options);
  const { limits = {}, windowBudgetBytes } = options;
  const windowBudget =
    windowBudgetBytes === undefined ? PROCESS_BUDGET : new WindowBudget(windowBudgetBytes);
  return new EngineTransport({ limits: resolveLimits(limits), windowBudget });
}

/** HTTP/2 of our own, with the given limits. */
class EngineTransport extends Transport {
  readonly name = "engine";
  readonly #bounds: EngineBounds;

  constructor(bounds: EngineBounds) {
    super();
    this.#bounds = bounds;
  }

  connect(options: ConnectOptions, listener: ClientSessionListener): ClientSession {
    return connect(options, this.#bounds, listener);
  }

  listen(options: ListenOptions, events: ListenerEvents): Promise<Listener> {
    return listen(options, this.#bounds, events);
  }
}
