// Finds messages in a stream of bytes that is cut into unrelated chunks. The relay counts messages
// and assembles nothing. Peeking and local handlers parse, and get frames. The parsers know no
// stream and no window: the owner asks, and acknowledges.

import { appendChunk } from "../wire/chunk-list.ts";
import { keep, type LentBytes } from "../wire/lent-bytes.ts";
import { ErrorReason, failure, type GrpcError } from "./error.ts";
import { Frame, MAX_PAYLOAD_BYTES, PREFIX_BYTES, payloadBytesAt, payloadBytesOn } from "./frame.ts";
import { Status } from "./status.ts";

/** Who sends the messages; errors name it. */
export type MessageSource = "downstream" | "upstream";

/**
 * Counts the messages that pass, and refuses one above a limit, without keeping a byte. The flag
 * byte is not checked: the reader of the message checks it.
 */
export class MessageCounter {
  private passedCount = 0;
  /** Bytes of the current message's prefix seen so far, 0 to 4; also 0 while its payload passes. */
  private prefixSeen = 0;
  /** The length of the current message, as far as its bytes have been seen. */
  private length = 0;
  /** Bytes of the payload still to come. */
  private payloadLeft = 0;
  /** `undefined` for no limit: so large a number would be an object of its own for each counter. */
  private readonly maxMessageBytes: number | undefined;
  private readonly source: MessageSource;

  /** @param maxMessageBytes largest payload; by default only the limit of the format */
  constructor(maxMessageBytes: number = MAX_PAYLOAD_BYTES, source: MessageSource = "downstream") {
    this.maxMessageBytes = maxMessageBytes < MAX_PAYLOAD_BYTES ? maxMessageBytes : undefined;
    this.source = source;
  }

  /** Messages whose last byte has passed. */
  get messageCount(): number {
    return this.passedCount;
  }

  /** No message is under way: a stream may end here. */
  get atMessageBoundary(): boolean {
    return this.payloadLeft === 0 && this.prefixSeen === 0;
  }

  /**
   * Takes the next bytes of the stream.
   * @throws {GrpcError} RESOURCE_EXHAUSTED as soon as a prefix announces a message above the limit;
   * the counter is of no use afterwards
   */
  push(chunk: LentBytes): void {
    const size = chunk.length;
    const from = this.prefixSeen === 0 ? 0 : this.readPrefix(chunk, 0);
    // The end of the current message, where the next prefix begins; 0 for nearly every chunk that
    // is relayed.
    let next = from + this.payloadLeft;
    if (next > from && next <= size) this.passedCount++;
    while (next + PREFIX_BYTES <= size) {
      const length = payloadBytesAt(chunk, next);
      this.checkLength(length);
      next += PREFIX_BYTES + length;
      if (next <= size) this.passedCount++;
    }
    this.payloadLeft = Math.max(0, next - size);
    if (next < size) this.readPrefix(chunk, next);
  }

  /** Reads the part of a prefix that `chunk` holds from `at` on. Returns where that part ends. */
  private readPrefix(chunk: LentBytes, at: number): number {
    const end = Math.min(chunk.length, at + PREFIX_BYTES - this.prefixSeen);
    this.length = payloadBytesOn(this.length, this.prefixSeen, chunk, at, end);
    this.prefixSeen += end - at;
    if (this.prefixSeen === PREFIX_BYTES) {
      this.checkLength(this.length);
      this.prefixSeen = 0;
      this.payloadLeft = this.length;
      if (this.length === 0) this.passedCount++;
    }
    return end;
  }

  private checkLength(length: number): void {
    const most = this.maxMessageBytes;
    if (most !== undefined && length > most) throw messageTooLarge(length, most, this.source);
  }
}

interface MessageParserOptions {
  /** Largest payload. @default 4_294_967_295, the limit of the format */
  readonly maxMessageBytes?: number;
  /** @default "downstream" */
  readonly source?: MessageSource;
  /** Keep every byte for `drainAll`, also of messages that were taken. @default false */
  readonly retain?: boolean;
}

/**
 * Cuts a stream of bytes into messages. Payloads are views of the chunks; only a message that spans
 * chunks is copied. The owner bounds what is buffered, by acknowledging a message only when it has
 * been taken.
 */
export class MessageParser {
  /**
   * The bytes that have not been taken, and where in the first chunk they begin. No chunk is empty.
   */
  private chunks: Buffer[] = [];
  private offset = 0;
  private untakenBytes = 0;
  /** With `retain`: the chunks before `chunks`. */
  private readonly taken: Buffer[] = [];
  /** Payload length of the next message; -1 while its prefix has not been read. */
  private payloadBytes = -1;
  private compressed = false;
  private readonly maxMessageBytes: number;
  private readonly source: MessageSource;
  private readonly retain: boolean;

  constructor(options?: MessageParserOptions) {
    this.maxMessageBytes = options?.maxMessageBytes ?? MAX_PAYLOAD_BYTES;
    this.source = options?.source ?? "downstream";
    this.retain = options?.retain ?? false;
  }

  /** Bytes that were pushed and belong to no message taken yet. */
  get bufferedBytes(): number {
    return this.untakenBytes;
  }

