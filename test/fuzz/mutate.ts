// Damage to frames, in ways that know what frames look like.

import {
  type FieldInput,
  Frame,
  frames,
  headerBlock,
  request,
  response,
} from "../support/frames.ts";
import type { Dice } from "./dice.ts";

type Part = Frame | Buffer;

/** Sizes and identifiers at borders. */
const EDGES = [
  0, 1, 2, 3, 5, 0x3fff, 0x4000, 0x4001, 0xffff, 0x10000, 0xffffff, 0x7ffffffe, 0x7fffffff,
];
const EDGES_32 = [...EDGES, 0x80000000, 0xffffffff];

const BAD_FIELDS: readonly FieldInput[] = [
  ["Upper", "x"],
  ["", "x"],
  ["x y", "x"],
  ["x", "a\nb"],
  ["x", "\0"],
  ["x", " lead"],
  ["connection", "close"],
  ["transfer-encoding", "chunked"],
  ["te", "gzip"],
  ["content-length", "-1"],
  ["content-length", "7"],
  ["content-length", "999999999999999999"],
  [":path", ""],
  [":status", "101"],
  [":status", "99"],
  [":protocol", "websocket"],
  [":authority", "a@b"],
];

/** Remembers what was sent, so that it can come again. */
export class Mutator {
  readonly #dice: Dice;
  readonly #earlier: Part[] = [];

  constructor(dice: Dice) {
    this.#dice = dice;
  }

