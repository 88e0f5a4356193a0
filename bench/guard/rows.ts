// The rows that the guard compares: scenarios that carry the load of most users.

import { SCENARIOS, type Scenario, type ThroughputScenario } from "../scenarios.ts";

export interface GuardRow {
  readonly id: string;
  readonly scenario: ThroughputScenario;
  /**
   * The variant of `subjects/relay.ts`. Each variant names its transport, so that a changed default
   * does not compare two transports.
   */
  readonly variant: "engine" | "tls";
  /** The time until the hot code of a process is compiled. Each round has processes of its own. */
  readonly warmupSeconds: number;
}

function row(scenarioId: string, variant: GuardRow["variant"], warmupSeconds: number): GuardRow {
  const scenario = SCENARIOS.find((candidate: Scenario) => candidate.id === scenarioId);
  if (scenario?.measures !== "throughput") throw new TypeError(`${scenarioId} has no throughput`);
  const id = variant === "tls" ? `${scenarioId}_tls` : scenarioId;
  return { id, scenario, variant, warmupSeconds };
}

export const GUARD_ROWS: readonly GuardRow[] = [
  row("unary_32b_8x32", "engine", 2),
  row("unary_32b_1000x10", "engine", 2),
  // Calls are few here, so code that runs once for each gets hot late.
  row("unary_1mb_4x4", "engine", 4),
  row("bidi_100b_1x10x100", "engine", 2),
  row("unary_32b_8x32", "tls", 2),
];
