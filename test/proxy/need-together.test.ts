// Secondaries of every need in one call: who waits for whom, and who is ended by whom.

import { describe, expect, it } from "vitest";
import { ErrorReason, type GrpcError } from "../../src/grpc/error.ts";
import { Status } from "../../src/grpc/status.ts";
import { type DestinationNeed, StreamParameters } from "../../src/proxy/director.ts";
import { ErrorCode } from "../../src/wire/error-code.ts";
import { FakeClock } from "../support/clock.ts";
import { transportCombos } from "../support/combos.ts";
import { frames, message, request, response, trailersOnly } from "../support/frames.ts";
import {
  connectTo,
  dialTo,
  eventually,
  listenRelay,
  PATH,
  type ScriptedBackend,
  scriptedBackend,
  statusOf,
} from "../support/relay-fixture.ts";
import { ScriptedClient } from "../support/scripted-endpoints.ts";
import type { ScriptedPeer } from "../support/scripted-peer.ts";

const ABC = message("abc");
const needs: readonly DestinationNeed[] = ["detached", "optional", "required"];
type Role = "primary" | DestinationNeed;

describe.each(transportCombos)(
  "one of each need, server on $server, client on $client",
  (combo) => {
    /**
     * A call to a primary and one secondary of each need; all are connected but `late`, which is
     * silent or not there.
     */
    async function begin(
      late?: { readonly role: Role; readonly isThere: boolean },
      maxLagBytes?: number,
    ) {
      const clock = new FakeClock();
      const backends = new Map<Role, ScriptedBackend>();
      for (const role of ["primary", ...needs] as const) {
        const silent = late?.role === role ? { handshake: false, ackSettings: false } : {};
        backends.set(role, await scriptedBackend(combo, silent, { clock }));
      }
      const told: [Role, GrpcError][] = [];
      const finalized: boolean[][] = [];
      const nowhere = dialTo(combo, "unix:/nowhere/at/all", { clock });
      const destination = (role: Role) => ({
        conn: late?.role === role && !late.isThere ? nowhere : backends.get(role)!.conn,
        onError: (error: GrpcError): GrpcError => {
          told.push([role, error]);
          return error;
        },
      });
      const { server, address } = await listenRelay(
        combo,
        () =>
          new StreamParameters(
            destination("primary"),
            needs.map((need) => ({
              ...destination(need),
              need,
              ...(maxLagBytes === undefined ? {} : { maxLagBytes }),
            })),
            ({ secondaries }) => void finalized.push(secondaries.map(({ ended }) => ended)),
          ),
        { clock },
      );
      const peers = new Map<Role, ScriptedPeer>();
      for (const [role, backend] of backends) {
        if (late?.role !== role) peers.set(role, await connectTo(backend));
      }
      const client = await ScriptedClient.connect(address);
      const expectRequest = async (role: Role) => {
        const peer = peers.get(role) ?? (await backends.get(role)!.peer());
        peers.set(role, peer);
        return { peer, id: (await peer.expectRequest(PATH)).streamId };
      };
      const send = (complete = true): void => {
        client.send(frames.headers(1, request(PATH)));
        client.send(complete ? frames.data(1, ABC).end() : frames.data(1, ABC));
      };
      return { clock, server, client, backends, told, finalized, send, expectRequest };
    }

    type Side = { readonly peer: ScriptedPeer; readonly id: number };

    async function all(call: Awaited<ReturnType<typeof begin>>, complete = true) {
      call.send(complete);
      const sides: Record<string, Side> = {};
      for (const role of ["primary", ...needs] as const) {
        const side = await call.expectRequest(role);
        if (complete) expect(await side.peer.expectBody(side.id)).toEqual(ABC);
        else expect(await side.peer.expectBytes(side.id, ABC.length)).toEqual(ABC);
        sides[role] = side;
      }
      return sides as Record<Role, Side>;
    }

    function answer({ peer, id }: Side, status = 0): void {
      peer.send(frames.headers(id, trailersOnly(status), { endStream: true }));
    }

    it("sends nobody anything before the required one is open, and then all of them the request", async () => {
      const call = await begin({ role: "required", isThere: true });
      call.send();
      const sides: Side[] = [];
      for (const role of ["primary", "detached", "optional"] as const) {
        const side = await call.expectRequest(role);
        await side.peer.expectQuiet(side.id);
        sides.push(side);
      }
      const peer = await call.backends.get("required")!.peer();
      peer.send(frames.settings(), frames.settingsAck());
      sides.push({ peer, id: (await peer.expectRequest(PATH)).streamId });
      for (const side of sides) {
        expect(await side.peer.expectBody(side.id)).toEqual(ABC);
        answer(side);
      }
      expect(statusOf(await call.client.expectTrailers(1))).toBe(Status.OK);
      await eventually("none is left", () => call.server.leftovers.size === 0);
      expect(call.told).toEqual([]);
    });

    it("sends nobody anything when the required one cannot be opened, and tells each once", async () => {
      const call = await begin({ role: "required", isThere: false });
      call.send();
      expect(statusOf(await call.client.expectTrailers(1))).toBe(Status.UNAVAILABLE);
      await eventually("no call is left", () => call.server.openCallCount === 0);
      for (const role of ["primary", "detached", "optional"] as const) {
        const { peer, id } = await call.expectRequest(role);
        await peer.expectReset(id, ErrorCode.CANCEL);
        expect(peer.receivedBytes(id)).toBe(0);
      }
      expect(call.told.map(([role]) => role).sort()).toEqual(["primary", ...needs].sort());
      for (const [, error] of call.told) expect(error.reason).toBe(ErrorReason.UPSTREAM_CONNECT);
      expect(call.finalized).toEqual([[true, true, true]]);
      expect(call.server.leftovers.size).toBe(0);
    });

    it("ends the required and the optional one with a primary that is reset, and not the detached one", async () => {
      const call = await begin();
      const { primary, required, optional, detached } = await all(call);
      primary.peer.send(frames.rst(primary.id, ErrorCode.INTERNAL_ERROR));
      await required.peer.expectReset(required.id, ErrorCode.CANCEL);
      await optional.peer.expectReset(optional.id, ErrorCode.CANCEL);
      expect(statusOf(await call.client.expectTrailers(1))).toBe(Status.INTERNAL);
      await detached.peer.expectQuiet(detached.id);
      answer(detached);
      await eventually("none is left", () => call.server.leftovers.size === 0);
      expect(call.told.map(([role, { reason }]) => [role, reason])).toEqual([
        ["primary", ErrorReason.UPSTREAM_RESET],
        ["optional", ErrorReason.CALL_ENDED],
        ["required", ErrorReason.CALL_ENDED],
      ]);
      expect(call.finalized).toEqual([[false, true, true]]);
    });

    it.each([true, false])(
      "ends all of them with a client that cancels, before the finalizer, its request complete: %s",
      async (complete) => {
        const call = await begin();
        const sides = await all(call, complete);
        call.client.send(frames.rst(1, ErrorCode.CANCEL));
        for (const { peer, id } of Object.values(sides)) {
          await peer.expectReset(id, ErrorCode.CANCEL);
        }
        await eventually("no call is left", () => call.server.openCallCount === 0);
        expect(call.told).toHaveLength(4);
        for (const [, error] of call.told) expect(error.reason).toBe(ErrorReason.CLIENT_CANCELLED);
        expect(call.finalized).toEqual([[true, true, true]]);
        expect(call.server.leftovers.size).toBe(0);
      },
    );

    it("waits for the required and the optional one, in any order, and not for the detached one", async () => {
      for (const order of [
        ["required", "optional"],
        ["optional", "required"],
      ] as const) {
        const call = await begin();
        const { primary, detached, ...others } = await all(call);
        answer(primary);
        for (const role of order) {
          await call.client.expectQuiet(1);
          answer(others[role]);
        }
        expect(statusOf(await call.client.expectTrailers(1))).toBe(Status.OK);
        expect(call.finalized).toEqual([[false, true, true]]);
        answer(detached, Status.ABORTED);
        await eventually("it was told", () => call.told.length === 1);
        expect(call.told).toMatchObject([["detached", { status: Status.ABORTED }]]);
        expect(call.server.leftovers.size).toBe(0);
      }
    });

    it("keeps what a detached one has yet to take when the call ends, be it more than its lag", async () => {
      const clock = new FakeClock();
      const slow = { refillWindows: false };
      // The node transport takes in one step what was written in one: the primary is ahead by that
      // for a moment.
      const maxLagBytes = combo.client === "engine" ? 20_000 : 120_000;
      const [first, second] = [
        await scriptedBackend(combo, slow, { clock }),
        await scriptedBackend(combo, slow, { clock }),
      ];
      const { address, server } = await listenRelay(
        combo,
        () =>
          new StreamParameters({ conn: first.conn }, [
            { conn: second.conn, need: "detached", maxLagBytes },
          ]),
        { clock },
      );
      const [primary, mirror] = [await connectTo(first), await connectTo(second)];
      const client = await ScriptedClient.connect(address);
      const body = message(Buffer.alloc(120_000, "b"));
      client.send(frames.headers(1, request(PATH)));
      client.send(frames.windowUpdate(0, 1_000_000));
      for (let at = 0; at < 60_000; at += 10_000) {
        client.send(frames.data(1, body.subarray(at, at + 10_000)));
      }
      await client.sync();
      for (let at = 60_000; at < body.length; at += 10_000) {
        const piece = frames.data(1, body.subarray(at, at + 10_000));
        client.send(at + 10_000 < body.length ? piece : piece.end());
      }
      const { streamId } = await primary.expectRequest(PATH);
      const { streamId: id } = await mirror.expectRequest(PATH);
      await primary.expectBytes(streamId, 65_535);
      await mirror.expectBytes(id, 65_535);
      await client.sync();
      primary.send(frames.headers(streamId, trailersOnly(0), { endStream: true }));
      expect(statusOf(await client.expectTrailers(1))).toBe(Status.OK);
      mirror.send(frames.windowUpdate(0, 1_000_000), frames.windowUpdate(id, 10_000));
      await mirror.expectBytes(id, 10_000);
      mirror.send(frames.windowUpdate(id, 1_000_000));
      expect(65_535 + 10_000 + (await mirror.expectBody(id)).length).toBe(body.length);
      mirror.send(frames.headers(id, trailersOnly(0), { endStream: true }));
      await eventually("none is left", () => server.leftovers.size === 0);
    });

    it("ends a detached one when the grace of the server is over, though a client keeps its connection", async () => {
      const call = await begin();
      const { primary, required, optional, detached } = await all(call);
      for (const side of [primary, required, optional]) answer(side);
      expect(statusOf(await call.client.expectTrailers(1))).toBe(Status.OK);
      // Another call whose client does not read: it keeps the connection until its last words are
      // over.
      call.client.send(frames.headers(3, request(PATH)), frames.data(3, ABC).end());
      const other = await call.expectRequest("primary");
      other.peer.send(frames.headers(other.id, response()));
      await call.client.expectHeaders(3);
      for (let sent = 0; sent < 60_000; sent += 10_000) {
        other.peer.send(frames.data(other.id, Buffer.alloc(10_000)));
      }
      await call.client.expectBytes(3, 60_000);
      other.peer.send(frames.data(other.id, Buffer.alloc(16_000)));
      await other.peer.sync();
      let closed = false;
      const closing = call.server.close().then(() => {
        closed = true;
      });
      await detached.peer.expectReset(detached.id, ErrorCode.CANCEL);
      expect(closed).toBe(false);
      expect(call.server.leftovers.size).toBe(0);
      await eventually("the server is closed", () => {
        call.clock.advance(100);
        return closed;
      });
      await closing;
    });
  },
);
