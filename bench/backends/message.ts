// relay.bench.v1.EchoMessage by hand, and gRPC's five-byte prefix. The load and the lean backend
// need no protobuf.

import type { LentBytes } from "../../src/wire/lent-bytes.ts";

export interface EchoMessage {
  readonly payload: Buffer;
  readonly replyCount: number;
  readonly replyBytes: number;
}

export const PREFIX_BYTES = 5;

/** The message alone, as protobuf writes it (default values left out). */
export function encodeMessage(message: Partial<EchoMessage>): Buffer {
  const parts: Buffer[] = [];
  const payload = message.payload;
  if (payload !== undefined && payload.length > 0) {
    parts.push(Buffer.from([0x0a, ...varint(payload.length)]), payload);
  }
  if (message.replyCount) parts.push(Buffer.from([0x10, ...varint(message.replyCount)]));
  if (message.replyBytes) parts.push(Buffer.from([0x18, ...varint(message.replyBytes)]));
  return Buffer.concat(parts);
}

/** Decodes a message. Unknown fields are not expected: both ends are ours. */
export function decodeMessage(bytes: Buffer): EchoMessage {
  let at = 0;
  const readVarint = (): number => {
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = bytes[at++];
      if (byte === undefined) throw new RangeError("message ends within a varint");
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
    throw new RangeError("varint longer than 32 bits");
  };
  let payload: Buffer = Buffer.alloc(0);
  let replyCount = 0;
  let replyBytes = 0;
  while (at < bytes.length) {
    const tag = bytes[at++];
    const value = readVarint();
    if (tag === 0x0a) {
      if (at + value > bytes.length) throw new RangeError("message ends within its payload");
      payload = bytes.subarray(at, at + value);
      at += value;
    } else if (tag === 0x10) replyCount = value;
    else if (tag === 0x18) replyBytes = value;
    else throw new RangeError(`unexpected protobuf tag ${tag}`);
  }
  return { payload, replyCount, replyBytes };
}

function varint(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  while (rest > 0x7f) {
    bytes.push((rest % 0x80) | 0x80);
    rest = Math.floor(rest / 0x80);
  }
  bytes.push(rest);
  return bytes;
}

/**
 * A message whose protobuf form is exactly `bytes` long. The content is a fixed pattern, so that a
 * mix-up shows.
 * @throws {RangeError} for the few lengths that a payload alone cannot have, such as 130
 */
export function messageOfSize(bytes: number): Buffer {
  if (bytes === 0) return Buffer.alloc(0);
  for (let overhead = 2; overhead <= 6; overhead++) {
    const payload = Buffer.alloc(Math.max(0, bytes - overhead));
    if (payload.length > 0 && 1 + varint(payload.length).length === overhead) {
      for (let i = 0; i < payload.length; i++) payload[i] = (i * 31 + (i >> 8)) & 0xff;
      return encodeMessage({ payload });
    }
  }
  throw new RangeError(`no message is ${bytes} bytes long`);
}

/** The message behind gRPC's prefix: not compressed, length big-endian. */
export function withPrefix(message: Buffer): Buffer {
  const framed = Buffer.allocUnsafe(PREFIX_BYTES + message.length);
  framed[0] = 0;
  framed.writeUInt32BE(message.length, 1);
  message.copy(framed, PREFIX_BYTES);
  return framed;
}

/** Counts messages in a byte stream without keeping any of it. */
export class MessageCounter {
  messageCount = 0;
  #prefixRead = 0;
  #lengthRead = 0;
  #left = 0;

  /** Whether the bytes so far end at a message boundary: nothing was cut off. */
  get whole(): boolean {
    return this.#prefixRead === 0;
  }

  push(chunk: LentBytes): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.#prefixRead < PREFIX_BYTES) {
        const byte = chunk.readUInt8(at++);
        if (this.#prefixRead > 0) this.#lengthRead = this.#lengthRead * 256 + byte;
        if (++this.#prefixRead < PREFIX_BYTES) continue;
        this.#left = this.#lengthRead;
      }
      const taken = Math.min(this.#left, chunk.length - at);
      at += taken;
      this.#left -= taken;
      if (this.#left === 0) {
        this.messageCount++;
        this.#prefixRead = 0;
        this.#lengthRead = 0;
      }
    }
  }
}
