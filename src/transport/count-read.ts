// Counts the garbage of reads in this process.

import { type Collect, findCollect, ReadGarbage } from "./read-garbage.ts";

/**
 * The first major release of Node.js whose V8 needs the request. V8 of earlier releases collects at
 * 32 MiB; an earlier collection would only make buffers old.
 */
const FIRST_MAJOR = 23;

const garbage = new ReadGarbage(
  Number.parseInt(process.versions.node, 10) >= FIRST_MAJOR ? firstFind() : () => undefined,
);

/** Made on first use: a process that never relays bulk gets no second context. */
function firstFind(): Collect {
  let collect: Collect | undefined;
  return () => {
    collect ??= findCollect();
    collect();
  };
}

/** Counts `bytes` that came from a socket, in memory of their own or soon copied there. */
export function countRead(bytes: number): void {
  garbage.count(bytes);
}
