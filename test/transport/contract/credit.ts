// Contract: credit. The peer's stream window moves by `acknowledge` alone, the connection's by
// receipt.

import { describe, expect, it } from "vitest";
import { ErrorCode } from "../../../src/wire/error-code.ts";
import { fieldsOf, frames, request, response } from "../../support/frames.ts";
import type { StreamRecorder } from "../../support/recorder.ts";
import type { ScriptedPeer } from "../../support/scripted-peer.ts";
import {
  type Contract,
  clientToScript,
  loopback,
  open,
  protocolKind,
  requestFromScript,
  type Scripted,
  scriptToServer,
  settled,
} from "./harness.ts";

export function creditCases(contract: Contract): void {
  describe("credit", () => {
    it("comes only from acknowledge: the sender stops at the stream window and goes on after it", async () => {
      const streamWindowBytes = 80_000;
      const pair = await loopback(contract, { session: { streamWindowBytes } });
      const call = await pair.call();
      call.client.stream.sendData(Buffer.alloc(200_000), true);
      await call.server.untilBytes(80_000);
      await settled(pair.client.session);
      expect(call.server.receivedBytes).toBe(80_000);
      call.server.stream.acknowledge(60_000);
      call.server.stream.acknowledge(20_000);
      await call.server.untilBytes(160_000);
      await settled(pair.client.session);
      expect(call.server.receivedBytes).toBe(160_000);
      call.server.stream.acknowledge(80_000);
      await call.server.untilEnded();
      expect(call.server.receivedBytes).toBe(200_000);
    });

    it("holds a response at the client's stream window", async () => {
      const pair = await loopback(contract, { session: { streamWindowBytes: 80_000 } });
      const call = await pair.call(request("/a/B"), true);
      call.server.stream.sendHeaders(fieldsOf(response()), false);
      call.server.stream.sendData(Buffer.alloc(200_000), false);
      await call.client.untilBytes(80_000);
      await settled(pair.client.session);
      expect(call.client.receivedBytes).toBe(80_000);
      call.client.acknowledge = true;
      call.client.stream.acknowledge(80_000);
      await call.client.untilBytes(200_000);
    });

    it("of the connection returns on receipt, so stalled streams do not stop another", async () => {
      const session = { streamWindowBytes: 65_535, connectionWindowBytes: 65_535 };
      const pair = await loopback(contract, { session });
      const stalled = [await pair.call(), await pair.call(), await pair.call()];
      for (const call of stalled) call.client.stream.sendData(Buffer.alloc(100_000), true);
      for (const call of stalled) await call.server.untilBytes(65_535);
      const live = await pair.call(undefined, false);
      live.server.acknowledge = true;
      live.client.stream.sendData(Buffer.alloc(500_000), true);
      await live.server.untilEnded();
      expect(live.server.receivedBytes).toBe(500_000);
      expect(stalled.map((call) => call.server.receivedBytes)).toEqual([65_535, 65_535, 65_535]);
    });

    it("of the connection is not lost with streams that were reset unread", async () => {
      const session = { streamWindowBytes: 65_535, connectionWindowBytes: 65_535 };
      const pair = await loopback(contract, { session });
      for (let round = 0; round < 4; round++) {
        const call = await pair.call();
        call.client.stream.sendData(Buffer.alloc(65_535), false);
        if (round % 2 === 0) await call.server.untilBytes(1);
        call.server.stream.reset(ErrorCode.CANCEL);
        await call.client.untilReset();
      }
      const live = await pair.call();
      live.client.stream.sendData(Buffer.alloc(65_535), true);
      await live.server.untilEnded();
      expect(live.server.receivedBytes).toBe(65_535);
    });

    it("given for bytes that never came is not passed on beyond the window", async () => {
      const pair = await loopback(contract, { session: { streamWindowBytes: 70_000 } });
      const call = await pair.call();
      call.client.stream.sendData(Buffer.alloc(70_000), false);
      await call.server.untilBytes(70_000);
      call.server.stream.acknowledge(0);
      call.client.stream.sendData(Buffer.alloc(10_000), false);
      await settled(pair.client.session);
      expect(call.server.receivedBytes).toBe(70_000);
    });
  });

  if (contract.sockets) wireCases(contract);
}

