// Makes V8 collect buffers that were read and passed on. A relay of bulk allocates read buffers and
// little else. From Node.js 24 on their bytes alone cause no collection of the young generation. So
// the buffers pile up until a full collection is due, at 64 MiB.

import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

/**
 * How many bytes may pile up. A collection costs about a millisecond, and relaying 16 MiB takes
 * several. A collection also avoids full ones, which cost more.
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
 * V8 puts `gc` into contexts that are made while the flag is set. Without `gc`, V8 decides when
 * memory is collected.
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
