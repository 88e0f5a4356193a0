// Credit from end to end: who does not read stops who sends, at the windows; who reads gets
// everything.

import { describe, expect, it } from "vitest";
import { Status } from "../../src/grpc/status.ts";
import { StreamParameters } from "../../src/proxy/director.ts";
import { ErrorCode } from "../../src/wire/error-code.ts";
import { transportCombos } from "../support/combos.ts";
import { frames, message, request, response, trailers } from "../support/frames.ts";
import {
  connectTo,
  expectCall,
  listenRelay,
  PATH,
  type ScriptedRelay,
  scriptedBackend,
  scriptedRelay,
  sendCall,
  statusOf,
} from "../support/relay-fixture.ts";
import { ScriptedClient } from "../support/scripted-endpoints.ts";
import { Upload } from "../support/upload.ts";

const MiB = 1024 * 1024;

describe.each(transportCombos)("backpressure, server on $server, client on $client", (combo) => {
  /** A call whose response has begun. */
  async function responding(relay: ScriptedRelay): Promise<number> {
    sendCall(relay.client);
    const streamId = await expectCall(relay.backend);
    relay.backend.send(frames.headers(streamId, response()));
    await relay.client.expectHeaders(1);
    return streamId;
  }

  it("a long response of small messages passes whole to a client that reads", async () => {
    const relay = await scriptedRelay(combo);
    const streamId = await responding(relay);
    const upload = new Upload(relay.backend, streamId);
    const one = message(Buffer.alloc(995, "s"));
    // One round trip after the other: each message is accepted at once, and has to give its credit
    // back.
    for (let i = 0; i < 600; i++) {
      await upload.send(one);
      await relay.client.expectBytes(1, one.length);
    }
    relay.backend.send(frames.headers(streamId, trailers(), { endStream: true }));
    expect(statusOf(await relay.client.expectTrailers(1))).toBe(Status.OK);
  });

  it("a backend is stopped by a client that does not read, and goes on when it does", async () => {
    const relay = await scriptedRelay(combo, { client: { refillWindows: false } });
    const streamId = await responding(relay);
    const upload = new Upload(relay.backend, streamId);
    const body = message(Buffer.alloc(4 * MiB, "b"));
    const taken = await upload.sendUntilStalled(body, () => relay.client.sync());
    // The client's window, the backend's window at the relay and its step of credit, what the
    // transport holds.
    expect(taken).toBeLessThanOrEqual(65_535 + 131_072 + 131_072);
    relay.client.refillWindows = true;
    relay.client.send(frames.windowUpdate(0, MiB), frames.windowUpdate(1, MiB));
    await upload.send(body.subarray(taken));
    relay.backend.send(frames.headers(streamId, trailers(), { endStream: true }));
    expect((await relay.client.expectBytes(1, body.length)).equals(body)).toBe(true);
    expect(statusOf(await relay.client.expectTrailers(1))).toBe(Status.OK);
  });

  it("one call that does not read stops no other on the same connections", async () => {
    const relay = await scriptedRelay(combo, {
      client: { refillWindows: false, settings: { INITIAL_WINDOW_SIZE: 10_000 } },
    });
    const streamId = await responding(relay);
    await new Upload(relay.backend, streamId).sendUntilStalled(Buffer.alloc(MiB), () =>
      relay.client.sync(),
    );
    relay.client.send(frames.headers(3, request(PATH)), frames.data(3, message("abc")).end());
    const other = await relay.backend.expectRequest(PATH);
    relay.backend.send(frames.headers(other.streamId, response()));
    relay.backend.send(frames.data(other.streamId, message("through")));
    relay.backend.send(frames.headers(other.streamId, trailers(), { endStream: true }));
    await relay.client.expectHeaders(3);
    expect(await relay.client.expectBytes(3, 12)).toEqual(message("through"));
    expect(statusOf(await relay.client.expectTrailers(3))).toBe(Status.OK);
    relay.client.send(frames.rst(1, ErrorCode.CANCEL));
  });

  it("a client that a secondary has stopped goes on when that dies, without sending a byte more", async () => {
    const first = await scriptedBackend(combo);
    const second = await scriptedBackend(combo, { refillWindows: false });
    const { address } = await listenRelay(
      combo,
      () => new StreamParameters({ conn: first.conn }, [{ conn: second.conn, onError: () => {} }]),
    );
    const [primary, secondary] = [await connectTo(first), await connectTo(second)];
    const client = await ScriptedClient.connect(address);
    client.send(frames.headers(1, request(PATH)));
    const primaryId = (await primary.expectRequest(PATH)).streamId;
    const secondaryId = (await secondary.expectRequest(PATH)).streamId;
    const upload = new Upload(client, 1);
    const body = message(Buffer.alloc(2 * MiB));
    const taken = await upload.sendUntilStalled(body, () => secondary.sync());
    expect(taken).toBeLessThan(MiB);
    secondary.send(frames.rst(secondaryId, ErrorCode.INTERNAL_ERROR));
    await upload.send(body.subarray(taken));
    await primary.expectBytes(primaryId, body.length);
    client.send(frames.rst(1, ErrorCode.CANCEL));
    await primary.expectReset(primaryId, ErrorCode.CANCEL);
  });
});
