// What an attack is.

import type { Assailant, AssailantOptions, Attempt } from "./assailant.ts";

export interface Attack {
  readonly name: string;
  /** Who attacks the relay. */
  readonly side: "client" | "backend";
  /** The limit that stops it, or the rule it breaks; `undefined` if nothing has to stop it. */
  readonly limit: string | undefined;
  /** How the attacker's connection ends. `"open"`: it is there as long as the attacker wants. */
  readonly end: string;
  readonly options?: AssailantOptions;
  /** What goes over one connection: of a client from its begin, of a backend for one request. */
  readonly attempt: (assailant: Assailant, streamId: number) => Attempt;
  /** Client: the other backend answers each call at once. It hangs otherwise. */
  readonly isAnswered?: boolean;
  /** Backend: the clients of its calls cancel them at once. */
  readonly isCancelled?: boolean;
  /** Not bounded yet: neither its end nor its memory is judged. The README says what is open. */
  readonly isOpen?: boolean;
  /** Part of the brief run. */
  readonly isBrief?: boolean;
}

const FRAME_HEADER_BYTES = 9;

/** `bytes` again and again, about 64 KiB at a time. */
export function* endlessly(bytes: Buffer): Attempt {
  const chunk = Buffer.concat(new Array(Math.ceil(65_536 / bytes.length)).fill(bytes));
  for (;;) yield chunk;
}

/** A pause until more streams have ended. */
const TURN_MS = 1;

/**
 * The frames of `build` on new streams, `count` streams at a time. They are built once; later ones
 * only get other stream ids.
 * @param maxOpen streams that may be open at once
 */
export function* onNewStreams(
  assailant: Assailant,
  count: number,
  build: (streamId: number) => Buffer,
  maxOpen: number = Number.POSITIVE_INFINITY,
): Attempt {
  const template = Buffer.concat(Array.from({ length: count }, (_, i) => build(2 * i + 1)));
  for (;;) {
    while ((assailant.nextId - 1) / 2 + count - assailant.endedCount > maxOpen) yield TURN_MS;
    const bytes = Buffer.from(template);
    const base = assailant.nextId - 1;
    for (let at = 0; at < bytes.length; ) {
      const streamId = bytes.readUInt32BE(at + 5);
      if (streamId !== 0) bytes.writeUInt32BE(streamId + base, at + 5);
      at += FRAME_HEADER_BYTES + bytes.readUIntBE(at, 3);
    }
    assailant.nextId += 2 * count;
    yield bytes;
  }
}

/** The first of what `attempt` gives. */
export function* once(attempt: Attempt): Attempt {
  for (const next of attempt) {
    yield next;
    return;
  }
}
