// A call that one connection to a backend has refused goes to another one that there is.

import { describe, it } from "vitest";
import { StreamParameters } from "../../src/proxy/director.ts";
import { ErrorCode } from "../../src/wire/error-code.ts";
import { transportCombos } from "../support/combos.ts";
import { frames, message, request, trailersOnly } from "../support/frames.ts";
import { connectTo, listenRelay, PATH, scriptedBackend } from "../support/relay-fixture.ts";
import { ScriptedClient } from "../support/scripted-endpoints.ts";
import type { ScriptedPeer } from "../support/scripted-peer.ts";

describe.each(transportCombos)("server on $server, client on $client", (combo) => {
  async function twoConnections() {
    const settings = { MAX_CONCURRENT_STREAMS: 1 };
    const backend = await scriptedBackend(combo, { settings });
    const { address } = await listenRelay(
      combo,
      () => new StreamParameters({ conn: backend.conn }),
    );
    const first = await connectTo(backend);
    const client = await ScriptedClient.connect(address);
    for (const id of [1, 3]) {
      client.send(frames.headers(id, request(PATH)), frames.data(id, message("abc")).end());
    }
    const ids = { first: (await first.expectRequest(PATH)).streamId, second: 0 };
    const second = await backend.peer();
    ids.second = (await second.expectRequest(PATH)).streamId;
    const answer = (peer: ScriptedPeer, id: number): void => {
      peer.send(frames.headers(id, trailersOnly(0), { endStream: true }));
    };
    return { first, second, ids, client, answer };
  }

  it("a call that the older connection refuses is begun on the younger one", async () => {
    const { first, second, ids, client, answer } = await twoConnections();
    answer(second, ids.second);
    await client.expectTrailers(3);
    first.send(frames.rst(ids.first, ErrorCode.REFUSED_STREAM));
    answer(second, (await second.expectRequest(PATH)).streamId);
    await client.expectTrailers(1);
  });

  it("and on the same one where no other has room", async () => {
    const { first, second, ids, client, answer } = await twoConnections();
    first.send(frames.rst(ids.first, ErrorCode.REFUSED_STREAM));
    answer(first, (await first.expectRequest(PATH)).streamId);
    await client.expectTrailers(1);
    answer(second, ids.second);
    await client.expectTrailers(3);
  });

  it("a call above the last that GOAWAY takes is begun on another", async () => {
    const { first, second, ids, client, answer } = await twoConnections();
    answer(second, ids.second);
    await client.expectTrailers(3);
    first.send(frames.goaway(0, ErrorCode.NO_ERROR));
    answer(second, (await second.expectRequest(PATH)).streamId);
    await client.expectTrailers(1);
  });
});
