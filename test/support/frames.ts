// HTTP/2 frames for tests: builders, a decoder and a readable form. It deliberately shares nothing
// with the frame code of src/h2, so that each checks the other. It must also build frames that a
// well-behaved implementation would never send.

import { errorCodeName } from "../../src/wire/error-code.ts";
import { HeaderField } from "../../src/wire/field.ts";

export const FRAME_TYPES = {
  DATA: 0,
  HEADERS: 1,
  PRIORITY: 2,
  RST_STREAM: 3,
  SETTINGS: 4,
  PUSH_PROMISE: 5,
  PING: 6,
  GOAWAY: 7,
  WINDOW_UPDATE: 8,
  CONTINUATION: 9,
} as const;
export type FrameType = keyof typeof FRAME_TYPES;
const TYPE_NAMES = Object.keys(FRAME_TYPES) as readonly FrameType[];

export const END_STREAM = 0x1;
export const ACK = 0x1;
export const END_HEADERS = 0x4;
export const PADDED = 0x8;
export const PRIORITY = 0x20;

export const SETTINGS = {
  HEADER_TABLE_SIZE: 1,
  ENABLE_PUSH: 2,
  MAX_CONCURRENT_STREAMS: 3,
  INITIAL_WINDOW_SIZE: 4,
  MAX_FRAME_SIZE: 5,
  MAX_HEADER_LIST_SIZE: 6,
} as const;
export type SettingName = keyof typeof SETTINGS;
/** Settings by name, or by number for identifiers that RFC 9113 does not name. */
export type SettingsInput = { readonly [name in SettingName | number]?: number };

/** `["name", "value"]` or a `HeaderField` (which can be sensitive). */
export type FieldInput = HeaderField | readonly [name: string, value: string];
export type BytesInput = Uint8Array | string;

/** One frame, either to be sent or received. */
export class Frame {
  readonly type: number;
  readonly flags: number;
  readonly streamId: number;
  readonly payload: Buffer;

  constructor(type: number, flags: number, streamId: number, payload: Buffer) {
    this.type = type;
    this.flags = flags;
    this.streamId = streamId;
    this.payload = payload;
  }

  /** `DATA`, ...; `type 0x2a` for one that RFC 9113 does not name. */
  get name(): string {
    return TYPE_NAMES[this.type] ?? `type 0x${this.type.toString(16)}`;
  }

  has(flag: number): boolean {
    return (this.flags & flag) !== 0;
  }

  /** Whether END_STREAM is set on a frame that can carry it. */
  get endStream(): boolean {
    return (this.type === FRAME_TYPES.DATA || this.type === FRAME_TYPES.HEADERS) && this.has(1);
  }

  /** The payload without padding and priority. */
  get body(): Buffer {
    const paddable = [FRAME_TYPES.DATA, FRAME_TYPES.HEADERS].includes(this.type as 0 | 1);
    let body = this.payload;
    if (paddable && this.has(PADDED)) body = body.subarray(1, body.length - body.readUInt8(0));
    if (this.type === FRAME_TYPES.HEADERS && this.has(PRIORITY)) body = body.subarray(5);
    return body;
  }

  /** The error code of RST_STREAM or GOAWAY. */
  get errorCode(): number {
    return this.payload.readUInt32BE(this.type === FRAME_TYPES.GOAWAY ? 4 : 0);
  }

  /** This frame with END_STREAM. */
  end(): Frame {
    return this.with(END_STREAM);
  }

  /** This frame with more flags. */
  with(flags: number): Frame {
    return new Frame(this.type, this.flags | flags, this.streamId, this.payload);
  }

  bytes(): Buffer {
    const frame = Buffer.alloc(9 + this.payload.length);
    frame.writeUIntBE(this.payload.length, 0, 3);
    frame.writeUInt8(this.type, 3);
    frame.writeUInt8(this.flags, 4);
    frame.writeUInt32BE(this.streamId, 5);
    this.payload.copy(frame, 9);
    return frame;
  }

  toString(): string {
    return printFrame(this);
  }
}

export interface HeadersOptions {
  readonly endStream?: boolean;
  /** @default true */
  readonly endHeaders?: boolean;
  /** Bytes of padding; sets PADDED. */
  readonly padded?: number;
  readonly priority?: {
    readonly dependsOn: number;
    readonly weight?: number;
    readonly exclusive?: boolean;
  };
}

