// The `grpc-timeout` field (gRPC PROTOCOL-HTTP2 "Timeout"): 1 to 8 digits and a unit.

interface Unit {
  readonly suffix: string;
  /** One unit is `factor / divisor` milliseconds; two integers, so that converting rounds once. */
  readonly factor: number;
  readonly divisor: number;
}

const UNITS: readonly Unit[] = [
  { suffix: "n", factor: 1, divisor: 1_000_000 },
  { suffix: "u", factor: 1, divisor: 1_000 },
  { suffix: "m", factor: 1, divisor: 1 },
  { suffix: "S", factor: 1_000, divisor: 1 },
  { suffix: "M", factor: 60_000, divisor: 1 },
  { suffix: "H", factor: 3_600_000, divisor: 1 },
];

const MAX_DIGITS = 8;
const MAX_COUNT = 99_999_999;

/**
 * Milliseconds, with a fraction for the small units; `undefined` when malformed. The largest,
 * `99999999H`, is about 11,400 years and exact in a double, but longer than any timer of Node can
 * run.
 */
export function parseTimeout(text: string): number | undefined {
  const digits = text.length - 1;
  if (digits < 1 || digits > MAX_DIGITS) return undefined;
  let count = 0;
  for (let i = 0; i < digits; i++) {
    const digit = text.charCodeAt(i) - 0x30;
    if (digit < 0 || digit > 9) return undefined;
    count = count * 10 + digit;
  }
  const suffix = text.charAt(digits);
  for (const unit of UNITS) {
    if (unit.suffix === suffix) return (count * unit.factor) / unit.divisor;
  }
  return undefined;
}

/**
 * The field value for a timeout of `ms`, in the finest unit that 8 digits can hold, rounded up: a
 * deadline must never get shorter by being passed on. Nothing left (or not a number) is `0n`, as
 * grpc-go sends it. Above 99999999 hours, which includes Infinity, it is that; leave the field out
 * to say "no deadline".
 */
export function formatTimeout(ms: number): string {
  if (!(ms > 0)) return "0n";
  for (const { suffix, factor, divisor } of UNITS) {
    // Not Math.ceil: where the product is rounded up past an integer, it would add a unit to a
    // timeout that was exact.
    let count = Math.round((ms * divisor) / factor);
    if ((count * factor) / divisor < ms) count++;
    if (count <= MAX_COUNT) return `${count}${suffix}`;
  }
  return `${MAX_COUNT}H`;
}
