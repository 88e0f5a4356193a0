// What `serve` says of the connection to a backend: each change of its state, with the reason.
// Attempts that go on failing for the same reason are said once. A backend that comes and goes does
// not fill the log.

import type { ConnState } from "../index.ts";

/** Lines that may be said at once, and how long it takes until one more may. */
const BURST = 30;
const LINE_MS = 10_000;

export class ChangeLog {
  readonly #name: string;
  readonly #meanwhile: string;
  readonly #say: (line: string) => void;
  readonly #nowMs: () => number;
  /** Why it cannot be reached, as it was said last. */
  #failure: string | undefined;
  #wasReady = false;
  #lines = BURST;
  #countedMs: number;
  #unsaid = 0;

  /** @param meanwhile what becomes of calls while it cannot be reached */
  constructor(
    name: string,
    meanwhile: string,
    say: (line: string) => void,
    nowMs: () => number = Date.now,
  ) {
    this.#name = name;
    this.#meanwhile = meanwhile;
    this.#say = say;
    this.#nowMs = nowMs;
    this.#countedMs = nowMs();
  }

  /** @param failed it is the end of a connection, or of an attempt, that nobody here wanted */
  changed(state: ConnState, failed: boolean, reason: string): void {
    switch (state) {
      case "connecting":
        // While it cannot be reached there is one attempt after the other.
        if (this.#failure === undefined) this.#line(`connecting: ${reason}`);
        return;
      case "ready":
        this.#failure = undefined;
        this.#line(this.#wasReady ? "connected again" : "connected");
        this.#wasReady = true;
        return;
      case "transientFailure":
        if (reason === this.#failure) return;
        this.#failure = reason;
        this.#line(`unreachable, ${this.#meanwhile}: ${reason}`);
        return;
      case "idle":
        if (failed) this.#line(`lost: ${reason}`);
        else if (this.#failure === undefined) this.#line(`left: ${reason}`);
        return;
      case "shutdown":
        // The command says itself that it closes.
        if (failed) this.#line(`lost: ${reason}`);
    }
  }

  #line(text: string): void {
    const nowMs = this.#nowMs();
    const gained = Math.floor((nowMs - this.#countedMs) / LINE_MS);
    if (gained > 0) {
      this.#lines = Math.min(BURST, this.#lines + gained);
      this.#countedMs += gained * LINE_MS;
    }
    if (this.#lines === 0) {
      this.#unsaid++;
      return;
    }
    this.#lines--;
    const unsaid = this.#unsaid === 0 ? "" : ` (${this.#unsaid} changes before were not logged)`;
    this.#unsaid = 0;
    this.#say(`${this.#name} ${text}${unsaid}`);
  }
}
