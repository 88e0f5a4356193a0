// The dial option `healthCheck`.

import { checkNumber, shown } from "../../check/check.ts";
import { type OptionTable, optionTable } from "../../check/options.ts";

/**
 * Asks each connected address for its health (gRFC A17): `grpc.health.v1.Health/Watch` is open on
 * one of its connections. An address takes calls while its answer is SERVING, or after it has
 * answered UNIMPLEMENTED.
 */
export interface HealthCheckOptions {
  /** The service that is asked for; `""` is the whole server. @default "" */
  readonly serviceName?: string;
  /** How long the first answer of a watch may take, in milliseconds. @default 20_000 */
  readonly timeoutMs?: number;
}

export const HEALTH_CHECK: OptionTable = optionTable<HealthCheckOptions>(
  "healthCheck",
  {
    serviceName: (name, value) => {
      if (typeof value === "string") return;
      throw new TypeError(`${name}: expected a string, got ${shown(value)}`);
    },
    timeoutMs: (name, value) => checkNumber(name, value, 1, 0x7fffffff),
  },
  { named: (option) => `healthCheck.${option}` },
);
