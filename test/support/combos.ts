// The transports that the suites above the seam run on.

import type { TransportName } from "../../src/transport/select.ts";

export interface TransportCombo {
  /** The transport towards clients. */
  readonly server: TransportName;
  /** The transport towards backends. */
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
 * For suites that take long for each combination: those of one transport on both sides. With
 * `ENDURANCE_COMBOS=all` in the environment: all.
 */
export const enduranceCombos: readonly TransportCombo[] =
  process.env["ENDURANCE_COMBOS"] === "all"
    ? transportCombos
    : transportCombos.filter(({ server, client }) => server === client);
