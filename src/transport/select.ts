// Which transport a name stands for.

import { shown } from "../check/check.ts";
import type { OptionCheck } from "../check/options.ts";
import { engineTransport } from "./engine/index.ts";
import { nodeTransport } from "./node/index.ts";
import type { Transport } from "./transport.ts";

export { type EngineLimits, type EngineOptions, engineTransport } from "./engine/index.ts";

/** The HTTP/2 implementations that come with grpc-relay. */
export type TransportName = "engine" | "node";

/**
 * The engine unless another one is asked for. @throws {TypeError} for a name that no transport has
 */
export function selectTransport(transport: TransportName | Transport | undefined): Transport {
  if (isTransport(transport)) return transport;
  switch (transport) {
    case undefined:
    case "engine":
      return engineTransport();
    case "node":
      return nodeTransport();
    default:
      throw new TypeError(`transport: expected "engine" or "node", got ${shown(transport)}`);
  }
}

/** Of the option `transport`. */
export const checkTransport: OptionCheck = (_, value) => {
  // It says itself what is wrong with what is neither.
  selectTransport(value as TransportName | Transport);
};

function isTransport(transport: unknown): transport is Transport {
  if (typeof transport !== "object" || transport === null) return false;
  return ["connect", "listen"].every((name) => typeof Reflect.get(transport, name) === "function");
}
