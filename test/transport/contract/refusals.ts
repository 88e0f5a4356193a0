// Contract: the owner of a session is told what its peer was refused, and why.

import { describe, expect, it } from "vitest";
import { FakeClock } from "../../support/clock.ts";
import { FRAME_TYPES, frames, request, response } from "../../support/frames.ts";
import { ScriptedClient, ScriptedServer } from "../../support/scripted-endpoints.ts";
import { type Contract, clientToScript, connect, open, scriptToServer, serve } from "./harness.ts";

const MALFORMED = ["connection", "close"] as const;

export function refusalCases(contract: Contract): void {
  if (!contract.sockets) return;
  describe("what a peer is refused", () => refusals(contract));
}

function refusals(contract: Contract): void {
  /** nghttp2 resets the stream and says nothing. */
  const seen = contract.weaker.refusals === undefined;

  it("as a malformed request is told, with its stream", async () => {
    const end = await scriptToServer(contract);
    end.peer.send(frames.headers(5, request("/a/B", MALFORMED)));
    await end.peer.expectReset(5);
    expect(end.events.refusals).toMatchObject(
      seen ? [{ scope: "stream", streamId: 5, rule: expect.stringContaining("connection") }] : [],
    );
  });

  it("as a malformed response is told, with its stream", async () => {
    const end = await clientToScript(contract);
    const stream = open(end);
    await end.peer.expectRequest();
    end.peer.send(frames.headers(1, response(MALFORMED)));
    await stream.untilReset();
    expect(end.events.refusals).toMatchObject(seen ? [{ scope: "stream", streamId: 1 }] : []);
  });

  it("as another protocol is told, and ends the session", async () => {
    const server = await serve(contract);
    const peer = await ScriptedClient.connect(server.listener.address, { handshake: false });
    peer.socket.write("SSH-2.0-OpenSSH_9.2\r\n");
    const { events } = await server.nextSession();
    expect((await events.untilClosed()).kind).toBe("protocol");
    expect(events.refusals).toMatchObject([
      { scope: "connection", streamId: 0, rule: expect.stringMatching(/preface|magic/) },
    ]);
  });

  it.each(["client", "server"] as const)(
    "as a frame that ends the connection is told to the owner of a %s",
    async (side) => {
      const end =
        side === "server" ? await scriptToServer(contract) : await clientToScript(contract);
      end.peer.send(frames.raw(FRAME_TYPES.DATA, 0, 0, "x"));
      expect((await end.events.untilClosed()).kind).toBe("protocol");
      expect(end.events.refusals).toMatchObject([{ scope: "connection", streamId: 0 }]);
    },
  );

  it.each(["client", "server"] as const)(
    "as time to acknowledge SETTINGS is told to the owner of a %s, with the bound",
    async (side) => {
      const clock = new FakeClock();
      const session = { clock, settingsTimeoutMs: 1_000 };
      const silent = { ackSettings: false };
      const end =
        side === "server"
          ? await scriptToServer(contract, { session, peer: silent })
          : await clientToScript(contract, { session, peer: silent });
      clock.advance(1_008);
      await end.events.untilClosed();
      expect(end.events.refusals).toMatchObject([
        { scope: "connection", limit: { name: "settingsTimeoutMs", value: 1_000 } },
      ]);
    },
  );

  it("as nothing is told of resets, GOAWAY and a lost connection", async () => {
    const backend = await ScriptedServer.listen();
    const end = connect(contract, { address: backend.address });
    const peer = await backend.connection();
    await end.events.untilAvailable();
    const streams = [open(end), open(end)];
    for (const _ of streams) await peer.expectRequest();
    peer.send(frames.rst(1, 2), frames.goaway(3, 0));
    await streams[0]?.untilReset();
    peer.destroy();
    await end.events.untilClosed();
    expect(end.events.refusals).toEqual([]);
  });
}