export interface DataOptions {
  readonly endStream?: boolean;
  /** Bytes of padding; sets PADDED. */
  readonly padded?: number;
}

function frame(type: FrameType, flags: number, streamId: number, payload: BytesInput = ""): Frame {
  return new Frame(FRAME_TYPES[type], flags, streamId, toBuffer(payload));
}

/**
 * Builders, one for each frame of RFC 9113 §6. `fields` are encoded without state: literals that
 * enter no table.
 */
export const frames = {
  preface: (): Buffer => Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "latin1"),

  settings(settings: SettingsInput = {}): Frame {
    const entries = Object.entries(settings);
    const payload = Buffer.alloc(entries.length * 6);
    entries.forEach(([name, value], i) => {
      payload.writeUInt16BE(SETTINGS[name as SettingName] ?? Number(name), i * 6);
      payload.writeUInt32BE(value ?? 0, i * 6 + 2);
    });
    return frame("SETTINGS", 0, 0, payload);
  },
  settingsAck: (): Frame => frame("SETTINGS", ACK, 0),

  headers(
    streamId: number,
    fields: readonly FieldInput[] | Buffer,
    options: HeadersOptions = {},
  ): Frame {
    let payload = Buffer.isBuffer(fields) ? fields : headerBlock(fields);
    let flags =
      (options.endStream === true ? END_STREAM : 0) |
      (options.endHeaders === false ? 0 : END_HEADERS);
    if (options.priority !== undefined) {
      const { dependsOn, weight = 16, exclusive = false } = options.priority;
      payload = Buffer.concat([
        uint32((dependsOn | (exclusive ? 0x80000000 : 0)) >>> 0),
        Buffer.from([weight - 1]),
        payload,
      ]);
      flags |= PRIORITY;
    }
    if (options.padded !== undefined) {
      payload = pad(payload, options.padded);
      flags |= PADDED;
    }
    return frame("HEADERS", flags, streamId, payload);
  },
  /** CONTINUATION. With `endHeaders: false` more of them follow. */
  continuation(
    streamId: number,
    block: Buffer | readonly FieldInput[],
    options: { readonly endHeaders?: boolean } = {},
  ): Frame {
    const payload = Buffer.isBuffer(block) ? block : headerBlock(block);
    return frame("CONTINUATION", options.endHeaders === false ? 0 : END_HEADERS, streamId, payload);
  },
  /** HEADERS and as many CONTINUATION frames as blocks of `frameBytes` need. */
  headersInPieces(
    streamId: number,
    fields: readonly FieldInput[],
    frameBytes = 16_384,
    options: { readonly endStream?: boolean } = {},
  ): Frame[] {
    const block = headerBlock(fields);
    const pieces: Frame[] = [];
    for (let at = 0; at === 0 || at < block.length; at += frameBytes) {
      const piece = block.subarray(at, at + frameBytes);
      const endHeaders = at + frameBytes >= block.length;
      pieces.push(
        at === 0
          ? frames.headers(streamId, piece, { ...options, endHeaders })
          : frames.continuation(streamId, piece, { endHeaders }),
      );
    }
    return pieces;
  },

  data(streamId: number, bytes: BytesInput = "", options: DataOptions = {}): Frame {
    const flags =
      (options.endStream === true ? END_STREAM : 0) | (options.padded === undefined ? 0 : PADDED);
    const payload = toBuffer(bytes);
    return frame(
      "DATA",
      flags,
      streamId,
      options.padded === undefined ? payload : pad(payload, options.padded),
    );
  },

  rst: (streamId: number, code: number): Frame => frame("RST_STREAM", 0, streamId, uint32(code)),
  goaway: (lastStreamId: number, code: number, debug: BytesInput = ""): Frame =>
    frame("GOAWAY", 0, 0, Buffer.concat([uint32(lastStreamId), uint32(code), toBuffer(debug)])),
  ping: (opaque: BytesInput = "12345678"): Frame => frame("PING", 0, 0, opaque),
  pingAck: (opaque: BytesInput = "12345678"): Frame => frame("PING", ACK, 0, opaque),
  windowUpdate: (streamId: number, increment: number): Frame =>
    frame("WINDOW_UPDATE", 0, streamId, uint32(increment)),
  priority: (streamId: number, dependsOn: number, weight = 16): Frame =>
    frame("PRIORITY", 0, streamId, Buffer.concat([uint32(dependsOn), Buffer.from([weight - 1])])),
  pushPromise: (streamId: number, promisedStreamId: number, fields: readonly FieldInput[]): Frame =>
    frame(
      "PUSH_PROMISE",
      END_HEADERS,
      streamId,
      Buffer.concat([uint32(promisedStreamId), headerBlock(fields)]),
    ),
  /** Any frame at all, well-formed or not. */
  raw: (type: number, flags: number, streamId: number, payload: BytesInput = ""): Frame =>
    new Frame(type, flags, streamId, toBuffer(payload)),

  /** The bytes of all parts, one after the other. */
  bytes: (...parts: readonly (Frame | Uint8Array)[]): Buffer =>
    Buffer.concat(parts.map((part) => (part instanceof Frame ? part.bytes() : part))),
} as const;

