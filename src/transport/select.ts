// Which transport a name stands for.

import { shown } from "../check/check.ts";
import type { OptionCheck } from "../check/options.ts";
import { engineTransport } from "./engine/index.ts";
import { nodeTransport } from "./node/index.ts";
import { Transport } from "./transport.ts";

export { type EngineLimits, type EngineOptions, engineTransport } from "./engine/index.ts";

/** The HTTP/2 implementations that come with grpc-relay. */
export type TransportName = "engine" | "node";

/**
 * The engine unless another one is asked for. @throws {TypeError} for a name that no transport has
 */
export function selectTransport(transport: TransportName | Transport | undefined): Transport {
  if (transport instanceof Transport) return transport;
  switch (transport) {
    case undefined:
    case "engine":
      return engineTransport();
    case "node":
      return nodeTransport();
    default:
      throw new TypeError(
        `transport: expected "engine", "node" or an engineTransport(), got ${shown(transport)}`,
      );
  }
}

/** Of the option `transport`. */
export const checkTransport: OptionCheck = (_, value) => {
  // It throws, with a text of its own, for anything else.
  selectTransport(value as TransportName | Transport);
};
