import { describe, expect, it } from "vitest";
import { StreamParameters } from "../../src/proxy/director.ts";
import { transportCombos } from "../support/combos.ts";
import { frames, message, pairsOf, request, response, trailers } from "../support/frames.ts";
import { connectTo, listenRelay, scriptedBackend } from "../support/relay-fixture.ts";
import { ScriptedClient } from "../support/scripted-endpoints.ts";

const CALL_COUNT = 600;

describe.each(transportCombos)(
  "responses to calls that were taken back, $server $client",
  (combo) => {
    it("do no harm to another client's call on the same connection, however many they are", async () => {
      const upstream = await scriptedBackend(combo);
      const { conn } = upstream;
      const { address } = await listenRelay(combo, () => new StreamParameters({ conn }));
      const backend = await connectTo(upstream);
      const stays = await ScriptedClient.connect(address);
      stays.send(frames.headers(1, request("/a.B/C")), frames.data(1, message("m")).end());
      const { streamId } = await backend.expectRequest("/a.B/C");

      const leaves = await ScriptedClient.connect(address);
      for (let i = 0; i < CALL_COUNT; i++) {
        leaves.send(frames.headers(1 + 2 * i, request("/a.B/C")));
      }
      const ids: number[] = [];
      while (ids.length < CALL_COUNT) ids.push((await backend.expectRequest("/a.B/C")).streamId);
      leaves.destroy();
      for (const id of ids) await backend.expectReset(id);
      // As if they had crossed the resets on the way.
      for (const id of ids) {
        backend.send(frames.headers(id, response()), frames.data(id, message("late")));
        backend.send(frames.headers(id, trailers(), { endStream: true }));
      }
      await backend.sync();

      backend.send(frames.headers(streamId, response()), frames.data(streamId, message("r")));
      backend.send(frames.headers(streamId, trailers(), { endStream: true }));
      await stays.expectHeaders(1);
      expect(await stays.expectData(1)).toEqual(message("r"));
      expect(pairsOf(await stays.expectTrailers(1))).toEqual([["grpc-status", "0"]]);
      expect(upstream.scripted.connectionCount).toBe(1);
    });
  },
);
