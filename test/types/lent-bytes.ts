// What does not compile with bytes that are lent. `tsc` holds this file to it: an error that does
// not come is one.

import type { StreamEvents } from "../../src/h2/stream.ts";
import type { Stream, StreamListener } from "../../src/transport/transport.ts";
import { keep, type LentBytes, lend, memoryStays } from "../../src/wire/lent-bytes.ts";

type OnData = StreamListener["onData"];

/** Holds what came later than it may. */
export class Hoarder {
  latest: Buffer = Buffer.alloc(0);
  readonly chunks: Buffer[] = [];
  readonly octets: Uint8Array[] = [];

  readonly onData: OnData = (chunk) => {
    // @ts-expect-error a field of a Buffer takes no chunk that is lent
    this.latest = chunk;
    // @ts-expect-error nor does a list of them
    this.chunks.push(chunk);
    // @ts-expect-error nor anything else with bytes in it
    this.octets.push(chunk);
    // @ts-expect-error what is cut out of it is lent, too
    this.latest = chunk.subarray(5);
    // @ts-expect-error nor is it written to
    chunk[0] = 0;

    this.latest = keep(chunk);
    this.chunks.push(keep(chunk.subarray(5)));
    if (memoryStays(chunk)) this.latest = chunk;
    // @ts-expect-error it is lent here
    else this.latest = chunk;
  };
}

/** What is written as a method is held to the type, too. */
export class Greedy {
  onData(chunk: Buffer): void {
    chunk.fill(0);
  }
  sendData(chunk: Buffer): number {
    return chunk.length;
  }
}

const greedy = new Greedy();
// @ts-expect-error a listener has to take what is lent
export const ofSeam: Pick<StreamListener, "onData"> = greedy;
// @ts-expect-error in the engine, too
export const ofEngine: Pick<StreamEvents, "onData"> = greedy;
// @ts-expect-error a stream has to send what is lent
export const sender: Pick<Stream, "sendData"> = greedy;

/** A Buffer does where bytes may be lent. */
export const plain: LentBytes = Buffer.alloc(1);
// @ts-expect-error the reverse does not
export const back: Buffer = lend(Buffer.alloc(1), 0, 1);
