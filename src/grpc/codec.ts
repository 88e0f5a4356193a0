// Converts between frames and the messages of local handlers. Relayed calls never come here: they
// move bytes.

import { checkObject } from "../check/check.ts";
import { warnOnce } from "../check/warn.ts";
import { ErrorReason, failure, GrpcError, thrownText } from "./error.ts";
import { Frame } from "./frame.ts";
import { Status } from "./status.ts";

/** Converts messages of one kind to bytes and back; protobuf, for example. */
export interface Codec<T = unknown> {
  /** For diagnostics: `proto`, `json`, ... */
  readonly name: string;
  marshal(message: T): Buffer;
  unmarshal(data: Buffer): T;
}

/**
 * The codec of a server that only proxies and works with raw frames. A `Frame` passes untouched,
 * bytes become a payload, and a received message is a `Frame`. This codec knows no other messages;
 * see `codecWithParent`.
 */
export function newCodec(): Codec {
  return new RawCodec();
}

/**
 * A codec for a server that has typed local handlers beside proxied methods. A `Frame` passes
 * untouched, and `parent` encodes anything else. A local handler receives the messages that
 * `parent` decodes.
 */
export function codecWithParent<T>(parent: Codec<T>): Codec<T | Frame> {
  checkCodec("parent of codecWithParent", parent);
  return new ParentCodec(parent);
}

/** @throws {TypeError} unless it can marshal and unmarshal */
export function checkCodec(name: string, codec: unknown): void {
  checkObject(name, codec);
  for (const method of ["marshal", "unmarshal"]) {
    if (typeof Reflect.get(Object(codec), method) === "function") continue;
    throw new TypeError(`${name}: expected a codec with the method ${method}, got none`);
  }
}

class RawCodec implements Codec {
  readonly name = "proxy";

  marshal(message: unknown): Buffer {
    if (message instanceof Frame) return message.payload;
    if (Buffer.isBuffer(message)) return message;
    if (message instanceof Uint8Array) {
      return Buffer.from(message.buffer, message.byteOffset, message.byteLength);
    }
    throw new TypeError(`expected a Frame or bytes, got ${kindOf(message)}`);
  }

  unmarshal(data: Buffer): Frame {
    return new Frame(data);
  }
}

class ParentCodec<T> implements Codec<T | Frame> {
  readonly name: string;
  readonly #parent: Codec<T>;

  constructor(parent: Codec<T>) {
    this.name = `proxy>${parent.name}`;
    this.#parent = parent;
  }

  marshal(message: T | Frame): Buffer {
    return message instanceof Frame ? message.payload : this.#parent.marshal(message);
  }

  unmarshal(data: Buffer): T {
    return this.#parent.unmarshal(data);
  }
}

/**
 * The frame that goes on the wire for `message`. A `Frame` is sent as it is, its compressed flag
 * included, whatever the codec.
 * @throws {GrpcError} INTERNAL when the codec fails, as grpc-go
 */
export function encodeMessage<T>(codec: Codec<T>, message: T | Frame): Frame {
  if (message instanceof Frame) return message;
  try {
    return new Frame(codec.marshal(message));
  } catch (error) {
    throw codecFailed("grpc: error while marshaling", error);
  }
}

/**
 * The message that a handler gets for `frame`. With the codec of `newCodec` that is the frame
 * itself, compressed or not.
 * @throws {GrpcError} UNIMPLEMENTED for a compressed message that would have to be decoded;
 *   INTERNAL when the codec fails, as grpc-go
 */
export function decodeMessage<T>(codec: Codec<T>, frame: Frame): T | Frame {
  if (codec instanceof RawCodec) return frame;
  if (frame.compressed) {
    throw failure(Status.UNIMPLEMENTED, "grpc: Decompressor is not installed", {
      reason: ErrorReason.COMPRESSED_MESSAGE,
    });
  }
  try {
    return codec.unmarshal(frame.payload);
  } catch (error) {
    throw codecFailed("grpc: failed to unmarshal the received message", error);
  }
}

/**
 * A codec's own error is for operators. A GrpcError that the codec throws is sent to the client.
 */
function codecFailed(details: string, cause: unknown): GrpcError {
  if (cause instanceof GrpcError) return cause;
  const text = thrownText(cause);
  warnOnce("codec", details, `the codec failed: ${text}`, cause);
  const message = `${details}: ${text}`;
  return failure(Status.INTERNAL, details, { reason: ErrorReason.CODEC, message, cause });
}

/** The codec hands out frames as they are, so a compressed message needs no decompression. */
export function takesRawFrames(codec: Codec): boolean {
  return codec instanceof RawCodec;
}

/** `null`, `string`, `Date`, `Object`: enough to see what was passed, without its contents. */
function kindOf(value: unknown): string {
  if (value === null) return "null";
  return typeof value === "object" ? (value.constructor?.name ?? "object") : typeof value;
}
