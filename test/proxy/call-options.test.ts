// Call options of a relayed call: what they change of the request that its destinations get.

import { describe, expect, it } from "vitest";
import type { CallOptions } from "../../src/client/call-options.ts";
import { Metadata } from "../../src/grpc/metadata.ts";
import { Status } from "../../src/grpc/status.ts";
import { type Destination, StreamParameters } from "../../src/proxy/director.ts";
import type { CallContext } from "../../src/server/call-context.ts";
import { transportCombos } from "../support/combos.ts";
import { frames, pairsOf, request, trailersOnly } from "../support/frames.ts";
import { PATH, scriptedRelay, statusOf } from "../support/relay-fixture.ts";

describe.each(transportCombos)("call options, server on $server, client on $client", (combo) => {
  /** The metadata and `:authority` that a backend gets for a client's `metadata`. */
  async function sentWith(
    options: CallOptions,
    metadata: readonly (readonly [string, string])[],
    destination: (ctx: CallContext) => Omit<Destination, "conn"> = () => ({}),
  ): Promise<[string, string][]> {
    const { client, backend } = await scriptedRelay(combo, {
      director: (conn) => (ctx) =>
        new StreamParameters({ conn, ...destination(ctx) }, [], undefined, options),
    });
    client.send(frames.headers(1, request(PATH, ...metadata)), frames.data(1).end());
    const { streamId, fields } = await backend.expectRequest(PATH);
    backend.send(frames.headers(streamId, trailersOnly(0), { endStream: true }));
    expect(statusOf(await client.expectTrailers(1))).toBe(Status.OK);
    return pairsOf(fields).filter(([name]) => name === ":authority" || name.startsWith("x-"));
  }

  it("send their metadata besides the client's", async () => {
    const metadata = Metadata.from({ "x-added": "1" });
    metadata.append("x-added", "2");
    expect((await sentWith({ metadata }, [["x-own", "a"]])).slice(1)).toEqual([
      ["x-own", "a"],
      ["x-added", "1"],
      ["x-added", "2"],
    ]);
  });

  it("replace the client's metadata of the same name, every value of it, and no other", async () => {
    const sent = await sentWith({ metadata: Metadata.from({ "x-user": "relay" }) }, [
      ["x-user", "alice"],
      ["x-own", "a"],
      ["x-user", "bob"],
      ["x-user-id", "7"],
    ]);
    expect(sent.slice(1)).toEqual([
      ["x-own", "a"],
      ["x-user-id", "7"],
      ["x-user", "relay"],
    ]);
  });

  it("replace metadata of a destination's own context, too", async () => {
    const sent = await sentWith({ metadata: Metadata.from({ "x-user": "relay" }) }, [], (ctx) => ({
      ctx: ctx.withMetadata(Metadata.from({ "x-user": "director", "x-kept": "1" })),
    }));
    expect(sent.slice(1)).toEqual([
      ["x-kept", "1"],
      ["x-user", "relay"],
    ]);
  });

  it("name the authority, instead of the connection's", async () => {
    expect((await sentWith({ authority: "other.test" }, []))[0]).toEqual([
      ":authority",
      "other.test",
    ]);
  });
});
