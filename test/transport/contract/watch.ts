// Contract: a session tells who watches it of its streams.

import { describe, expect, it } from "vitest";
import type { StreamListener } from "../../../src/transport/transport.ts";
import { ErrorCode } from "../../../src/wire/error-code.ts";
import { fieldsOf, frames, request } from "../../support/frames.ts";
import { type Contract, clientToScript, loopback, open } from "./harness.ts";

export function watchCases(contract: Contract): void {
  describe("a client session that is watched", () => {
    it("tells of the streams that are open, and of those that begin and end", async () => {
      const { client } = await loopback(contract, { session: { maxConcurrentStreams: 5 } });
      const told: [string, StreamListener][] = [];
      const openOne = () => {
        const recorder = client.events.newStream();
        const stream = client.session.openStream(fieldsOf(request("/a/B")), false, recorder);
        recorder.attach(stream);
        return { recorder, stream };
      };
      expect(client.session.streamLimit).toBe(5);
      const first = openOne();
      client.session.watchStreams({
        onStreamOpened: (listener) => told.push(["opened", listener]),
        onStreamEnded: (listener) => told.push(["ended", listener]),
      });
      const second = openOne();
      expect(told).toEqual([
        ["opened", first.recorder],
        ["opened", second.recorder],
      ]);
      const { availableCount } = client.events;
      first.stream.reset(ErrorCode.CANCEL);
      await client.events.untilAvailable(availableCount + 1);
      expect([told.at(-1), client.session.openStreamCount]).toEqual([["ended", first.recorder], 1]);
      client.session.watchStreams(undefined);
      openOne();
      second.stream.reset(ErrorCode.CANCEL);
      expect(told).toHaveLength(3);
    });

    it("tells of the end of every stream when the connection is lost", async () => {
      const { client } = await loopback(contract);
      let openCount = 0;
      client.session.watchStreams({
        onStreamOpened: () => openCount++,
        onStreamEnded: () => openCount--,
      });
      for (let i = 0; i < 3; i++) {
        const recorder = client.events.newStream();
        recorder.attach(client.session.openStream(fieldsOf(request("/a/B")), false, recorder));
      }
      expect(openCount).toBe(3);
      client.session.destroy(ErrorCode.NO_ERROR, "it was enough");
      await client.events.untilClosed();
      expect(openCount).toBe(0);
    });
  });

  if (!contract.sockets) return;

  it("tells of another limit while streams are available", async () => {
    const end = await clientToScript(contract, {
      peer: { settings: { MAX_CONCURRENT_STREAMS: 4 } },
    });
    open(end);
    const { availableCount } = end.events;
    end.peer.send(frames.settings({ MAX_CONCURRENT_STREAMS: 3 }));
    await end.events.untilAvailable(availableCount + 1);
    expect([end.session.streamLimit, end.session.availableStreamCount]).toEqual([3, 2]);
    end.peer.send(frames.settings({ INITIAL_WINDOW_SIZE: 70_000 }));
    await end.peer.sync();
    expect(end.events.availableCount).toBe(availableCount + 1);
  });

  it("tells of each end of a watched stream, and of each other limit, also while it is full", async () => {
    const end = await clientToScript(contract, {
      peer: { settings: { MAX_CONCURRENT_STREAMS: 3 } },
    });
    const calls = [open(end), open(end), open(end)];
    end.session.watchStreams({ onStreamOpened: () => {}, onStreamEnded: () => {} });
    const { availableCount } = end.events;
    for (const [told, limit] of [1, 2].entries()) {
      end.peer.send(frames.settings({ MAX_CONCURRENT_STREAMS: limit }));
      await end.events.untilAvailable(availableCount + told + 1);
      expect([end.session.streamLimit, end.session.availableStreamCount]).toEqual([limit, 0]);
    }
    calls[0]?.stream.reset(ErrorCode.CANCEL);
    await end.events.untilAvailable(availableCount + 3);
    expect([end.session.openStreamCount, end.session.availableStreamCount]).toEqual([2, 0]);
    end.session.watchStreams(undefined);
    calls[1]?.stream.reset(ErrorCode.CANCEL);
    await end.events.untilAvailable(availableCount + 4);
    expect(end.session.availableStreamCount).toBe(1);
  });
}
