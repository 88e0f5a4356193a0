// Finds a peer that is gone although its connection stands, by PING (gRFC A8). Pure: it is told the
// time, when something was read and how many streams are open, and returns what to do.

import { checkBoolean, checkNumber } from "../check/check.ts";
import { type OptionTable, optionTable } from "../check/options.ts";

/** When the connections of `dial` check by PING whether the backend is still there. */
export interface KeepaliveOptions {
  /**
   * How long nothing may be read while calls are open before a PING is sent, in milliseconds. From
   * 1,000 up; Infinity for never. Servers end connections that send PING more often than they
   * permit (GOAWAY "too_many_pings"). Later connections to the same address then have twice the
   * interval (gRFC A8).
   *
   * The strictest default is that of grpc-go, gRPC C-core and grpc-java servers: one PING in 5
   * minutes, only while calls are open. The third PING too many ends the connection. grpc-js,
   * tonic, Envoy and nginx only count floods. The ten extra seconds are for clocks of different
   * speed.
   * @default 310_000
   */
  readonly intervalMs?: number;
  /**
   * How long nothing may be read after the PING before the connection counts as lost, in
   * milliseconds. From 1 up; Infinity for ever. It has to be several round trips long, longer than
   * the backend's pauses for garbage, and on a slow path longer than the bytes in front of the PING
   * take: up to 256 KiB, and what the system buffers.
   * @default 20_000; 5_000 where something was sent and no answer came
   */
  readonly timeoutMs?: number;
  /**
   * Send PING without open calls, too. The servers named above permit that once in two hours.
   * @default false
   */
  readonly withoutCalls?: boolean;
}

/** When clients are asked by PING whether they are still there, and how often they may ask. */
export interface ServerKeepaliveOptions {
  /**
   * How long nothing may be read before the client is asked, with calls or without, in
   * milliseconds. From 1,000 up; Infinity for never. Dead connections only cost memory, so gRFC A9
   * wants two hours, as TCP has it; calls on them have deadlines.
   * @default 7_200_000
   */
  readonly intervalMs?: number;
  /**
   * How long nothing may be read after the PING before the connection counts as lost, in
   * milliseconds. From 1 up; Infinity for ever.
   * @default 20_000
   */
  readonly timeoutMs?: number;
  /**
   * How often a client may send PING while it is sent no HEADERS and no DATA, in milliseconds, with
   * calls or without. The third PING too soon ends the connection, GOAWAY(ENHANCE_YOUR_CALM)
   * "too_many_pings" (gRFC A8). The servers of gRPC take 300,000. Here nothing is bound by default:
   * a client that asks as often as its own server permits has to work through a relay, too. A PING
   * costs less than any call, and floods of them end at the limits `pingsPerSecond` and `pingBurst`
   * of the engine.
   * @default 0
   */
  readonly minPingIntervalMs?: number;
}

/** `KeepaliveOptions` with every value present. */
export interface KeepaliveTerms {
  readonly intervalMs: number;
  readonly timeoutMs: number;
  /** The timeout while an answer is due. */
  readonly answerMs: number;
  readonly withoutCalls: boolean;
}

export interface ServerKeepaliveTerms {
  readonly keepalive: KeepaliveTerms;
  readonly minPingIntervalMs: number;
}

const DEFAULT_INTERVAL_MS = 310_000;
const DEFAULT_TIMEOUT_MS = 20_000;
/**
 * How long nothing may be read after HEADERS or DATA was sent before a PING is sent, in
 * milliseconds.
 */
export const SILENCE_MS = 5_000;
/** How long nothing may be read after a PING while an answer is due, by default. */
const ANSWER_MS = 5_000;
const DEFAULT_SERVER_INTERVAL_MS = 7_200_000;
const LOWEST_INTERVAL_MS = 1_000;

export const KEEPALIVE_OPTIONS: OptionTable = optionTable<KeepaliveOptions>(
  "keepalive",
  {
    intervalMs: (name, value) => checkNumber(name, value, LOWEST_INTERVAL_MS),
    timeoutMs: (name, value) => checkNumber(name, value, 1),
    withoutCalls: checkBoolean,
  },
  { named: (option) => `keepalive.${option}` },
);

export const SERVER_KEEPALIVE_OPTIONS: OptionTable = optionTable<ServerKeepaliveOptions>(
  "keepalive",
  {
    intervalMs: (name, value) => checkNumber(name, value, LOWEST_INTERVAL_MS),
    timeoutMs: (name, value) => checkNumber(name, value, 1),
    minPingIntervalMs: (name, value) => checkNumber(name, value, 0),
  },
  { named: (option) => `keepalive.${option}` },
);

/**
 * The terms of a server: when it asks its clients, and how often they may ask it.
 * @throws {TypeError | RangeError} naming the option, what was expected and what came
 */
export function resolveServerKeepalive(options: ServerKeepaliveOptions = {}): ServerKeepaliveTerms {
  SERVER_KEEPALIVE_OPTIONS.check(options);
  const { intervalMs = DEFAULT_SERVER_INTERVAL_MS, timeoutMs = DEFAULT_TIMEOUT_MS } = options;
  const { minPingIntervalMs = 0 } = options;
  const keepalive = { intervalMs, timeoutMs, answerMs: timeoutMs, withoutCalls: true };
  return { keepalive, minPingIntervalMs };
}