function wireCases(contract: Contract): void {
  const client = async (session: object): Promise<Fed> => {
    const end = await clientToScript(contract, { session });
    const stream = open(end);
    await end.peer.expectRequest();
    end.peer.send(frames.headers(1, response()));
    return { ...end, stream };
  };
  const server = async (session: object): Promise<Fed> => {
    const end = await scriptToServer(contract, { session });
    return { ...end, stream: await requestFromScript(end, frames.headers(1, request("/a/B"))) };
  };

  describe.each([
    ["client", client],
    ["server", server],
  ])("credit on the wire of a %s", (_, make) => {
    it("announces both windows at the start", async () => {
      const end = await make({ streamWindowBytes: 123_456, connectionWindowBytes: 1_000_000 });
      expect(`${end.peer.received(0, "SETTINGS")[0]}`).toContain("INITIAL_WINDOW_SIZE=123456");
      expect(await creditUpTo(end.peer, 0, 1_000_000 - 65_535)).toBe(1_000_000 - 65_535);
    });

    it("never returns to a stream before acknowledge, and does after it", async () => {
      const end = await make({ streamWindowBytes: 65_535 });
      end.peer.send(...pieces(1, 65_535));
      await end.stream.untilBytes(65_535);
      await end.peer.sync();
      expect(credit(end.peer, 1)).toBe(0);
      end.stream.stream.acknowledge(65_535);
      expect(await creditUpTo(end.peer, 1, 32_768)).toBeLessThanOrEqual(65_535);
    });

    it("returns to the connection without acknowledge", async () => {
      const end = await make({ streamWindowBytes: 65_535, connectionWindowBytes: 65_535 });
      end.peer.send(...pieces(1, 65_535));
      await creditUpTo(end.peer, 0, 32_767);
      expect(credit(end.peer, 0)).toBeLessThanOrEqual(65_535);
      expect(credit(end.peer, 1)).toBe(0);
    });

    it("returns for padding too", async () => {
      const end = await make({ streamWindowBytes: 65_535, connectionWindowBytes: 65_535 });
      end.stream.acknowledge = true;
      await feed(end, 1, 100, () => frames.data(1, "x".repeat(100), { padded: 255 }));
      await feed(end, 1, 400, () => frames.data(1, "x".repeat(100), { padded: 255 }));
      await end.stream.untilBytes(50_000);
    });

    it("that the peer overdraws ends in FLOW_CONTROL_ERROR — RFC 9113 §6.9.1", async () => {
      const end = await make({ streamWindowBytes: 65_535 });
      end.peer.send(...pieces(1, 65_535), frames.data(1, "x"));
      const refusal = await end.peer.until("RST_STREAM or GOAWAY", () =>
        end.peer.trace.find(
          ({ direction, frame }) =>
            direction === "recv" && ["RST_STREAM", "GOAWAY"].includes(frame.name),
        ),
      );
      expect(refusal.frame.errorCode).toBe(ErrorCode.FLOW_CONTROL_ERROR);
      const kinds = [protocolKind(contract), "session"];
      expect(kinds).toContain((await end.stream.untilReset()).kind);
      const overdraftBytes = contract.weaker.overdraft === undefined ? 0 : 1;
      expect(end.stream.receivedBytes).toBeLessThanOrEqual(65_535 + overdraftBytes);
    });
  });
}

interface Fed extends Scripted {
  readonly stream: StreamRecorder;
}

/** Credit that the peer was given so far. */
function credit(peer: ScriptedPeer, stream: number): number {
  return peer
    .received(stream, "WINDOW_UPDATE")
    .reduce((sum, { payload }) => sum + payload.readUInt32BE(0), 0);
}

/** Waits until at least `bytes` of credit were given; how many it is then. */
function creditUpTo(peer: ScriptedPeer, stream: number, bytes: number): Promise<number> {
  return peer.until(`${bytes} bytes of credit for stream ${stream}`, () =>
    credit(peer, stream) >= bytes ? credit(peer, stream) : undefined,
  );
}

/** DATA frames of `bytes` in all. */
function pieces(stream: number, bytes: number): ReturnType<typeof frames.data>[] {
  const list = [];
  for (let left = bytes; left > 0; left -= 16_384)
    list.push(frames.data(stream, Buffer.alloc(Math.min(left, 16_384))));
  return list;
}

/** Sends up to `total` frames altogether as a peer that never overdraws windows of 65,535 bytes. */
async function feed(
  end: Fed,
  stream: number,
  count: number,
  make: () => ReturnType<typeof frames.data>,
): Promise<void> {
  const sent = (): number =>
    end.peer.trace
      .filter(({ direction, frame }) => direction === "sent" && frame.name === "DATA")
      .reduce((sum, { frame }) => sum + frame.payload.length, 0);
  let total = sent();
  for (let i = 0; i < count; i++) {
    const frame = make();
    const need = total + frame.payload.length - 65_535;
    await creditUpTo(end.peer, stream, need);
    await creditUpTo(end.peer, 0, need);
    end.peer.send(frame);
    total += frame.payload.length;
  }
}
