// The two messages of `grpc.health.v1.Health/Watch`, written and read by hand (protobuf encoding).

import { frameChunks } from "../../grpc/frame.ts";
import { HeaderField } from "../../wire/field.ts";

/** `:path` of the method. */
export const WATCH_PATH: HeaderField = new HeaderField(":path", "/grpc.health.v1.Health/Watch");

/** `HealthCheckResponse.ServingStatus` */
export const SERVING = 1;

const SERVING_STATUS_NAMES = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"] as const;

/** For people. @param status any 32-bit number */
export function servingStatusName(status: number): string {
  return SERVING_STATUS_NAMES[status] ?? `ServingStatus ${status}`;
}

/** `HealthCheckRequest { string service = 1; }` as a message of gRPC, with its prefix. */
export function encodeHealthRequest(serviceName: string): Buffer {
  const name = Buffer.from(serviceName);
  const field = name.length === 0 ? [] : [0x0a, ...varint(name.length), ...name];
  return Buffer.concat(frameChunks(Buffer.from(field)));
}

function varint(value: number): number[] {
  const bytes = [];
  for (let rest = value; ; rest >>>= 7) {
    if (rest < 0x80) return [...bytes, rest];
    bytes.push((rest & 0x7f) | 0x80);
  }
}

/** A varint has at most so many bytes. */
const MAX_VARINT_BYTES = 10;

/**
 * The status in `HealthCheckResponse { ServingStatus status = 1; }`; UNKNOWN if it has none. Other
 * fields are skipped. Groups, which proto3 does not have, are malformed here.
 * @returns `undefined` for bytes that are no such message
 */
export function parseServingStatus(message: Buffer): number | undefined {
  const reader = new Reader(message);
  let status = 0;
  while (!reader.atEnd) {
    const tag = reader.varint();
    // Of two values of a field the last one counts.
    if (tag === 1 << 3) status = reader.varint();
    else if (tag >>> 3 === 0) return undefined;
    else reader.skip(tag & 7);
    if (reader.isBroken) return undefined;
  }
  return status;
}

/** Reads forward, never beyond the end. When it would have to, it is broken. */
class Reader {
  readonly #bytes: Buffer;
  #at = 0;
  isBroken = false;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get atEnd(): boolean {
    return this.#at >= this.#bytes.length;
  }

  /** The low 32 bits, which are all of an enum. */
  varint(): number {
    let value = 0;
    for (let index = 0; index < MAX_VARINT_BYTES; index++) {
      const byte = this.#bytes[this.#at++];
      if (byte === undefined) break;
      if (index < 5) value |= (byte & 0x7f) << (7 * index);
      if (byte < 0x80) return value;
    }
    this.isBroken = true;
    return 0;
  }

  /** Passes over the value of a field. */
  skip(wireType: number): void {
    switch (wireType) {
      case 0:
        this.varint();
        return;
      case 1:
        this.#pass(8);
        return;
      case 2:
        this.#pass(this.varint() >>> 0);
        return;
      case 5:
        this.#pass(4);
        return;
      default:
        this.isBroken = true;
    }
  }

  #pass(count: number): void {
    this.#at += count;
    if (this.#at > this.#bytes.length) this.isBroken = true;
  }
}
