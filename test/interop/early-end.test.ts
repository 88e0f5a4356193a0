import { describe, expect, it } from "vitest";
import { transportCombos } from "../support/combos.ts";
import { frames, message, pairsOf, request, response, trailers } from "../support/frames.ts";
import { scriptedRelay } from "../support/relay-fixture.ts";

describe.each(transportCombos)("a request that ends with its headers, $server $client", (combo) => {
  it("reaches the backend as a request of no messages", async () => {
    const { backend, client } = await scriptedRelay(combo);
    client.send(frames.headers(1, request("/a.B/C"), { endStream: true }));
    const { streamId } = await backend.expectRequest("/a.B/C");
    expect(await backend.expectBody(streamId)).toEqual(Buffer.alloc(0));
    backend.send(frames.headers(streamId, response()), frames.data(streamId, message("late")));
    backend.send(frames.headers(streamId, trailers(), { endStream: true }));
    await client.expectHeaders(1);
    expect(await client.expectData(1)).toEqual(message("late"));
    expect(pairsOf(await client.expectTrailers(1))).toEqual([["grpc-status", "0"]]);
    await Promise.all([backend.expectQuiet(streamId), client.expectQuiet(1)]);
  });
});