/** Reads frames off a byte stream, however it is cut. */
export class FrameDecoder {
  #rest: Buffer = Buffer.alloc(0);

  /** The number of bytes of a frame that is not complete yet. */
  get pendingBytes(): number {
    return this.#rest.length;
  }

  push(chunk: Uint8Array): Frame[] {
    const bytes = Buffer.concat([this.#rest, chunk]);
    const decoded: Frame[] = [];
    let at = 0;
    while (bytes.length - at >= 9) {
      const length = bytes.readUIntBE(at, 3);
      if (bytes.length - at < 9 + length) break;
      decoded.push(
        new Frame(
          bytes.readUInt8(at + 3),
          bytes.readUInt8(at + 4),
          bytes.readUInt32BE(at + 5) & 0x7fffffff,
          bytes.subarray(at + 9, at + 9 + length),
        ),
      );
      at += 9 + length;
    }
    this.#rest = bytes.subarray(at);
    return decoded;
  }
}

/** The frames in `bytes`, which must end with a whole one. */
export function decodeFrames(bytes: Uint8Array): Frame[] {
  const decoder = new FrameDecoder();
  const decoded = decoder.push(bytes);
  if (decoder.pendingBytes > 0) throw new Error(`${decoder.pendingBytes} bytes of a cut frame`);
  return decoded;
}

/** The settings that a SETTINGS frame carries, in order, by name where they have one. */
export function settingsOf(frame: Frame): [name: string, value: number][] {
  const entries: [string, number][] = [];
  for (let at = 0; at + 6 <= frame.payload.length; at += 6) {
    const id = frame.payload.readUInt16BE(at);
    const name = Object.entries(SETTINGS).find((entry) => entry[1] === id)?.[0] ?? `${id}`;
    entries.push([name, frame.payload.readUInt32BE(at + 2)]);
  }
  return entries;
}

/** `HEADERS(1, END_STREAM|END_HEADERS) :status=200`; fields only when the caller decoded them. */
export function printFrame(frame: Frame, fields?: readonly HeaderField[]): string {
  const parts: string[] = frame.streamId === 0 ? [] : [`${frame.streamId}`];
  const flags: string[] = [];
  const carriesAck = frame.name === "SETTINGS" || frame.name === "PING";
  if (frame.has(1) && carriesAck) flags.push("ACK");
  if (frame.endStream) flags.push("END_STREAM");
  if (frame.has(END_HEADERS) && [1, 5, 9].includes(frame.type)) flags.push("END_HEADERS");
  if (frame.has(PADDED) && [0, 1, 5].includes(frame.type)) flags.push("PADDED");
  if (frame.has(PRIORITY) && frame.type === 1) flags.push("PRIORITY");
  if (flags.length > 0) parts.push(flags.join("|"));
  parts.push(...printPayload(frame));
  const tail = (fields ?? []).map((field) => ` ${field.name}=${shorten(field.value)}`).join("");
  return `${frame.name}(${parts.join(", ")})${tail}`;
}

function printPayload(frame: Frame): string[] {
  const { payload } = frame;
  switch (frame.name) {
    case "DATA":
      return [`${frame.body.length} bytes`];
    case "RST_STREAM":
      return payload.length === 4 ? [errorCodeName(frame.errorCode)] : [payload.toString("hex")];
    case "GOAWAY":
      if (payload.length < 8) return [payload.toString("hex")];
      return [
        `last=${payload.readUInt32BE(0)}`,
        errorCodeName(frame.errorCode),
        ...(payload.length > 8 ? [JSON.stringify(shorten(payload.toString("latin1", 8)))] : []),
      ];
    case "SETTINGS":
      return settingsOf(frame).map(([name, value]) => `${name}=${value}`);
    case "WINDOW_UPDATE":
      return payload.length === 4 ? [`${payload.readUInt32BE(0)}`] : [payload.toString("hex")];
    case "HEADERS":
    case "CONTINUATION":
      return [];
    default:
      return payload.length === 0 ? [] : [shorten(payload.toString("hex"))];
  }
}

/**
 * A header block of literals without indexing (RFC 7541 §6.2.2), never indexed (§6.2.3) where a
 * field is sensitive.
 */
export function headerBlock(fields: readonly FieldInput[]): Buffer {
  return Buffer.concat(
    fields.map((input) => {
      const field = toField(input);
      return Buffer.concat([
        Buffer.from([field.sensitive ? 0x10 : 0x00]),
        hpackString(field.name),
        hpackString(field.value),
      ]);
    }),
  );
}

function hpackString(text: string): Buffer {
  const bytes = Buffer.from(text, "latin1");
  return Buffer.concat([hpackInteger(bytes.length, 7), bytes]);
}

/** RFC 7541 §5.1, the bits above the prefix all zero. */
function hpackInteger(value: number, prefixBits: number): Buffer {
  const largest = 2 ** prefixBits - 1;
  if (value < largest) return Buffer.from([value]);
  const octets = [largest];
  let rest = value - largest;
  for (; rest >= 128; rest = Math.floor(rest / 128)) octets.push((rest % 128) | 128);
  octets.push(rest);
  return Buffer.from(octets);
}

export function toField(input: FieldInput): HeaderField {
  return input instanceof HeaderField ? input : new HeaderField(input[0], input[1]);
}

/** The fields as `HeaderList`, the form in which the seam takes them. */
export function fieldsOf(inputs: readonly FieldInput[]): HeaderField[] {
  return inputs.map(toField);
}

/** Names and values alone, to compare with. */
export function pairsOf(fields: readonly HeaderField[]): [name: string, value: string][] {
  return fields.map((field) => [field.name, field.value]);
}

/** The header fields of a gRPC request for `path`. */
export function request(path: string, ...more: readonly FieldInput[]): FieldInput[] {
  return [
    [":method", "POST"],
    [":scheme", "http"],
    [":path", path],
    [":authority", "relay.test"],
    ["te", "trailers"],
    ["content-type", "application/grpc"],
    ...more,
  ];
}

/** The header fields of a gRPC response. */
export function response(...more: readonly FieldInput[]): FieldInput[] {
  return [[":status", "200"], ["content-type", "application/grpc"], ...more];
}

/** The trailer fields of a gRPC response. */
export function trailers(
  status = 0,
  message?: string,
  ...more: readonly FieldInput[]
): FieldInput[] {
  const fields: FieldInput[] = [["grpc-status", `${status}`]];
  if (message !== undefined) fields.push(["grpc-message", message]);
  return [...fields, ...more];
}

/** A Trailers-Only response: one HEADERS frame's worth. */
export function trailersOnly(
  status: number,
  message?: string,
  ...more: readonly FieldInput[]
): FieldInput[] {
  return [...response(), ...trailers(status, message, ...more)];
}

/** A gRPC message: flag, length, payload. */
export function message(
  payload: BytesInput,
  options: { readonly compressed?: boolean } = {},
): Buffer {
  const body = toBuffer(payload);
  const prefix = Buffer.alloc(5);
  prefix.writeUInt8(options.compressed === true ? 1 : 0, 0);
  prefix.writeUInt32BE(body.length, 1);
  return Buffer.concat([prefix, body]);
}

function toBuffer(bytes: BytesInput): Buffer {
  if (typeof bytes === "string") return Buffer.from(bytes);
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes);
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value >>> 0);
  return bytes;
}

function pad(payload: Buffer, bytes: number): Buffer {
  return Buffer.concat([Buffer.from([bytes]), payload, Buffer.alloc(bytes)]);
}

function shorten(text: string): string {
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}
