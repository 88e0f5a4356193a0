import { describe, expect, it } from "vitest";
import { dial } from "../../src/client/dial.ts";
import type { DialOptions } from "../../src/client/dial-options.ts";
import { Status } from "../../src/grpc/status.ts";
import { closeAtEnd } from "../support/cleanup.ts";
import { FakeClock } from "../support/clock.ts";
import { frames, trailersOnly } from "../support/frames.ts";
import { ScriptedServer } from "../support/scripted-endpoints.ts";

describe.each(["engine", "node"] as const)("a frozen backend on '%s'", (transport) => {
  it("is lost: its calls fail with UNAVAILABLE, and the next one gets another connection", async () => {
    const clock = new FakeClock();
    const backend = await ScriptedServer.listen({ ackPings: false });
    const { port } = backend.address as { port: number };
    const options: DialOptions & { readonly clock: FakeClock } = { transport, clock };
    const conn = dial(`127.0.0.1:${port}`, options);
    closeAtEnd(() => conn.close());
    const call = conn.newStream("/a.B/C");
    const frozen = await backend.connection();
    await frozen.expectRequest();
    clock.advance(5_500);
    await frozen.recv("PING");
    // node:http2 may have read the rest of the handshake only now.
    clock.advance(10_500);
    await expect(call.trailer()).rejects.toMatchObject({
      status: Status.UNAVAILABLE,
      reason: "UPSTREAM_SESSION",
      retry: "never",
      details: "the backend is lost: the connection to it ended under the call",
      message: expect.stringContaining("is lost: did not answer PING"),
    });
    const next = conn.newStream("/a.B/C");
    const alive = await backend.connection();
    const { streamId } = await alive.expectRequest();
    alive.send(frames.headers(streamId, trailersOnly(0)).end());
    await next.trailer();
  });
});
