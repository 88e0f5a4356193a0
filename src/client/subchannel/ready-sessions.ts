// The sessions of one address that take calls. The oldest with room gets the next call (gRFC A105),
// so that those that are not needed get none, and end.

import type { ClientSession, Session } from "../../transport/transport.ts";
import type { Attempt, SessionAttempt } from "./attempts.ts";

/** Sessions that take calls, the oldest first. */
export class ReadySessions {
  readonly #all: SessionAttempt[] = [];

  get size(): number {
    return this.#all.length;
  }

  get oldest(): SessionAttempt | undefined {
    return this.#all[0];
  }

  /** How many streams can be opened now, on all of them. */
  get room(): number {
    let room = 0;
    for (const { session } of this.#all) room += session.availableStreamCount;
    return room;
  }

  /** Calls under way on all of them. */
  get openStreamCount(): number {
    let count = 0;
    for (const { openStreamCount } of this.#all) count += openStreamCount;
    return count;
  }

  /** How many calls may be open at a time, on all of them and on `more` such as the oldest. */
  capacity(more: number): number {
    let capacity = 0;
    for (const attempt of this.#all) capacity += attempt.countLimit() - attempt.sideCount;
    return capacity + more * (this.oldest?.session.streamLimit ?? 0);
  }

  /** The sessions; a copy. */
  get sessions(): ClientSession[] {
    return this.#all.map(({ session }) => session);
  }

  /** All are at the server's MAX_CONCURRENT_STREAMS. */
  get areFull(): boolean {
    return this.#all.every(({ session }) => session.atStreamLimit);
  }

  /** Those that take calls only until another is ready in their place; a copy. */
  get outlived(): SessionAttempt[] {
    return this.#all.filter(({ life }) => life === "outlived");
  }

  /** The oldest with room. `refusedOn` is taken only if no other has room. */
  withRoom(refusedOn: Session | undefined): SessionAttempt | undefined {
    let refusing: SessionAttempt | undefined;
    for (const attempt of this.#all) {
      if (attempt.session.availableStreamCount <= 0) continue;
      if (attempt.session !== refusedOn) return attempt;
      refusing = attempt;
    }
    return refusing;
  }

  /**
   * The oldest with room for a stream beside its calls. `"full"`: room has yet to come. `"never"`:
   * the server allows one stream on each, which is for calls.
   */
  besideCalls(): SessionAttempt | "full" | "never" {
    let otherwise: "full" | "never" = "never";
    for (const attempt of this.#all) {
      const { streamLimit, availableStreamCount } = attempt.session;
      if (streamLimit < 2) continue;
      if (availableStreamCount > 0) return attempt;
      otherwise = "full";
    }
    return otherwise;
  }

  of(session: Session): SessionAttempt | undefined {
    return this.#all.find((attempt) => attempt.session === session);
  }

  /** Another than `attempt` is there to stay. */
  hasStandInFor(attempt: Attempt): boolean {
    return this.#all.some((other) => other !== attempt && other.life === "ready");
  }

  add(attempt: SessionAttempt): void {
    attempt.life = "ready";
    this.#all.push(attempt);
  }

  /** `attempt` takes no more calls. */
  remove(attempt: SessionAttempt): void {
    attempt.leave();
    this.#all.splice(this.#all.indexOf(attempt), 1);
  }

  removeAll(): void {
    for (const attempt of this.#all.splice(0)) attempt.leave();
  }
}
