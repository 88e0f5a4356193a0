// maxInFlightPerAddress: no more calls are under way than it says, and the next begins whichever
// way one ends.

import { describe, expect, it } from "vitest";
import type { ClientStream } from "../../../src/client/client-stream.ts";
import { Metadata } from "../../../src/grpc/metadata.ts";
import { ErrorCode } from "../../../src/wire/error-code.ts";
import { transportCombos } from "../../support/combos.ts";
import { frames, message, response, trailers, trailersOnly } from "../../support/frames.ts";
import { eventually, PATH, scriptedBackend } from "../../support/relay-fixture.ts";
import type { ScriptedPeer } from "../../support/scripted-peer.ts";
import { stubConn } from "../../support/stub-session.ts";

type End = (peer: ScriptedPeer, id: number, call: ClientStream) => void;

const ends: readonly (readonly [string, End])[] = [
  ["headers alone", (peer, id) => peer.send(frames.headers(id, trailersOnly(0)).end())],
  [
    "trailers",
    (peer, id) => {
      peer.send(
        frames.headers(id, response()),
        frames.data(id, message("abc")),
        frames.headers(id, trailers(0)).end(),
      );
    },
  ],
  [
    "DATA",
    (peer, id) => {
      peer.send(frames.headers(id, response()), frames.data(id, message("abc")).end());
    },
  ],
  ["a reset", (peer, id) => peer.send(frames.rst(id, ErrorCode.INTERNAL_ERROR))],
  ["its caller", (_peer, _id, call) => call.cancel()],
  [
    "GOAWAY",
    (peer, _id, call) => {
      // Too long to be sent again.
      call.sendMessage(Buffer.alloc(65_536)).catch(() => undefined);
      peer.send(frames.goaway(0, ErrorCode.NO_ERROR));
    },
  ],
  ["the loss of its connection", (peer) => peer.destroy()],
];

describe.each(transportCombos)("a cap of one call on $client", (combo) => {
  it.each(ends)("lets the next begin when one ends by %s, and not before", async (_, end) => {
    const backend = await scriptedBackend(combo, {}, { maxInFlightPerAddress: 1 });
    const { conn } = backend;
    const first = conn.newStream(PATH);
    first.trailer().catch(() => undefined);
    const next = conn.newStream(PATH, { waitForReady: true });
    const peer = await backend.peer();
    const { streamId } = await peer.expectRequest(PATH);
    await peer.sync();
    expect([conn.openStreamCount, conn.waitingCount]).toEqual([1, 1]);
    end(peer, streamId, first);
    await eventually("the next is open", () => conn.waitingCount === 0);
    next.trailer().catch(() => undefined);
    next.cancel();
    const last = conn.newStream(PATH);
    last.trailer().catch(() => undefined);
    last.cancel();
  });
});

it("counts the calls of all connections, makes none for those that wait, and forgets what was not sent", async () => {
  const { conn, sessions } = stubConn({ maxInFlightPerAddress: 2 });
  const calls: ClientStream[] = [];
  const call = (metadata = new Metadata()): void => {
    const stream = conn.newStream(PATH, { metadata });
    stream.trailer().catch(() => undefined);
    calls.push(stream);
  };
  const unsendable = new Metadata();
  unsendable.toFields = () => {
    throw new TypeError("no fields");
  };
  call(unsendable);
  call();
  call();
  for (const index of [0, 1]) {
    const session = sessions[index];
    if (session === undefined) continue;
    session.streamLimit = 1;
    session.becomeReady();
  }
  expect(sessions.map(({ opened }) => opened.length)).toEqual([1, 1]);
  expect(conn.addresses.map(({ room }) => room)).toEqual([0]);
  call();
  call();
  expect([sessions.length, conn.waitingCount]).toEqual([2, 2]);
  calls[1]?.cancel();
  calls[1]?.cancel();
  expect([sessions.length, conn.waitingCount]).toEqual([2, 1]);
  for (const stream of calls) stream.cancel();
  await conn.close();
});
