// Has V8 collect what was read and passed on. A relay of bulk allocates read buffers and little
// else, and from Node.js 24 on their bytes alone cause no collection of the young generation any
// more: they pile up until a full one is due, at 64 MiB.

import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

/**
 * What may pile up. A collection costs about a millisecond, to relay 16 MiB takes several; and it
 * spares full ones, which cost more.
 */
const GARBAGE_BYTES = 16_777_216;

/** Collects the young generation. */
export type Collect = () => void;

export class ReadGarbage {
  #uncollectedBytes = 0;
  readonly #collect: Collect;

  constructor(collect: Collect) {
    this.#collect = collect;
  }

  count(bytes: number): void {
    this.#uncollectedBytes += bytes;
    if (this.#uncollectedBytes < GARBAGE_BYTES) return;
    this.#uncollectedBytes = 0;
    this.#collect();
  }
}

/**
 * V8 puts `gc` into contexts that are made while the flag is set. Where it does not, memory is
 * collected when V8 pleases.
 */
export function findCollect(): Collect {
  const found = globalThis.gc ?? exposeGc();
  return typeof found === "function" ? () => found({ type: "minor" }) : () => undefined;
}

function exposeGc(): unknown {
  try {
    setFlagsFromString("--expose-gc");
    const found: unknown = runInNewContext("gc");
    setFlagsFromString("--no-expose-gc");
    return found;
  } catch {
    // A runtime with other flags, or none.
    return undefined;
  }
}
