// Call options of a relayed call: what they change of the request that its destinations get.

import { describe, expect, it } from "vitest";
import type { CallOptions } from "../../src/client/call-options.ts";
import type { ClientConn } from "../../src/client/client-conn.ts";
import { Metadata } from "../../src/grpc/metadata.ts";
import { Status } from "../../src/grpc/status.ts";
import { type Destination, StreamParameters } from "../../src/proxy/director.ts";
import type { CallContext } from "../../src/server/call-context.ts";
import { ErrorCode } from "../../src/wire/error-code.ts";
import { FakeClock } from "../support/clock.ts";
import { transportCombos } from "../support/combos.ts";
import { frames, message, pairsOf, request, response, trailersOnly } from "../support/frames.ts";
import { refusingAddress } from "../support/refusing.ts";
import {
  dialTo,
  eventually,
  listenRelay,
  PATH,
  scriptedBackend,
  scriptedRelay,
  statusOf,
} from "../support/relay-fixture.ts";
import { ScriptedClient } from "../support/scripted-endpoints.ts";
import type { ScriptedPeer } from "../support/scripted-peer.ts";

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

describe.each(transportCombos)(
  "call options of a destination, server on $server, client on $client",
  (combo) => {
    interface Told {
      readonly target: string;
      readonly status: number;
      readonly reason: string;
    }

    /** A call to a primary and an optional secondary whose call options are `own`. */
    async function start(ofCall: CallOptions, own: CallOptions) {
      const clock = new FakeClock();
      const [primary, secondary] = await Promise.all([
        scriptedBackend(combo),
        scriptedBackend(combo),
      ]);
      const told: Told[] = [];
      const onError: Destination["onError"] = ({ status, reason }, { conn: { target } }) => {
        told.push({ target, status, reason });
      };
      const { address } = await listenRelay(
        combo,
        () =>
          new StreamParameters(
            { conn: primary.conn },
            [{ conn: secondary.conn, need: "optional", callOptions: own, onError }],
            undefined,
            ofCall,
          ),
        { clock },
      );
      const client = await ScriptedClient.connect(address);
      client.send(frames.headers(1, request(PATH)));
      const peers = await Promise.all([primary.peer(), secondary.peer()]);
      const requests = await Promise.all(peers.map((peer) => peer.expectRequest(PATH)));
      const fields = requests.map(({ fields }) => pairsOf(fields));
      const ids = requests.map(({ streamId }) => streamId);
      return { clock, client, peers, fields, ids, told, target: secondary.conn.target };
    }

    async function finish(peer: ScriptedPeer | undefined, id: number | undefined): Promise<void> {
      peer?.send(frames.headers(id ?? 0, trailersOnly(0), { endStream: true }));
    }

    const valuesOf = (fields: [string, string][] | undefined, name: string) =>
      fields?.filter(([of]) => of === name).map(([, value]) => value);

    it("are sent to it alone, in the place of those of the call that have the same name", async () => {
      const { client, peers, fields, ids } = await start(
        { authority: "all.test", metadata: Metadata.from({ "x-of": "call" }), timeoutMs: 5_000 },
        { metadata: Metadata.from({ "x-of": "destination" }), timeoutMs: 3_000 },
      );
      const authorities = fields.map((each) => valuesOf(each, ":authority"));
      expect(authorities).toEqual([["all.test"], ["all.test"]]);
      expect(fields.map((each) => valuesOf(each, "x-of"))).toEqual([["call"], ["destination"]]);
      const timeouts = fields.map((each) => valuesOf(each, "grpc-timeout"));
      expect(timeouts).toEqual([["5000000u"], ["3000000u"]]);
      client.send(frames.data(1).end());
      for (const at of [0, 1]) await finish(peers[at], ids[at]);
      expect(statusOf(await client.expectTrailers(1))).toBe(Status.OK);
    });

    it("that are undefined are the call's", async () => {
      const { client, peers, fields, ids } = await start({ authority: "all.test" }, {
        authority: undefined,
      } as never);
      expect(valuesOf(fields[1], ":authority")).toEqual(["all.test"]);
      client.send(frames.data(1).end());
      for (const at of [0, 1]) await finish(peers[at], ids[at]);
      expect(statusOf(await client.expectTrailers(1))).toBe(Status.OK);
    });

    it("end it before it is asked for when they give it no time", async () => {
      const { conn } = await scriptedBackend(combo);
      const { address } = await listenRelay(
        combo,
        () => new StreamParameters({ conn, callOptions: { timeoutMs: 0 } }),
      );
      const client = await ScriptedClient.connect(address);
      client.send(frames.headers(1, request(PATH), { endStream: true }));
      expect(statusOf(await client.expectTrailers(1))).toBe(Status.DEADLINE_EXCEEDED);
      expect(conn.state).toBe("idle");
    });

    it("end it alone when its time is over, or it answers with too much", async () => {
      const late = await start({}, { timeoutMs: 40 });
      late.clock.advance(44);
      await late.peers[1]?.expectReset(late.ids[1] ?? 0, ErrorCode.CANCEL);
      late.client.send(frames.data(1).end());
      await finish(late.peers[0], late.ids[0]);
      expect(statusOf(await late.client.expectTrailers(1))).toBe(Status.OK);
      expect(late.told).toEqual([
        { target: late.target, status: Status.DEADLINE_EXCEEDED, reason: "DEADLINE" },
      ]);

      const large = await start({}, { maxResponseMessageBytes: 3 });
      const answer = (id = 0) => [frames.headers(id, response()), frames.data(id, message("abcd"))];
      large.peers[1]?.send(...answer(large.ids[1]));
      await large.peers[1]?.expectReset(large.ids[1] ?? 0, ErrorCode.CANCEL);
      large.client.send(frames.data(1).end());
      await finish(large.peers[0], large.ids[0]);
      expect(statusOf(await large.client.expectTrailers(1))).toBe(Status.OK);
      const error = { status: Status.RESOURCE_EXHAUSTED, reason: "MESSAGE_TOO_LARGE" };
      expect(large.told).toEqual([{ target: large.target, ...error }]);
    });

    it("end it alone when a message of the client is too large for it", async () => {
      const { client, peers, ids, told, target } = await start({}, { maxRequestMessageBytes: 3 });
      client.send(frames.data(1, message("abc")), frames.data(1, message("abcd")).end());
      const both = Buffer.concat([message("abc"), message("abcd")]);
      expect(await peers[0]?.expectBody(ids[0] ?? 0)).toEqual(both);
      await peers[1]?.expectReset(ids[1] ?? 0, ErrorCode.CANCEL, { skip: ["DATA"] });
      peers[1]?.expectNoEndStream(ids[1] ?? 0);
      await finish(peers[0], ids[0]);
      expect(statusOf(await client.expectTrailers(1))).toBe(Status.OK);
      const error = { status: Status.RESOURCE_EXHAUSTED, reason: "MESSAGE_TOO_LARGE" };
      expect(told).toEqual([{ target, ...error }]);
    });

    it("fail the call when it is required, and a message too large for it comes before it is open", async () => {
      const primary = await scriptedBackend(combo);
      const slow = await scriptedBackend(combo, { handshake: false });
      const callOptions = { maxRequestMessageBytes: 3 };
      const { address } = await listenRelay(
        combo,
        () => new StreamParameters({ conn: primary.conn }, [{ conn: slow.conn, callOptions }]),
      );
      const client = await ScriptedClient.connect(address);
      client.send(frames.headers(1, request(PATH)), frames.data(1, message("abcd")).end());
      expect(statusOf(await client.expectTrailers(1))).toBe(Status.RESOURCE_EXHAUSTED);
      await slow.conn.close();
    });

    it("have it wait for its backend, and no other", async () => {
      const clock = new FakeClock();
      const conn: ClientConn = dialTo(combo, await refusingAddress(), { clock });
      const { address } = await listenRelay(
        combo,
        () => new StreamParameters({ conn, callOptions: { waitForReady: true } }),
      );
      const client = await ScriptedClient.connect(address);
      client.send(frames.headers(1, request(PATH)), frames.data(1).end());
      await eventually("it has failed", () => conn.state === "transientFailure");
      expect(conn.waitingCount).toBe(1);
      client.send(frames.rst(1, ErrorCode.CANCEL));
      await eventually("it waits no more", () => conn.waitingCount === 0);
    });
  },
);
