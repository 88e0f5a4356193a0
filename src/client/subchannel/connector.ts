// Makes the sessions of one address, one at a time. After a failure it makes none before the
// backoff is over (grpc/grpc doc/connection-backoff.md).

import type { GrpcError } from "../../grpc/error.ts";
import { currentScope, type Scope } from "../../observe/scope.ts";
import type { Clock } from "../../time/clock.ts";
import { Timer, type TimerOwner } from "../../time/timer-wheel.ts";
import { errorText } from "../../transport/error-text.ts";
import type { ClientSession, SessionEnd } from "../../transport/transport.ts";
import { ErrorCode } from "../../wire/error-code.ts";
import { connectError } from "../errors/upstream-error.ts";
import type { Attempt, Attempts, SessionAttempt } from "./attempts.ts";
import type { AddressPast, ConnectHistory } from "./connect-history.ts";
import type { SessionSource } from "./session-source.ts";

/** The owner of the sessions. */
interface ConnectorOwner {
  /** The address as text, for messages. */
  readonly target: string;
  /** A new attempt, which reports the session to the owner. */
  newAttempt(): Attempt;
  /** `attempt` is now `connecting`. Its session is asked for when this returns. */
  onConnecting(why: string): void;
  /** There is a session. Its own events say whether it takes calls. */
  onSession(attempt: Attempt, session: ClientSession): void;
  /** The backoff has begun; not for a source that cannot be asked again. */
  onConnectFailed(error: GrpcError, reason: string): void;
  onBackoffOver(): void;
}

export class Connector implements TimerOwner {
  readonly #owner: ConnectorOwner;
  readonly #attempts: Attempts;
  readonly #source: SessionSource;
  readonly #clock: Clock;
  /** The context in which this was made: the events of its sessions belong to no single call. */
  readonly #scope: Scope = currentScope();
  readonly #history: ConnectHistory;
  readonly #backoffTimer: Timer;
  #connecting: Attempt | undefined;
  #failure: GrpcError | undefined;
  /** A backoff was cut short, and neither has one run out since, nor has the server worked. */
  #wasCut = false;
  #wasAsked = false;

  /** @param attempts all sessions of the address; new ones are added */
  constructor(owner: ConnectorOwner, attempts: Attempts, past: AddressPast, clock: Clock) {
    this.#owner = owner;
    this.#attempts = attempts;
    this.#source = past.source;
    this.#history = past.history;
    this.#clock = clock;
    this.#backoffTimer = new Timer(this);
  }

  /** The attempt whose session is being made. */
  get connecting(): Attempt | undefined {
    return this.#connecting;
  }

  /** While the backoff runs: why the latest attempt failed. */
  get failure(): GrpcError | undefined {
    return this.#failure;
  }

  /** A session was asked for, at any time. */
  get wasAsked(): boolean {
    return this.#wasAsked;
  }

  /**
   * Makes a session, or waits for the backoff before it does. Only while none is being made, and no
   * backoff runs.
   * @param why for people, one line
   */
  begin(why: string): void {
    const { wait, earlyEnds } = this.#history;
    const leftMs = wait === undefined ? 0 : wait.untilMs - this.#clock.nowMs();
    if (wait !== undefined && leftMs > 0) {
      this.#waitFor(leftMs, wait.error, wait.reason);
      return;
    }
    const waitMs = earlyEnds.takeWaitMs();
    if (waitMs > 0) {
      const reason = "the server went away before it answered a call";
      this.#failed(connectEnd(this.#owner.target, reason), waitMs);
      return;
    }
    const attempt = this.#owner.newAttempt();
    this.#connecting = attempt;
    this.#owner.onConnecting(why);
    // A listener may have shut the subchannel down.
    if (this.#connecting === attempt) this.connect(attempt);
  }

  /** Asks for the session of `attempt`. */
  connect(attempt: Attempt): void {
    this.#wasAsked = true;
    this.#attempts.add(attempt);
    let session: ClientSession;
    try {
      // The session outlives the call for which it is made, so it must not keep the context of that
      // call.
      session = this.#scope.runInAsyncScope(this.#source.connect, this.#source, attempt);
    } catch (cause) {
      const { target } = this.#owner;
      const reason = cause instanceof Error ? errorText(cause, target) : String(cause);
      attempt.onClosed({ ...connectEnd(target, reason), cause });
      return;
    }
    attempt.session = session;
    this.#owner.onSession(attempt, session);
  }

  /** The session of `connecting` takes calls. */
  succeeded(): void {
    const { earlyEnds, backoff } = this.#history;
    if (earlyEnds.isHealthy) {
      backoff.reset();
      this.#wasCut = false;
    }
    this.#connecting = undefined;
  }

  /**
   * Ends the backoff before its time. The next one is longer all the same, and runs its course: so
   * there are at most twice as many attempts as without this.
   * @returns `false` when no backoff runs, or the one before was cut short
   */
  cutBackoff(): boolean {
    if (this.#failure === undefined || this.#wasCut) return false;
    this.#wasCut = true;
    this.#endWait();
    this.#clock.cancel(this.#backoffTimer);
    return true;
  }

  /** The session of `connecting` is over. */
  failed(end: SessionEnd): void {
    this.#failed(end, this.#history.backoff.nextMs());
  }

  /**
   * The session of `connecting` has never taken a call, and goes away. Without backoff a server
   * that goes away at once would be connected to in a loop.
   */
  goneAway(reason: string): void {
    this.failed(connectEnd(this.#owner.target, reason));
  }

  /** The server sends GOAWAY on a session that could take calls. */
  left(attempt: SessionAttempt): void {
    this.#history.earlyEnds.add(attempt);
  }

  /** A session that could take calls is lost. */
  lost(attempt: SessionAttempt): void {
    if (attempt.wasUsed) this.#history.earlyEnds.forgive();
    else this.#history.earlyEnds.add(attempt);
  }

  /** No more sessions are wanted. Who comes after it waits for the rest of a backoff. */
  stop(): void {
    this.#clock.cancel(this.#backoffTimer);
    this.#connecting = undefined;
    this.#failure = undefined;
  }

  #failed(end: SessionEnd, waitMs: number): void {
    const error = connectError(this.#owner.target, end);
    const reason = end.reason ?? end.message;
    this.#connecting = undefined;
    if (this.#source.reconnects) {
      this.#history.wait = { untilMs: this.#clock.nowMs() + waitMs, error, reason };
      this.#waitFor(waitMs, error, reason);
    } else this.#owner.onConnectFailed(error, reason);
  }

  #waitFor(waitMs: number, error: GrpcError, reason: string): void {
    this.#failure = error;
    this.#clock.schedule(this.#backoffTimer, waitMs);
    this.#owner.onConnectFailed(error, reason);
  }

  #endWait(): void {
    this.#failure = undefined;
    this.#history.wait = undefined;
  }

  onTimer(): void {
    this.#endWait();
    this.#wasCut = false;
    this.#owner.onBackoffOver();
  }
}

/** @param reason without the address */
function connectEnd(target: string, reason: string): SessionEnd {
  const message = `${target} not connected: ${reason}`;
  return { kind: "connect", code: ErrorCode.NO_ERROR, message, reason };
}