/** @throws {TypeError | RangeError} naming the option, what was expected and what came */
export function resolveKeepalive(options: KeepaliveOptions = {}): KeepaliveTerms {
  KEEPALIVE_OPTIONS.check(options);
  const { intervalMs = DEFAULT_INTERVAL_MS, timeoutMs = DEFAULT_TIMEOUT_MS } = options;
  const { timeoutMs: answerMs = ANSWER_MS, withoutCalls = false } = options;
  return { intervalMs, timeoutMs, answerMs, withoutCalls };
}

/** The same options for a server that got too many PINGs (gRFC A8). */
export function slowerKeepalive(options: KeepaliveOptions = {}): KeepaliveOptions {
  return { ...options, intervalMs: 2 * (options.intervalMs ?? DEFAULT_INTERVAL_MS) };
}

/** The action to take. */
type KeepaliveVerdict =
  /** Nothing before `nextMs`. */
  | "wait"
  | "ping"
  /** Nothing was read for too long after a PING. */
  | "dead";

/**
 * The keepalive of one connection. Its owner calls `look`
 *
 * - when `nextMs` has come;
 * - when an answer becomes due, and when a stream is opened while none is due.
 *
 * Two rules say when a PING is sent: nothing was read for `intervalMs` while streams are open, with
 * `withoutCalls` at any time; or nothing was read for `SILENCE_MS` after HEADERS or DATA was sent
 * without an answer. Neither rule sends another PING before `intervalMs` after the last answer,
 * unless HEADERS or DATA was read since: servers that send either forget the PINGs that they
 * counted (gRFC A8). The time counts from the answer, because by then the server had the PING.
 */
export class Keepalive {
  /** HEADERS or DATA was sent, and neither was read since. */
  isDue = false;
  /** When to look again at the latest; Infinity for not before something is sent. */
  nextMs: number = Number.POSITIVE_INFINITY;
  private readonly terms: KeepaliveTerms;
  /** The least time between two PINGs. */
  private readonly pauseMs: number;
  /** Since when an answer is due, if one is due. */
  private dueMs = 0;
  /** When the PING was sent that is not acknowledged yet. */
  private askedMs: number | undefined = undefined;
  /** No PING before this. */
  private restUntilMs: number = Number.NEGATIVE_INFINITY;

  constructor(terms: KeepaliveTerms) {
    this.terms = terms;
    this.pauseMs = Number.isFinite(terms.intervalMs) ? terms.intervalMs : DEFAULT_INTERVAL_MS;
  }

  /** HEADERS or DATA was sent. This changes nothing while an answer is due already. */
  sent(nowMs: number): void {
    if (this.isDue) return;
    this.isDue = true;
    this.dueMs = nowMs;
  }

  /** HEADERS or DATA was read. This changes nothing while no answer is due. */
  heard(): void {
    this.isDue = false;
    this.restUntilMs = Number.NEGATIVE_INFINITY;
  }

  /** The PING goes out only now. */
  asked(nowMs: number): void {
    if (this.askedMs !== undefined) this.askedMs = nowMs;
  }

  /** The PING was acknowledged. */
  acknowledged(nowMs: number): void {
    this.askedMs = undefined;
    this.restUntilMs = nowMs + this.pauseMs;
  }

  /**
   * Looks at the state of the connection. A caller that gets "ping" sends a PING now.
   * @param lastReadMs when anything was last read
   * @param openStreams so many streams wait for answers; without such streams any sign of life is
   *   enough
   */
  look(lastReadMs: number, openStreams: number, nowMs: number): KeepaliveVerdict {
    if (this.isDue && openStreams === 0 && lastReadMs > this.dueMs) this.isDue = false;
    if (this.askedMs !== undefined) {
      this.nextMs = this.deadMs(this.askedMs, lastReadMs);
      return nowMs < this.nextMs ? "wait" : "dead";
    }
    this.nextMs = this.askMs(lastReadMs, openStreams);
    if (nowMs < this.nextMs) return "wait";
    this.askedMs = nowMs;
    this.nextMs = this.deadMs(nowMs, lastReadMs);
    return "ping";
  }

  /** When a PING is to be sent. */
  private askMs(lastReadMs: number, openStreams: number): number {
    const { intervalMs, withoutCalls } = this.terms;
    let askMs = Number.POSITIVE_INFINITY;
    if (openStreams > 0 || withoutCalls) {
      askMs = lastReadMs + intervalMs;
    } else if (this.restUntilMs !== Number.NEGATIVE_INFINITY) {
      // Servers permit no second PING now, and nobody waits.
      this.isDue = false;
    }
    if (this.isDue) askMs = Math.min(askMs, Math.max(this.dueMs, lastReadMs) + SILENCE_MS);
    return Math.max(askMs, this.restUntilMs);
  }

  /** When the connection counts as lost. */
  private deadMs(askedMs: number, lastReadMs: number): number {
    const { timeoutMs, answerMs } = this.terms;
    const quietMs = Math.max(askedMs, lastReadMs);
    if (!this.isDue) return quietMs + timeoutMs;
    // A PING that was sent before, or together with, the request must not shorten the time for the
    // answer.
    const silentMs = Math.max(this.dueMs, lastReadMs) + SILENCE_MS;
    return Math.min(quietMs + timeoutMs, Math.max(quietMs, silentMs) + answerMs);
  }
}
