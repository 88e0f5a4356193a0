// Which transports the suites above the seam run on.

import type { TransportName } from "../../src/transport/select.ts";

export interface TransportCombo {
  /** Towards clients. */
  readonly server: TransportName;
  /** Towards backends. */
  readonly client: TransportName;
}

/** For `describe.each`, whose title says `$server $client`. */
export const transportCombos: readonly TransportCombo[] = [
  { server: "engine", client: "engine" },
  { server: "node", client: "node" },
  { server: "engine", client: "node" },
  { server: "node", client: "engine" },
];

/**
 * For suites that take long for each: those of one transport on both sides; with
 * `ENDURANCE_COMBOS=all` in the environment, all.
 */
export const enduranceCombos: readonly TransportCombo[] =
  process.env["ENDURANCE_COMBOS"] === "all"
    ? transportCombos
    : transportCombos.filter(({ server, client }) => server === client);