  remember(parts: readonly Part[]): void {
    const dice = this.#dice;
    for (const part of parts) {
      if (this.#earlier.length < 32) this.#earlier.push(part);
      else if (dice.chance(4)) this.#earlier[dice.below(32)] = part;
    }
  }

  /** `group` with one thing wrong, or one thing more. */
  mutate(group: readonly Part[]): Part[] {
    const dice = this.#dice;
    const parts = [...group];
    const at = dice.below(Math.max(1, parts.length));
    const victim = parts[at];
    switch (dice.below(10)) {
      case 0:
        parts.splice(at, 1);
        break;
      case 1:
        if (victim !== undefined) parts.splice(at, 0, victim);
        break;
      case 2:
        parts.reverse();
        break;
      case 3:
        if (this.#earlier.length > 0) parts.splice(at, 0, dice.pick(this.#earlier));
        break;
      case 4:
        parts.splice(at, 0, this.#invented());
        break;
      case 5:
        parts.splice(at, 0, dice.bytes(dice.skewed(4_000)));
        break;
      default:
        if (victim instanceof Frame) parts[at] = this.#damage(victim);
        else if (victim !== undefined) parts[at] = this.#flip(victim);
    }
    return parts;
  }

  /** A frame that is nearly one. */
  #damage(frame: Frame): Part {
    const dice = this.#dice;
    const { type, flags, streamId, payload } = frame;
    switch (dice.below(9)) {
      case 0:
        return frames.raw(dice.below(dice.chance(4) ? 256 : 10), flags, streamId, payload);
      case 1:
        return frames.raw(type, dice.below(256), streamId, payload);
      case 2:
        return frames.raw(type, flags ^ (1 << dice.below(8)), streamId, payload);
      case 3:
        return frames.raw(type, flags, this.#streamId(streamId), payload);
      case 4:
        return frames.raw(
          type,
          flags,
          streamId,
          payload.subarray(0, dice.below(payload.length + 1)),
        );
      case 5:
        return frames.raw(
          type,
          flags,
          streamId,
          Buffer.concat([payload, dice.bytes(dice.skewed(20_000))]),
        );
      case 6: {
        // A length that lies: what follows is read as something else.
        const bytes = frame.bytes();
        bytes.writeUIntBE(
          Math.min(0xffffff, dice.pick([...EDGES, payload.length + 1])) & 0xffffff,
          0,
          3,
        );
        return bytes;
      }
      default:
        return frames.raw(type, flags, streamId, this.#flip(payload));
    }
  }

  #streamId(near: number): number {
    const dice = this.#dice;
    const ids = [0, 1, 2, near + 1, near + 2, near - 2, near - 1, dice.below(60), dice.pick(EDGES)];
    return Math.max(0, dice.pick(ids)) & 0x7fffffff;
  }

  #flip(bytes: Buffer): Buffer {
    const flipped = Buffer.from(bytes);
    for (let times = this.#dice.between(1, 3); times > 0 && flipped.length > 0; times--) {
      const at = this.#dice.below(flipped.length);
      flipped.writeUInt8(flipped.readUInt8(at) ^ (1 << this.#dice.below(8)), at);
    }
    return flipped;
  }

  /** A frame that nobody would send here. */
  #invented(): Part {
    const dice = this.#dice;
    const id = this.#streamId(1 + 2 * dice.below(20));
    const edge = dice.pick(EDGES_32);
    switch (dice.below(14)) {
      case 0:
        return frames.settings({ [dice.below(9)]: edge });
      case 1:
        return frames.settingsAck();
      case 2:
        return frames.windowUpdate(id, edge);
      case 3:
        return frames.windowUpdate(0, edge);
      case 4:
        return frames.rst(id, edge);
      case 5:
        return frames.goaway(edge, dice.pick(EDGES_32), dice.bytes(dice.below(20)));
      case 6:
        return frames.pushPromise(id, id + 1, request("/pushed"));
      case 7:
        return frames.continuation(id, dice.bytes(dice.below(50)), { endHeaders: dice.chance(2) });
      case 8:
        return frames.headers(id, this.#hpackNoise(), {
          endStream: dice.chance(2),
          endHeaders: dice.below(8) > 0,
        });
      case 9:
        return frames.headers(id, this.#badFields(), { endStream: dice.chance(2) });
      case 10:
        return frames.data(id, dice.bytes(dice.skewed(16_384)), { endStream: dice.chance(3) });
      case 11:
        return frames.priority(id, dice.chance(2) ? id : edge);
      case 12:
        return frames.pingAck(dice.bytes(8));
      default:
        return frames.raw(dice.below(256), dice.below(256), id, dice.bytes(dice.skewed(300)));
    }
  }

  #badFields(): Buffer {
    const dice = this.#dice;
    const fields = dice.chance(2) ? request("/a/B") : response();
    fields.splice(dice.below(fields.length + 1), dice.below(2), dice.pick(BAD_FIELDS));
    return headerBlock(fields);
  }

  /** Representations of RFC 7541 §6 in a random order, now and then cut off. */
  #hpackNoise(): Buffer {
    const dice = this.#dice;
    const parts: Buffer[] = dice.chance(2) ? [headerBlock(request("/a/B"))] : [];
    for (let left = dice.between(1, 8); left > 0; left--) {
      const first = dice.pick([0x80, 0x40, 0x20, 0x10, 0x00]);
      const prefix = first === 0x80 ? 7 : first === 0x40 ? 6 : first === 0x20 ? 5 : 4;
      const index = dice.pick([0, 1, 8, 61, 62, 63, 70, 200, 4_096, 0xffffffff]);
      parts.push(integer(first, prefix, index));
      if (first === 0x80 || first === 0x20) continue;
      if (index === 0) parts.push(this.#string());
      parts.push(this.#string());
    }
    const block = Buffer.concat(parts);
    return dice.chance(3) ? block.subarray(0, dice.below(block.length + 1)) : block;
  }

  #string(): Buffer {
    const dice = this.#dice;
    const bytes = dice.chance(2)
      ? dice.bytes(dice.below(40))
      : Buffer.alloc(dice.skewed(6_000), "a");
    const length = dice.chance(10) ? dice.pick(EDGES) : bytes.length;
    return Buffer.concat([integer(dice.chance(2) ? 0x80 : 0, 7, length), bytes]);
  }
}

/** RFC 7541 §5.1. */
function integer(first: number, prefixBits: number, value: number): Buffer {
  const mask = 2 ** prefixBits - 1;
  if (value < mask) return Buffer.from([first | value]);
  const octets = [first | mask];
  let rest = value - mask;
  for (; rest >= 128; rest = Math.floor(rest / 128)) octets.push((rest % 128) | 128);
  octets.push(rest);
  return Buffer.from(octets);
}

/** Bytes that are hardly frames: whole noise, or frame headers with noise behind them. */
export function noise(dice: Dice): Buffer {
  if (dice.chance(3)) return dice.bytes(dice.skewed(3_000));
  const parts: Buffer[] = [];
  for (let left = dice.between(1, 6); left > 0; left--) {
    const payload = dice.bytes(dice.pick([0, 4, 5, 6, 8, 8, dice.skewed(400)]));
    const id = dice.chance(2) ? 0 : dice.below(12);
    parts.push(
      frames.raw(dice.below(11), dice.chance(2) ? 0 : dice.below(256), id, payload).bytes(),
    );
  }
  return Buffer.concat(parts);
}
