// A stream without a session. It records the calls of its methods, for tests of code right above
// the seam.

import type { Session, Stream } from "../../src/transport/transport.ts";
import { errorCodeName } from "../../src/wire/error-code.ts";
import type { HeaderList } from "../../src/wire/field.ts";
import type { LentBytes } from "../../src/wire/lent-bytes.ts";
import { pairsOf } from "./frames.ts";

const SESSION: Session = {
  peer: { remoteAddress: "192.0.2.1:1", localAddress: "192.0.2.2:1" },
  openStreamCount: 1,
  nowMs: 0,
  accepting: true,
  drain: () => {},
  destroy: () => {},
  ping: () => {},
};

export class FakeStream implements Stream {
  readonly id: number = 1;
  readonly session: Session = SESSION;
  queuedBytes = 0;
  readonly log: string[] = [];
  /** The errors that sending header lists throws, one after the other. */
  readonly failures: unknown[] = [];

  sendHeaders(headers: HeaderList, endStream: boolean): void {
    this.#throwNext();
    this.#add("headers", headers, endStream);
  }

  sendData(chunk: LentBytes, endStream: boolean): number {
    this.log.push(`data(${chunk.length}${endStream ? ", END" : ""})`);
    return chunk.length;
  }

  sendTrailers(trailers: HeaderList): void {
    this.#throwNext();
    this.#add("trailers", trailers, true);
  }

  reset(code: number): void {
    this.log.push(`reset(${errorCodeName(code)})`);
  }

  acknowledge(bytes: number): void {
    this.log.push(`acknowledged(${bytes})`);
  }

  #throwNext(): void {
    if (this.failures.length > 0) throw this.failures.shift();
  }

  #add(what: string, fields: HeaderList, endStream: boolean): void {
    const pairs = pairsOf(fields).map(([name, value]) => `${name}: ${value}`);
    this.log.push(`${what}(${[...pairs, ...(endStream ? ["END"] : [])].join(", ")})`);
  }
}
