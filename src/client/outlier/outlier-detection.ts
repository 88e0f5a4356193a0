// Finds the addresses whose calls fail while those of others do not, and leaves them out for a time
// that grows (gRFC A50, and consecutive failures as Envoy counts them).

import type { Clock } from "../../time/clock.ts";
import { Timer } from "../../time/timer-wheel.ts";
import type { OutlierDetectionOptions } from "./outlier-options.ts";

/** What is known of the calls of one listed address. */
export class AddressRecord {
  /** Calls that ended in this interval. */
  successes = 0;
  failures = 0;
  /** Failures since the last success. */
  streak = 0;
  ejectedAtMs: number | undefined = undefined;
  /** Ejections that have not been forgiven: the time of the next one grows with it. */
  multiplier = 0;

  get volume(): number {
    return this.successes + this.failures;
  }

  /** @param failed how one call ended */
  count(failed: boolean): void {
    if (failed) {
      this.failures++;
      this.streak++;
    } else {
      this.successes++;
      this.streak = 0;
    }
  }

  /** A new interval begins. */
  forget(): void {
    this.successes = 0;
    this.failures = 0;
  }
}

/** The addresses that are compared with each other. */
interface OutlierOwner {
  readonly clock: Clock;
  /** Gives numbers from 0 up to but not including 1. */
  readonly random: () => number;
  /** Of all listed addresses. */
  readonly records: readonly AddressRecord[];
  /** The address was ejected, or has returned. @param reason for people, one line */
  onEjection(record: AddressRecord, reason: string): void;
}

/**
 * Counts calls, ejects addresses and lets them return. Its timer runs only while there is something
 * to count up or to forgive.
 */
export class OutlierDetection {
  readonly #options: OutlierDetectionOptions;
  readonly #owner: OutlierOwner;
  readonly #intervalMs: number;
  readonly #maxPercent: number;
  readonly #timer: Timer = new Timer({ onTimer: () => this.#sweep() });
  #isTimed = false;
  #isClosed = false;

  constructor(options: OutlierDetectionOptions, owner: OutlierOwner) {
    this.#options = options;
    this.#owner = owner;
    this.#intervalMs = options.intervalMs ?? 10_000;
    this.#maxPercent = options.maxEjectionPercent ?? 10;
  }

  /** A call has ended on an address. What comes while that is ejected does not count. */
  count(record: AddressRecord, failed: boolean): void {
    if (this.#isClosed || record.ejectedAtMs !== undefined) return;
    record.count(failed);
    this.#startTimer();
    const { consecutiveFailures } = this.#options;
    if (consecutiveFailures === undefined) return;
    const { threshold = 5, enforcementPercentage } = consecutiveFailures;
    if (record.streak < threshold) return;
    record.streak = 0;
    this.#eject(record, enforcementPercentage, `${threshold} calls in a row have failed`);
  }

  /** The list of addresses is another. Those that are ejected beyond what it allows return. */
  onList(): void {
    const ejected = this.#ejected();
    ejected.sort((a, b) => Number(a.ejectedAtMs) - Number(b.ejectedAtMs));
    for (const [index, record] of ejected.entries()) {
      const others = ejected.length - index - 1;
      if (this.#mayBeEjected(others)) return;
      this.#release(record, "too few other addresses are left");
    }
  }

  /** How long `record` stays ejected, in milliseconds, before the next interval ends. */
  ejectedForMs({ ejectedAtMs, multiplier }: AddressRecord): number | undefined {
    if (ejectedAtMs === undefined) return undefined;
    const { baseEjectionTimeMs: baseMs = 30_000, maxEjectionTimeMs: maxMs = 300_000 } =
      this.#options;
    const lastsMs = Math.min(baseMs * multiplier, Math.max(baseMs, maxMs));
    return Math.max(0, ejectedAtMs + lastsMs - this.#owner.clock.nowMs());
  }

  close(): void {
    this.#isClosed = true;
    this.#owner.clock.cancel(this.#timer);
  }

  #startTimer(): void {
    if (this.#isTimed) return;
    this.#isTimed = true;
    this.#owner.clock.schedule(this.#timer, this.#intervalMs);
  }

  /** An interval is over. */
  #sweep(): void {
    const { records } = this.#owner;
    this.#isTimed = false;
    if (records.some(({ volume, multiplier }) => volume > 0 || multiplier > 0)) this.#startTimer();
    this.#judgeSuccessRates(records);
    this.#judgeFailurePercentages(records);
    for (const record of records) {
      record.forget();
      const remainingMs = this.ejectedForMs(record);
      if (remainingMs === 0) this.#release(record, "its ejection is over");
      else if (remainingMs === undefined && record.multiplier > 0) record.multiplier--;
    }
  }

  #judgeSuccessRates(records: readonly AddressRecord[]): void {
    const { successRate } = this.#options;
    if (successRate === undefined) return;
    const { stdevFactor = 1_900, minimumHosts = 5, requestVolume = 100 } = successRate;
    const judged = records.filter(({ volume }) => volume >= requestVolume);
    if (judged.length < minimumHosts) return;
    const rates = judged.map(({ successes, volume }) => successes / volume);
    const mean = meanOf(rates);
    const variance = meanOf(rates.map((rate) => (rate - mean) ** 2));
    const lowest = mean - (Math.sqrt(variance) * stdevFactor) / 1_000;
    for (const record of judged) {
      const rate = record.successes / record.volume;
      if (rate >= lowest) continue;
      const reason = `${percent(rate)} of its calls succeed, at least ${percent(lowest)} were expected`;
      this.#eject(record, successRate.enforcementPercentage, reason);
    }
  }

  #judgeFailurePercentages(records: readonly AddressRecord[]): void {
    const { failurePercentage } = this.#options;
    if (failurePercentage === undefined) return;
    const { threshold = 85, minimumHosts = 5, requestVolume = 50 } = failurePercentage;
    const judged = records.filter(({ volume }) => volume >= requestVolume);
    if (judged.length < minimumHosts) return;
    for (const record of judged) {
      const rate = record.failures / record.volume;
      if (rate * 100 <= threshold) continue;
      this.#eject(
        record,
        failurePercentage.enforcementPercentage,
        `${percent(rate)} of its calls fail`,
      );
    }
  }

  #eject(record: AddressRecord, enforcementPercentage = 100, reason: string): void {
    const { clock, random } = this.#owner;
    if (record.ejectedAtMs !== undefined || !this.#mayBeEjected(this.#ejected().length)) return;
    if (random() * 100 >= enforcementPercentage) return;
    record.ejectedAtMs = clock.nowMs();
    record.multiplier++;
    this.#owner.onEjection(record, `ejected: ${reason}`);
  }

  /** One more may be ejected while `count` others are. An address alone never is. */
  #mayBeEjected(count: number): boolean {
    const { length } = this.#owner.records;
    return length > 1 && count * 100 < this.#maxPercent * length;
  }

  #ejected(): AddressRecord[] {
    return this.#owner.records.filter(({ ejectedAtMs }) => ejectedAtMs !== undefined);
  }

  #release(record: AddressRecord, reason: string): void {
    record.ejectedAtMs = undefined;
    this.#owner.onEjection(record, reason);
  }
}

function meanOf(numbers: readonly number[]): number {
  return numbers.reduce((sum, each) => sum + each, 0) / numbers.length;
}

function percent(part: number): string {
  return `${Math.round(part * 100)} %`;
}
