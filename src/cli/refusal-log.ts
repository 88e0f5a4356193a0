// Logs on standard error what clients and backends were refused. Each kind is logged once in a
// while, so that one peer cannot fill the log.

import { type RefusedEvent, refused } from "../observe/channels.ts";
import { type Clock, systemClock } from "../time/clock.ts";
import { Timer, type TimerOwner } from "../time/timer-wheel.ts";
import { messageOf } from "./command-error.ts";
import type { Terminal } from "./terminal.ts";

const PERIOD_MS = 60_000;
const MAX_LINES_PER_PERIOD = 20;
const MAX_LINE_CHARACTERS = 300;

export class RefusalLog implements TimerOwner {
  readonly #terminal: Terminal;
  readonly #clock: Clock;
  readonly #timer = new Timer(this);
  /** Kinds that were logged in this period. */
  readonly #told = new Set<string>();
  #untoldCount = 0;
  /** Told on the channel already. */
  #lastCause: Error | undefined;
  readonly #unsubscribe: () => void;

  /** Begins to listen. */
  constructor(terminal: Terminal, clock: Clock = systemClock) {
    this.#terminal = terminal;
    this.#clock = clock;
    this.#unsubscribe = refused.subscribe((event) => this.#onRefused(event));
  }

  /** Gets failed connections and sockets from a server; some of them are refusals. */
  readonly onConnectionError = (error: Error): void => {
    const isTold = error === this.#lastCause;
    this.#lastCause = undefined;
    const line = `listening failed: ${messageOf(error)}`;
    if (!isTold) this.#tell(line, line);
  };

  /** Logs the rest. */
  end(): void {
    this.#unsubscribe();
    this.#clock.cancel(this.#timer);
    this.onTimer();
  }

  onTimer(): void {
    const count = this.#untoldCount;
    this.#untoldCount = 0;
    this.#told.clear();
    if (count === 0) return;
    const more = count === 1 ? "1 more refusal like" : `${count} more refusals like`;
    this.#terminal.warn(`${more} those above within ${PERIOD_MS / 1_000} s`);
  }

  #onRefused({ scope, side, peer, streamId, rule, limit, cause }: RefusedEvent): void {
    this.#lastCause = cause;
    const role = side === "downstream" ? "client" : "backend";
    const what = scope === "stream" ? `stream ${streamId} of ${role}` : role;
    const isNamed = limit === undefined || rule.includes(limit.name);
    const bound = isNamed ? "" : ` (${limit.name} ${limit.value})`;
    // Other ports and other sizes are the same kind.
    const kind = `${scope} ${role} ${peer.replace(/:\d+$/, "")} ${rule.replaceAll(/\d+/g, "#")}`;
    this.#tell(kind, `${what} ${peer} refused: ${rule}${bound}`);
  }

  #tell(kind: string, line: string): void {
    if (this.#told.has(kind) || this.#told.size >= MAX_LINES_PER_PERIOD) {
      this.#untoldCount++;
      return;
    }
    if (this.#told.size === 0) this.#clock.schedule(this.#timer, PERIOD_MS);
    this.#told.add(kind);
    this.#terminal.warn(printable(line));
  }
}

/** One line of ASCII: a rule may show what the peer sent. */
function printable(text: string): string {
  const escaped = text.replaceAll(
    /[^ -~]/g,
    (character) => `\\x${character.charCodeAt(0).toString(16).padStart(2, "0")}`,
  );
  return escaped.length <= MAX_LINE_CHARACTERS
    ? escaped
    : `${escaped.slice(0, MAX_LINE_CHARACTERS)}...`;
}
