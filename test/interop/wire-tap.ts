// A TCP hop that passes everything on and remembers the messages that went by, so that what entered
// the relay can be compared with what left it.

import { connect, createServer, type Socket } from "node:net";
import { closeAtEnd } from "../support/cleanup.ts";
import { FrameDecoder, frames } from "../support/frames.ts";

/** One gRPC message as it is on the wire. */
export interface WireMessage {
  readonly compressed: boolean;
  readonly payload: Buffer;
}

/** The DATA of every stream of one direction of one connection. */
class Direction {
  readonly #decoder = new FrameDecoder();
  readonly #streams = new Map<number, Buffer[]>();
  #prefaceBytes: number;

  constructor(hasPreface: boolean) {
    this.#prefaceBytes = hasPreface ? frames.preface().length : 0;
  }

  push(chunk: Buffer): void {
    const skipped = Math.min(this.#prefaceBytes, chunk.length);
    this.#prefaceBytes -= skipped;
    for (const frame of this.#decoder.push(chunk.subarray(skipped))) {
      if (frame.name === "HEADERS" && !this.#streams.has(frame.streamId)) {
        this.#streams.set(frame.streamId, []);
      }
      if (frame.name === "DATA") this.#streams.get(frame.streamId)?.push(frame.body);
    }
  }

  bodies(): Buffer[] {
    return [...this.#streams].sort(([a], [b]) => a - b).map(([, chunks]) => Buffer.concat(chunks));
  }
}

export class WireTap {
  readonly address: string;
  readonly #connections: { readonly up: Direction; readonly down: Direction }[] = [];

  private constructor(address: string) {
    this.address = address;
  }

  /** Listens on a free port in front of `target`. */
  static async before(target: string): Promise<WireTap> {
    const colon = target.lastIndexOf(":");
    const address = { host: target.slice(0, colon), port: Number(target.slice(colon + 1)) };
    const sockets = new Set<Socket>();
    const server = createServer((client) => {
      const directions = { up: new Direction(true), down: new Direction(false) };
      tap.#connections.push(directions);
      const upstream = connect(address);
      forward(client, upstream, directions.up);
      forward(upstream, client, directions.down);
      for (const socket of [client, upstream]) sockets.add(socket);
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    closeAtEnd(() => {
      server.close();
      for (const socket of sockets) socket.destroy();
    });
    const bound = server.address();
    if (bound === null || typeof bound === "string") throw new Error("not listening");
    const tap = new WireTap(`127.0.0.1:${bound.port}`);
    return tap;
  }

  /** What each call sent, prefixes and all, in the order of the calls. */
  requests(): Buffer[] {
    return this.#connections.flatMap(({ up }) => up.bodies());
  }

  /** What each call was answered. */
  responses(): Buffer[] {
    return this.#connections.flatMap(({ down }) => down.bodies());
  }
}

function forward(from: Socket, to: Socket, direction: Direction): void {
  from.setNoDelay(true);
  from.on("data", (chunk: Buffer) => {
    direction.push(chunk);
    if (!to.write(chunk)) from.pause();
  });
  to.on("drain", () => from.resume());
  from.on("end", () => to.end());
  from.on("error", () => to.destroy());
  from.on("close", () => to.destroy());
}

/** The messages of one call's body. */
export function messagesOf(body: Buffer): WireMessage[] {
  const messages: WireMessage[] = [];
  for (let at = 0; at < body.length; ) {
    const end = at + 5 + body.readUInt32BE(at + 1);
    messages.push({ compressed: body[at] === 1, payload: body.subarray(at + 5, end) });
    at = end;
  }
  return messages;
}
