// The resolver of host names. It asks the system for all addresses of a name when they are wanted,
// and again when one of them fails.

import dns from "node:dns";
import type { Clock } from "../../time/clock.ts";
import { Timer, type TimerOwner } from "../../time/timer-wheel.ts";
import { formatAddress } from "../../transport/address.ts";
import { type ClientTlsOptions, currentTls } from "../../transport/tls.ts";
import type { Resolver, ResolverListener } from "./resolver.ts";

/** How long to wait after one more failure. */
interface RetryWaits {
  nextMs(): number;
  reset(): void;
}

interface DnsQuery {
  readonly host: string;
  readonly port: number;
  /** May have a `lookup` that is asked instead of the system, and options for it. */
  readonly tls: ClientTlsOptions | (() => ClientTlsOptions) | undefined;
  /** The least time between two answers, in milliseconds. */
  readonly minIntervalMs: number;
  readonly clock: Clock;
  readonly waits: RetryWaits;
}

/**
 * Looks a host name up by `dns.lookup`, so that /etc/hosts and similar sources are asked, too. DNS
 * does not report changes, and `dns.lookup` does not report lifetimes. So the name is looked up
 * again when a connection fails or is lost.
 */
export class DnsResolver implements Resolver, TimerOwner {
  readonly #query: DnsQuery;
  /** For the next lookup: after a failure, or when the least time is over. */
  readonly #timer = new Timer(this);
  #listener: ResolverListener | undefined;
  #isAsking = false;
  #answeredMs = Number.NEGATIVE_INFINITY;

  constructor(query: DnsQuery) {
    this.#query = query;
  }

  start(listener: ResolverListener): void {
    this.#listener = listener;
    this.#ask();
  }

  resolveNow(): void {
    if (this.#isAsking || this.#timer.scheduled) return;
    const { clock, minIntervalMs } = this.#query;
    const waitMs = this.#answeredMs + minIntervalMs - clock.nowMs();
    if (waitMs <= 0) this.#ask();
    else clock.schedule(this.#timer, waitMs);
  }

  close(): void {
    this.#listener = undefined;
    this.#query.clock.cancel(this.#timer);
  }

  onTimer(): void {
    this.#ask();
  }

  #ask(): void {
    const { host, tls } = this.#query;
    this.#isAsking = true;
    try {
      const options = currentTls(tls) ?? {};
      // Read at each lookup: a replacement of `dns.lookup` then works for us as for node:net.
      const lookup: Lookup = options.lookup ?? dns.lookup;
      const { family = 0, hints = 0 } = options;
      lookup(host, { all: true, family, hints }, (error, answer) => this.#onAnswer(error, answer));
    } catch (error) {
      this.#onAnswer(error, undefined);
    }
  }

  #onAnswer(error: unknown, answer: unknown): void {
    const listener = this.#listener;
    // A `lookup` of the user's may answer twice.
    if (listener === undefined || !this.#isAsking) return;
    this.#isAsking = false;
    const { clock, port, waits } = this.#query;
    const hosts = error ? [] : hostsOf(answer);
    if (hosts.length === 0) {
      clock.schedule(this.#timer, waits.nextMs());
      listener.onError(error instanceof Error ? error : noAddress(this.#query.host));
      return;
    }
    this.#answeredMs = clock.nowMs();
    waits.reset();
    listener.onAddresses(hosts.map((host) => formatAddress({ host, port })));
  }
}

/** Of node:dns, or of the user's: with `all` one may give an array, or one address all the same. */
type Lookup = (
  host: string,
  options: dns.LookupAllOptions,
  callback: (error: NodeJS.ErrnoException | null, answer: unknown) => void,
) => void;

function hostsOf(answer: unknown): readonly string[] {
  const all: readonly unknown[] = Array.isArray(answer) ? answer : [answer];
  return all
    .map((each) => (typeof each === "string" ? each : Reflect.get(Object(each), "address")))
    .filter((host) => typeof host === "string");
}

function noAddress(hostname: string): Error {
  const message = `getaddrinfo ENOTFOUND ${hostname}`;
  return Object.assign(new Error(message), { code: "ENOTFOUND", hostname });
}
