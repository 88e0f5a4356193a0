// Noise and cut-off conversations on real sockets, into a listening engine and from a listening
// peer: every connection ends, nothing is left open, and who behaves is served all the while.

import { connect, createServer, type Socket } from "node:net";
import { describe, expect, it } from "vitest";
import { Server } from "../../src/index.ts";
import { engineTransport } from "../../src/transport/engine/index.ts";
import type { SessionEnd } from "../../src/transport/transport.ts";
import { ErrorCode } from "../../src/wire/error-code.ts";
import { closeAtEnd, within } from "../support/cleanup.ts";
import { fieldsOf, frames, message, request, response, trailers } from "../support/frames.ts";
import { ScriptedClient } from "../support/scripted-endpoints.ts";
import { Dice } from "./dice.ts";
import { noise } from "./mutate.ts";

const CONNECTIONS = Number(process.env["FUZZ_CONNECTIONS"] ?? 120);
const SEED = Number(process.env["FUZZ_SEED"] ?? 1);

/**
 * A beginning that is right more often than not, then noise, or an end in the middle of something.
 */
function conversation(dice: Dice, start: Buffer): Buffer {
  const parts = [dice.chance(6) ? noise(dice) : start];
  for (let left = dice.below(6); left > 0; left--) parts.push(noise(dice));
  const bytes = Buffer.concat(parts);
  return dice.chance(3) ? bytes.subarray(0, dice.below(bytes.length + 1)) : bytes;
}

function leave(dice: Dice, socket: Socket): void {
  if (dice.chance(3)) socket.resetAndDestroy();
  else socket.end();
}

describe("the engine on sockets", () => {
  it("serves a correct client while others send noise, and keeps nothing of them", async () => {
    const dice = new Dice(SEED);
    const server = new Server({
      transport: "engine",
      unknownServiceHandler: async (stream) => {
        for await (const received of stream) stream.sendMessage(received);
      },
    });
    closeAtEnd(() => server.close());
    const { address } = await server.listen("127.0.0.1:0");
    if (!("port" in address)) throw new Error("not a TCP address");
    const peer = await ScriptedClient.connect(address, { refillWindows: true });
    const start = frames.bytes(
      frames.preface(),
      frames.settings(),
      frames.headers(1, request("/a.B/C")),
      frames.data(1, message("begun")),
    );
    let id = -1;
    for (let made = 0; made < CONNECTIONS; made++) {
      const socket = connect(address.port, "127.0.0.1");
      socket.on("error", () => {});
      socket.resume();
      const closed = new Promise((resolve) => socket.once("close", resolve));
      await within("a connection", new Promise((resolve) => socket.once("connect", resolve)));
      socket.write(conversation(dice, start));
      // Half of them stay until they are sent away, or for as long as the correct client takes.
      const stays = dice.chance(2);
      if (!stays) leave(dice, socket);
      if (dice.chance(3)) {
        id += 2;
        peer.send(frames.headers(id, request("/a.B/C")), frames.data(id, message("hello")).end());
        await peer.expectHeaders(id);
        expect((await peer.expectBytes(id, 10)).equals(message("hello"))).toBe(true);
        await peer.expectTrailers(id);
      }
      if (stays && !socket.destroyed && !socket.writableEnded) leave(dice, socket);
      await within("the end of a connection", closed);
    }
    await peer.sync();
    await within(
      "the sessions to end",
      (async () => {
        while (server.sessionCount > 1) await new Promise(setImmediate);
      })(),
    );
    expect(server.openCallCount).toBe(0);
  });

  it("ends once, whatever the server that it connects to sends", async () => {
    const dice = new Dice(SEED);
    const start = frames.bytes(
      frames.settings(),
      frames.settingsAck(),
      frames.headers(1, response()),
      frames.data(1, "hello"),
      frames.headers(1, trailers()).end(),
    );
    const backend = createServer((socket) => {
      socket.on("error", () => {});
      socket.resume();
      socket.write(conversation(dice, start));
      if (dice.chance(2)) leave(dice, socket);
      else setImmediate(() => leave(dice, socket));
    });
    await new Promise<void>((resolve) => backend.listen(0, "127.0.0.1", resolve));
    closeAtEnd(() => backend.close());
    const bound = backend.address();
    if (bound === null || typeof bound === "string") throw new Error("not listening");
    for (let made = 0; made < CONNECTIONS; made++) {
      const ends: SessionEnd[] = [];
      let streamEnds = 0;
      let opened = 0;
      const closed = new Promise<void>((resolve) => {
        const session = engineTransport().connect(
          { address: { host: "127.0.0.1", port: bound.port } },
          {
            onAvailable() {
              if (opened > 0 || session.availableStreamCount === 0) return;
              opened++;
              const ended = (): void => {
                streamEnds++;
              };
              session.openStream(fieldsOf(request("/a.B/C")), true, {
                onHeaders: (_, endStream) => (endStream ? ended() : undefined),
                onData: (_, endStream) => (endStream ? ended() : undefined),
                onTrailers: ended,
                onWritable: () => {},
                onReset: ended,
              });
            },
            onGoAway: () => {},
            onRefused: () => {},
            onClosed(end) {
              ends.push(end);
              resolve();
            },
          },
        );
      });
      await within("the end of a session", closed);
      expect(ends).toHaveLength(1);
      expect(streamEnds).toBe(opened);
      expect(ends[0]?.code).not.toBe(ErrorCode.INTERNAL_ERROR);
    }
  });
});
