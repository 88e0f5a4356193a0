// The lines of `serve` about the connection to a backend: each change of its state, with the
// reason. Repeated failures for the same reason are logged once. A backend that comes and goes does
// not fill the log.

import type { ConnState } from "../index.ts";

/** How many lines may be logged at once, and how long it takes until one more may be. */
const BURST = 30;
const LINE_MS = 10_000;

export class ChangeLog {
  readonly #name: string;
  readonly #meanwhile: string;
  readonly #say: (line: string) => void;
  readonly #nowMs: () => number;
  /** The reason of the failure that was logged last. */
  #failure: string | undefined;
  #wasReady = false;
  #lines = BURST;
  #countedMs: number;
  #unsaid = 0;

  /** @param meanwhile what happens to calls while the backend cannot be reached */
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

  /** @param failed a connection or an attempt ended, and nobody here wanted that */
  changed(state: ConnState, failed: boolean, reason: string): void {
    switch (state) {
      case "connecting":
        // Who is connected to all addresses connects again at once.
        if (failed) this.#line(`lost: ${reason}`);
        // While the backend cannot be reached, one attempt follows another.
        else if (this.#failure === undefined) this.#line(`connecting: ${reason}`);
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
        // The command itself logs that it closes.
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
