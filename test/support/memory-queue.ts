// Parts of the in-memory transport that know neither stream nor session: the queue of unsent DATA,
// the check of fields.

import { HeaderError } from "../../src/transport/transport.ts";
import type { HeaderList } from "../../src/wire/field.ts";

export interface DataPiece {
  readonly chunk: Buffer;
  readonly endStream: boolean;
}

/** DATA that waits for window. */
export class SendQueue {
  #pieces: DataPiece[] = [];
  bytes = 0;

  get empty(): boolean {
    return this.#pieces.length === 0;
  }

  push(chunk: Buffer, endStream: boolean): void {
    if (chunk.length === 0 && !endStream) return;
    this.#pieces.push({ chunk, endStream });
    this.bytes += chunk.length;
  }

  /**
   * Takes at most `limit` bytes off the front, and nothing while no byte may go. An empty piece may
   * always go.
   */
  shift(limit: number): DataPiece | undefined {
    const first = this.#pieces[0];
    if (first === undefined || (limit === 0 && first.chunk.length > 0)) return undefined;
    if (first.chunk.length <= limit) {
      this.#pieces.shift();
      this.bytes -= first.chunk.length;
      return first;
    }
    const piece = { chunk: first.chunk.subarray(0, limit), endStream: false };
    this.#pieces[0] = { chunk: first.chunk.subarray(limit), endStream: first.endStream };
    this.bytes -= limit;
    return piece;
  }

  clear(): void {
    this.#pieces = [];
    this.bytes = 0;
  }
}

/** RFC 9110 §5.6.2 without upper case (RFC 9113 §8.2.1). */
const NAME = /^:?[!#$%&'*+\-.^_`|~0-9a-z]+$/;
const CONNECTION_SPECIFIC = new Set([
  "connection",
  "http2-settings",
  "keep-alive",
  "proxy-connection",
  "transfer-encoding",
  "upgrade",
]);

/** @throws {HeaderError} for a field that HTTP/2 does not carry */
export function checkFields(headers: HeaderList): void {
  let regularSeen = false;
  let typed = false;
  for (const { name, value } of headers) {
    const wrong = (why: string): HeaderError =>
      new HeaderError(`${why}: ${JSON.stringify(name)}: ${JSON.stringify(value)}`);
    if (!NAME.test(name)) throw wrong("malformed field name");
    if (name.startsWith(":") && regularSeen) throw wrong("pseudo-header field after another");
    regularSeen ||= !name.startsWith(":");
    // RFC 9113 §8.2.1
    if (/[^\t\x20-\x7e\x80-\xff]|^[ \t]|[ \t]$/.test(value)) throw wrong("malformed field value");
    if (name === ":path" && /[ \t#]|^$/.test(value)) throw wrong("malformed :path");
    if (name === "content-type" && typed) throw wrong("a second content-type");
    typed ||= name === "content-type";
    if (CONNECTION_SPECIFIC.has(name) || (name === "te" && value !== "trailers")) {
      throw wrong("connection-specific field");
    }
  }
}
