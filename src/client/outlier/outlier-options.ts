// The dial option `outlierDetection`, with the names and defaults of gRFC A50.

import { checkInteger, checkNumber } from "../../check/check.ts";
import { type OptionCheck, type OptionTable, optionTable } from "../../check/options.ts";

/** Ejects an address after several failures in a row, at once. */
export interface ConsecutiveFailuresOptions {
  /** Failures in a row. @default 5 */
  readonly threshold?: number;
  /** How likely an address that is found is ejected, in percent. @default 100 */
  readonly enforcementPercentage?: number;
}

/** Ejects an address whose rate of success is far below that of the others (gRFC A50). */
export interface SuccessRateOptions {
  /** So many thousandths of a standard deviation below the mean are too far. @default 1_900 */
  readonly stdevFactor?: number;
  /** How likely an address that is found is ejected, in percent. @default 100 */
  readonly enforcementPercentage?: number;
  /** So many addresses need `requestVolume` calls in an interval. @default 5 */
  readonly minimumHosts?: number;
  /** Addresses with fewer calls in an interval are not judged. @default 100 */
  readonly requestVolume?: number;
}

/** Ejects an address of whose calls more than a part fails (gRFC A50). */
export interface FailurePercentageOptions {
  /** More failures than this, in percent, are too many. @default 85 */
  readonly threshold?: number;
  /** How likely an address that is found is ejected, in percent. @default 100 */
  readonly enforcementPercentage?: number;
  /** So many addresses need `requestVolume` calls in an interval. @default 5 */
  readonly minimumHosts?: number;
  /** Addresses with fewer calls in an interval are not judged. @default 50 */
  readonly requestVolume?: number;
}

/**
 * Which addresses are left out for a while because their calls fail (gRFC A50). At least one of
 * `consecutiveFailures`, `successRate` and `failurePercentage` is given; `{}` takes its defaults.
 */
export interface OutlierDetectionOptions {
  /** How often calls are counted up and addresses return, in milliseconds. @default 10_000 */
  readonly intervalMs?: number;
  /**
   * The first ejection of an address lasts this long, in milliseconds; each further one that long
   * more. An interval without an ejection takes one off again.
   * @default 30_000
   */
  readonly baseEjectionTimeMs?: number;
  /** The longest ejection, in milliseconds, but at least the first. @default 300_000 */
  readonly maxEjectionTimeMs?: number;
  /** No further address is ejected when so many are, in percent of all. @default 10 */
  readonly maxEjectionPercent?: number;
  readonly consecutiveFailures?: ConsecutiveFailuresOptions;
  readonly successRate?: SuccessRateOptions;
  readonly failurePercentage?: FailurePercentageOptions;
}

const percentage: OptionCheck = (name, value) => checkNumber(name, value, 0, 100);
const atLeastOne: OptionCheck = (name, value) => checkInteger(name, value, 1);
const aTime: OptionCheck = (name, value) => checkNumber(name, value, 1, 0x7fffffff);

function within(part: string): { readonly named: (option: string) => string } {
  return { named: (option) => `${part}.${option}` };
}

export const OUTLIER_DETECTION: OptionTable = optionTable<OutlierDetectionOptions>(
  "outlierDetection",
  {
    intervalMs: aTime,
    baseEjectionTimeMs: aTime,
    maxEjectionTimeMs: aTime,
    maxEjectionPercent: percentage,
    consecutiveFailures: optionTable<ConsecutiveFailuresOptions>(
      "outlierDetection.consecutiveFailures",
      { threshold: atLeastOne, enforcementPercentage: percentage },
      within("outlierDetection.consecutiveFailures"),
    ),
    successRate: optionTable<SuccessRateOptions>(
      "outlierDetection.successRate",
      {
        // 32 bits, as in gRFC A50. Infinity times no deviation is no number.
        stdevFactor: (name, value) => checkNumber(name, value, 0, 0xffffffff),
        enforcementPercentage: percentage,
        minimumHosts: atLeastOne,
        requestVolume: atLeastOne,
      },
      within("outlierDetection.successRate"),
    ),
    failurePercentage: optionTable<FailurePercentageOptions>(
      "outlierDetection.failurePercentage",
      {
        threshold: percentage,
        enforcementPercentage: percentage,
        minimumHosts: atLeastOne,
        requestVolume: atLeastOne,
      },
      within("outlierDetection.failurePercentage"),
    ),
  },
  {
    ...within("outlierDetection"),
    together: ({ consecutiveFailures, successRate, failurePercentage }) => {
      if ((consecutiveFailures ?? successRate ?? failurePercentage) !== undefined) return;
      throw new TypeError(
        "outlierDetection: expected consecutiveFailures, successRate or failurePercentage, got none",
      );
    },
  },
);