  /** Every byte pushed belongs to a message that was taken: the stream may end here. */
  get atMessageBoundary(): boolean {
    return this.untakenBytes === 0;
  }

  /** Whether the bytes pushed so far end within a message. One that cannot be read is no matter. */
  get isCut(): boolean {
    const counter = new MessageCounter();
    let offset = this.offset;
    for (const chunk of this.chunks) {
      counter.push(chunk.subarray(offset));
      offset = 0;
    }
    return !counter.atMessageBoundary;
  }

  /** Takes the next bytes; by reference if their memory stays. */
  push(bytes: LentBytes): void {
    if (bytes.length === 0) return;
    const chunk = keep(bytes);
    this.untakenBytes += chunk.length;
    appendChunk(this.chunks, chunk);
  }

  /**
   * The next whole message, or `undefined` until there is one.
   * @throws {GrpcError} RESOURCE_EXHAUSTED for a message above the limit, as soon as its prefix has
   *   come; INTERNAL for a flag byte other than 0 and 1. By then every message before it has been
   *   handed out. Asking again throws again.
   */
  next(): Frame | undefined {
    if (this.payloadBytes === -1) {
      if (this.untakenBytes < PREFIX_BYTES) return undefined;
      this.readPrefix();
    }
    const wireBytes = PREFIX_BYTES + this.payloadBytes;
    if (this.untakenBytes < wireBytes) return undefined;
    const payload =
      this.view(PREFIX_BYTES, wireBytes) ?? this.copy(wireBytes).subarray(PREFIX_BYTES);
    this.skip(wireBytes);
    this.payloadBytes = -1;
    return new Frame(payload, this.compressed);
  }

  /** Everything after the messages taken, uncopied, in order. The parser is empty afterwards. */
  drainRest(): Buffer[] {
    const [first, ...others] = this.chunks;
    const rest = first === undefined ? [] : [first.subarray(this.offset), ...others];
    this.clear();
    return rest;
  }

  /**
   * With `retain`: every byte that was ever pushed, also of messages that were taken, uncopied, in
   * order. The parser is empty afterwards. So a stream that was peeked at is relayed unchanged.
   */
  drainAll(): Buffer[] {
    const all = [...this.taken, ...this.chunks];
    this.clear();
    return all;
  }

  private clear(): void {
    this.chunks = [];
    this.taken.length = 0;
    this.offset = 0;
    this.untakenBytes = 0;
    this.payloadBytes = -1;
  }

  /** Reads the prefix at the front and leaves it there. */
  private readPrefix(): void {
    const prefix = this.view(0, PREFIX_BYTES) ?? this.copy(PREFIX_BYTES);
    const flag = prefix.readUInt8(0);
    if (flag > 1) {
      throw failure(Status.INTERNAL, `grpc: received unexpected payload format ${flag}`, {
        reason: protocolReason(this.source),
        source: this.source,
      });
    }
    const payloadBytes = payloadBytesAt(prefix, 0);
    if (payloadBytes > this.maxMessageBytes) {
      throw messageTooLarge(payloadBytes, this.maxMessageBytes, this.source);
    }
    this.compressed = flag === 1;
    this.payloadBytes = payloadBytes;
  }

  /**
   * A view of the buffered bytes `from` to `to`, if the first chunk holds them. At least `to` bytes
   * are buffered.
   */
  private view(from: number, to: number): Buffer | undefined {
    const first = this.chunks[0] as Buffer;
    return this.offset + to <= first.length
      ? first.subarray(this.offset + from, this.offset + to)
      : undefined;
  }

  /** A copy of the first `bytes` that are buffered. At least that many are buffered. */
  private copy(bytes: number): Buffer {
    const target = Buffer.allocUnsafe(bytes);
    let filled = 0;
    let from = this.offset;
    for (const chunk of this.chunks) {
      filled += chunk.copy(target, filled, from);
      if (filled === bytes) break;
      from = 0;
    }
    return target;
  }

  /** Drops the first `bytes`. */
  private skip(bytes: number): void {
    this.untakenBytes -= bytes;
    this.offset += bytes;
    let usedUp = 0;
    for (const chunk of this.chunks) {
      if (this.offset < chunk.length) break;
      this.offset -= chunk.length;
      if (this.retain) this.taken.push(chunk);
      usedUp++;
    }
    for (; usedUp > 0; usedUp--) this.chunks.shift();
  }
}

/** The error for a stream that ended within a message, when `atMessageBoundary` is false. */
export function truncatedMessage(source: MessageSource): GrpcError {
  return failure(Status.INTERNAL, "the stream ended in the middle of a message", {
    reason: ErrorReason.TRUNCATED_MESSAGE,
    source,
  });
}

function messageTooLarge(gotBytes: number, maxBytes: number, source: MessageSource): GrpcError {
  return failure(
    Status.RESOURCE_EXHAUSTED,
    `grpc: received message larger than max (${gotBytes} vs. ${maxBytes})`,
    { reason: ErrorReason.MESSAGE_TOO_LARGE, source },
  );
}

function protocolReason(source: MessageSource): ErrorReason {
  return source === "downstream" ? ErrorReason.CLIENT_PROTOCOL : ErrorReason.UPSTREAM_PROTOCOL;
}
