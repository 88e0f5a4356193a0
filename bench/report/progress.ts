// Shows the progress of a run: one line that is rewritten, or plain lines where there is no
// terminal.

export class Progress {
  readonly #out: NodeJS.WriteStream;
  readonly #startedMs = performance.now();
  readonly #total: number;
  #done = 0;
  #shown = "";

  constructor(out: NodeJS.WriteStream, total: number) {
    this.#out = out;
    this.#total = total;
  }

  /** Without a terminal, only the first subject of a step gets a line. */
  step(scenario: string, what: string, subject: string): void {
    const elapsed = ((performance.now() - this.#startedMs) / 1_000).toFixed(0);
    if (this.#out.isTTY) {
      const line = `[${this.#done}/${this.#total}] ${scenario}: ${what}, ${subject} (${elapsed} s)`;
      this.#out.write(`\r\u001b[2K${line.slice(0, this.#out.columns - 1)}`);
      this.#shown = line;
      return;
    }
    const line = `[${this.#done}/${this.#total}] ${scenario}: ${what}`;
    if (line !== this.#shown) this.#out.write(`${line} (${elapsed} s)\n`);
    this.#shown = line;
  }

  /** A line that stays. */
  say(line: string): void {
    if (this.#out.isTTY && this.#shown !== "") {
      this.#out.write("\r\u001b[2K");
      this.#shown = "";
    }
    this.#out.write(`${line}\n`);
  }

  finished(): void {
    this.#done++;
  }
}
