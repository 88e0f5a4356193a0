// Runs the keepalive of one session: its timer, its PINGs, and the last check before the session
// ends.

import type { Clock } from "../time/clock.ts";
import { Timer, type TimerOwner } from "../time/timer-wheel.ts";
import { Keepalive, type KeepaliveTerms, SILENCE_MS } from "./keepalive.ts";

/**
 * Timers beyond this are due at multiples of `COARSE_MS`: there may be one for each idle
 * connection, and the clock wakes for each place of its wheel that has any.
 */
const FAR_MS = 60_000;
const COARSE_MS = 1_024;

/** The parts of a session that its keepalive uses. */
export interface WatchedSession {
  readonly openStreamCount: number;
  /** When anything was last read, as far as the session knows. */
  readonly lastReadMs: number;
  /** A PING can be sent. Once this is false, it stays false. */
  readonly canPing: boolean;
  ping(onAcknowledged: () => void): void;
  /** Nothing came for too long after a PING. */
  onSilent(): void;
}

/**
 * Sends PING to the peer of one session when the peer is silent for too long, and tells the session
 * when the peer stays silent. The timer runs while streams are open or an answer is due, and always
 * with `withoutCalls`. It is moved only when it fires or has to fire earlier, not for each read.
 */
export class SessionKeepalive implements TimerOwner {
  private readonly keepalive: Keepalive;
  private readonly clock: Clock;
  private readonly session: WatchedSession;
  /** The longest time between two looks. */
  private readonly lookMs: number;
  private readonly timer = new Timer(this);
  private isOver = false;

  /**
   * @param lookMs how often the session has to be checked to know when it read something; Infinity
   *   when the session knows by itself
   */
  constructor(terms: KeepaliveTerms, clock: Clock, session: WatchedSession, lookMs: number) {
    this.keepalive = new Keepalive(terms);
    this.clock = clock;
    this.session = session;
    this.lookMs = lookMs;
  }

  /** HEADERS or DATA was sent, and neither was read since. */
  get isDue(): boolean {
    return this.keepalive.isDue;
  }

  /** The connection stands. Checks begin, also without streams if the options ask for that. */
  start(): void {
    this.look();
  }

  /** The session is over. */
  stop(): void {
    this.isOver = true;
    this.clock.cancel(this.timer);
  }

  /** HEADERS or DATA was sent. Call this while no answer is due. */
  sent(): void {
    if (this.isOver) return;
    const nowMs = this.clock.nowMs();
    this.keepalive.sent(nowMs);
    const { timer } = this;
    if (!timer.scheduled || timer.dueMs > nowMs + SILENCE_MS) this.look();
  }

  /** HEADERS or DATA was read. Call this while an answer is due. */
  heard(): void {
    this.keepalive.heard();
  }

  onTimer(): void {
    this.look();
  }

  private look(): void {
    if (this.isOver || !this.session.canPing) return;
    const { keepalive, session } = this;
    const nowMs = this.clock.nowMs();
    switch (keepalive.look(session.lastReadMs, session.openStreamCount, nowMs)) {
      case "wait":
        this.sleep(nowMs);
        break;
      case "ping":
        session.ping(() => {
          keepalive.acknowledged(this.clock.nowMs());
          this.look();
        });
        // The PING is written at the end of the turn, and a busy process may be late with it.
        setImmediate(() => {
          keepalive.asked(this.clock.nowMs());
          this.look();
        });
        break;
      case "dead":
        // Bytes that came while the process was busy are read first, in the next round of the event
        // loop.
        setImmediate(() => setImmediate(() => this.endIfSilent()));
    }
  }

  private sleep(nowMs: number): void {
    const { nextMs } = this.keepalive;
    if (nextMs === Number.POSITIVE_INFINITY) this.clock.cancel(this.timer);
    else this.clock.schedule(this.timer, Math.min(coarse(nextMs, nowMs), this.lookMs));
  }

  private endIfSilent(): void {
    if (this.isOver || !this.session.canPing) return;
    const { keepalive, session } = this;
    const nowMs = this.clock.nowMs();
    if (keepalive.look(session.lastReadMs, session.openStreamCount, nowMs) === "dead") {
      this.stop();
      session.onSilent();
    } else this.look();
  }
}

/** How long it is until `dueMs`, or a little longer. */
function coarse(dueMs: number, nowMs: number): number {
  const delayMs = dueMs - nowMs;
  return delayMs < FAR_MS ? delayMs : Math.ceil(dueMs / COARSE_MS) * COARSE_MS - nowMs;
}
