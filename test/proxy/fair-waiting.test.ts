// One client that holds as many calls as it can, beside another with single calls.

import { describe, expect, it } from "vitest";
import { StreamParameters } from "../../src/proxy/director.ts";
import { transportCombos } from "../support/combos.ts";
import { frames, request } from "../support/frames.ts";
import {
  answerCall,
  dialTo,
  eventually,
  expectCall,
  listenRelay,
  PATH,
  sendCall,
} from "../support/relay-fixture.ts";
import { ScriptedClient, ScriptedServer } from "../support/scripted-endpoints.ts";

describe.each(transportCombos)("a backend that is full, $server $client", (combo) => {
  async function scene(keyed: boolean) {
    const scripted = await ScriptedServer.listen({
      refillWindows: true,
      settings: { MAX_CONCURRENT_STREAMS: 10 },
    });
    const conn = dialTo(combo, scripted.address, { maxConnectionsPerAddress: 1 });
    const options = keyed ? { fairnessKey: "all" } : {};
    const { address } = await listenRelay(
      combo,
      () => new StreamParameters({ conn }, [], undefined, options),
    );
    const hog = await ScriptedClient.connect(address, { refillWindows: true });
    const honest = await ScriptedClient.connect(address, { refillWindows: true });
    for (let i = 0; i < 15; i++) hog.send(frames.headers(1 + 2 * i, request(PATH)));
    const backend = await scripted.connection();
    await eventually("the calls of one client wait", () => conn.waitingCount === 6);
    expect(conn.openStreamCount).toBe(9);
    return { conn, hog, honest, backend };
  }

  it("serves a client beside one with more idle calls than it takes", async () => {
    const { conn, hog, honest, backend } = await scene(false);
    const taken = [];
    for (let i = 0; i < 9; i++) taken.push((await backend.expectRequest(PATH)).streamId);
    for (let i = 0; i < 10; i++) {
      sendCall(honest, true, 1 + 2 * i);
      answerCall(backend, await expectCall(backend));
      await honest.expectTrailers(1 + 2 * i);
    }
    await eventually("the last call has ended", () => conn.openStreamCount === 9);
    expect(conn.waitingCount).toBe(6);
    // A call that ends makes room for the next of the same client.
    answerCall(backend, taken[0]!);
    await backend.expectRequest(PATH);
    expect([conn.openStreamCount, conn.waitingCount]).toEqual([9, 5]);
    hog.destroy();
    honest.destroy();
  });

  it("takes clients together that the director gives one key", async () => {
    const { conn, hog, honest } = await scene(true);
    honest.send(frames.headers(1, request(PATH)));
    await eventually("the call waits, too", () => conn.waitingCount === 7);
    hog.destroy();
    await eventually("it is served", () => conn.waitingCount === 0);
    expect(conn.openStreamCount).toBe(1);
    honest.destroy();
  });
});
