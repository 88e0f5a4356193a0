// Certificates that change: the PEM files are read again on SIGHUP and when they have changed.

import { unwatchFile, watchFile } from "node:fs";
import { messageOf } from "./command-error.ts";
import type { Terminal } from "./terminal.ts";
import type { TlsFiles } from "./tls-files.ts";

/**
 * How often the files are looked at, in milliseconds. They are looked at by name, since a file that
 * is put in the place of another (Kubernetes swaps a link to their folder) is no event of the old
 * one.
 */
const LOOK_MS = 2_000;

/** The files of one side, and their content when last read. */
export class TlsWatch<Options> {
  readonly #files: TlsFiles<Options>;
  readonly #terminal: Terminal;
  readonly #apply: (options: Options) => void;
  readonly #unsubscribe: () => void;
  /** Reads one after the other: what was read last holds. */
  #reading: Promise<void> = Promise.resolve();

  /** @param apply gets the content of the files; it may throw */
  constructor(files: TlsFiles<Options>, terminal: Terminal, apply: (options: Options) => void) {
    this.#files = files;
    this.#terminal = terminal;
    this.#apply = apply;
    this.#unsubscribe = terminal.onReload(this.#read);
    for (const path of files.paths) {
      watchFile(path, { interval: LOOK_MS, persistent: false }, this.#read);
    }
  }

  end(): void {
    this.#unsubscribe();
    for (const path of this.#files.paths) unwatchFile(path, this.#read);
  }

  readonly #read = (): void => {
    this.#reading = this.#reading.then(async () => {
      const names = this.#files.paths.join(", ");
      try {
        this.#apply(await this.#files.read());
        this.#terminal.warn(`read again: ${names}`);
      } catch (error) {
        // A certificate may have been written before its key: the key's own change comes next.
        this.#terminal.warn(`what was read before stays in use: ${messageOf(error)}`);
      }
    });
  };
}
