// The garbage of reads of this process.

import { type Collect, findCollect, ReadGarbage } from "./read-garbage.ts";

/**
 * The first release of Node.js whose V8 has to be told. The ones before do it at 32 MiB, and an
 * early word only makes buffers old.
 */
const FIRST_MAJOR = 23;

const garbage = new ReadGarbage(
  Number.parseInt(process.versions.node, 10) >= FIRST_MAJOR ? firstFind() : () => undefined,
);

/** A process that never relays bulk gets no second context. */
function firstFind(): Collect {
  let collect: Collect | undefined;
  return () => {
    collect ??= findCollect();
    collect();
  };
}

/** Counts `bytes` that came from a socket: in memory of their own, or soon copied there. */
export function countRead(bytes: number): void {
  garbage.count(bytes);
}
