// Medians, spreads and paired ratios over rounds; and the histogram in which latencies are kept.

/** The median; NaN for an empty list. */
export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

/** The quantile, by linear interpolation between the two nearest ranks. */
export function quantile(values: readonly number[], q: number): number {
  if (values.length === 0) return Number.NaN;
  const sorted = [...values].sort((a, b) => a - b);
  const rank = q * (sorted.length - 1);
  const below = sorted[Math.floor(rank)]!;
  const above = sorted[Math.ceil(rank)]!;
  return below + (above - below) * (rank - Math.floor(rank));
}

/** The summary of a figure over the rounds. */
export interface Spread {
  readonly median: number;
  readonly lowest: number;
  readonly highest: number;
}

export function spreadOf(values: readonly number[]): Spread | undefined {
  const known = values.filter(Number.isFinite);
  if (known.length === 0) return undefined;
  return { median: median(known), lowest: Math.min(...known), highest: Math.max(...known) };
}

/**
 * Ratios of figures that were measured in the same round, so that a slow minute of the machine
 * affects both alike. A round that lacks either figure, or whose base is 0, is left out.
 */
export function pairedRatio(
  values: readonly (number | undefined)[],
  base: readonly (number | undefined)[],
): Spread | undefined {
  const ratios: number[] = [];
  for (const [round, value] of values.entries()) {
    const against = base[round];
    if (value !== undefined && against !== undefined && against > 0) ratios.push(value / against);
  }
  return spreadOf(ratios);
}

export interface BootstrapOptions {
  /** The confidence level of the interval, between 0 and 1. */
  readonly confidence: number;
  readonly resamples: number;
  /** Numbers from 0 up to but not including 1. */
  readonly random: () => number;
}

/**
 * The interval in which `statistic` of such values lies (percentile bootstrap). It is the middle
 * part of the statistics of lists of the same length, drawn from the values with replacement.
 * @throws {RangeError} without values
 */
export function bootstrapInterval(
  values: readonly number[],
  statistic: (values: readonly number[]) => number,
  { confidence, resamples, random }: BootstrapOptions,
): readonly [lowest: number, highest: number] {
  if (values.length === 0) throw new RangeError("expected values, got none");
  const drawn = new Array<number>(values.length).fill(0);
  const found: number[] = [];
  for (let resample = 0; resample < resamples; resample++) {
    for (let i = 0; i < drawn.length; i++) {
      drawn[i] = values[Math.floor(random() * values.length)]!;
    }
    found.push(statistic(drawn));
  }
  const outside = (1 - confidence) / 2;
  return [quantile(found, outside), quantile(found, 1 - outside)];
}

/**
 * A generator of numbers from 0 up to but not including 1, the same for the same seed: a Weyl
 * sequence, well mixed.
 */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x9e3779b9) >>> 0;
    let bits = Math.imul(state ^ (state >>> 16), 0x7feb352d);
    bits = Math.imul(bits ^ (bits >>> 15), 0x846ca68b);
    return ((bits ^ (bits >>> 16)) >>> 0) / 2 ** 32;
  };
}

/** Buckets per power of two: the error of a quantile stays below 1 %. */
const SUB_BUCKETS = 64;

/** Latencies in microseconds, log-linear: any number of values in a few kilobytes. */
export class Histogram {
  readonly #counts: number[] = [];
  #count = 0;
  #sumUs = 0;
  #highestUs = 0;

  get count(): number {
    return this.#count;
  }

  get meanUs(): number {
    return this.#count === 0 ? Number.NaN : this.#sumUs / this.#count;
  }

  get highestUs(): number {
    return this.#highestUs;
  }

  record(us: number): void {
    const index = bucketOf(us);
    this.#counts[index] = (this.#counts[index] ?? 0) + 1;
    this.#count++;
    this.#sumUs += us;
    if (us > this.#highestUs) this.#highestUs = us;
  }

  /** The upper edge of the bucket in which the value of rank `q` lies. */
  quantileUs(q: number): number {
    if (this.#count === 0) return Number.NaN;
    let left = Math.max(1, Math.ceil(q * this.#count));
    for (let index = 0; index < this.#counts.length; index++) {
      left -= this.#counts[index] ?? 0;
      if (left <= 0) return Math.min(upperEdgeUs(index), this.#highestUs);
    }
    return this.#highestUs;
  }
}

function bucketOf(us: number): number {
  if (us < SUB_BUCKETS) return Math.max(0, Math.floor(us));
  const power = Math.floor(Math.log2(us));
  const width = 2 ** power / SUB_BUCKETS;
  return (power - 5) * SUB_BUCKETS + Math.floor((us - 2 ** power) / width);
}

function upperEdgeUs(index: number): number {
  if (index < SUB_BUCKETS) return index + 1;
  const power = Math.floor(index / SUB_BUCKETS) + 5;
  return 2 ** power + ((index % SUB_BUCKETS) + 1) * (2 ** power / SUB_BUCKETS);
}

/** The latency figures of one round, in microseconds. */
export interface LatencyFigures {
  readonly meanUs: number;
  readonly p50Us: number;
  readonly p90Us: number;
  readonly p99Us: number;
  readonly p999Us: number;
  readonly highestUs: number;
}

export function latencyFigures(histogram: Histogram): LatencyFigures | undefined {
  if (histogram.count === 0) return undefined;
  return {
    meanUs: histogram.meanUs,
    p50Us: histogram.quantileUs(0.5),
    p90Us: histogram.quantileUs(0.9),
    p99Us: histogram.quantileUs(0.99),
    p999Us: histogram.quantileUs(0.999),
    highestUs: histogram.highestUs,
  };
}
