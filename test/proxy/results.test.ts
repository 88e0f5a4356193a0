// What `onError` and the finalizer are shown of a destination.

import { expect, it } from "vitest";
import { Status } from "../../src/grpc/status.ts";
import { StreamParameters } from "../../src/proxy/director.ts";
import type { CallResult, DestinationResult } from "../../src/proxy/results.ts";
import { transportCombos } from "../support/combos.ts";
import { frames, request } from "../support/frames.ts";
import { answerCall, eventually, fanOutRelay } from "../support/relay-fixture.ts";
import type { ScriptedPeer } from "../support/scripted-peer.ts";

const SHOWN = [
  "address",
  "attempts",
  "conn",
  "details",
  "ended",
  "error",
  "index",
  "requestBytes",
  "requestMessages",
  "responseBytes",
  "responseMessages",
  "role",
  "status",
  "swallowed",
  "trailers",
];

/** All that can be reached from `object`, own or inherited. */
function namesOf(object: object): string[] {
  const names: string[] = [];
  for (let at: object = object; at !== Object.prototype; at = Object.getPrototypeOf(at)) {
    names.push(...Object.getOwnPropertyNames(at));
  }
  return names.filter((name) => name !== "constructor").sort();
}

it("shows how a destination goes, and nothing to change it by", async () => {
  const combo = transportCombos[0]!;
  const judged: DestinationResult[] = [];
  const results: CallResult[] = [];
  const { client, backends, peers } = await fanOutRelay(combo, {
    backends: [{}, {}],
    params: ([one, other]) =>
      new StreamParameters(
        { conn: one!, onError: (_error, result) => void judged.push(result) },
        [{ conn: other!, need: "detached" }],
        (result) => void results.push(result),
      ),
  });
  const [peer, detached] = peers as [ScriptedPeer, ScriptedPeer];
  client.send(frames.headers(1, request("/test.Service/Method"), { endStream: true }));
  answerCall(peer, (await peer.expectRequest()).streamId, 9, "not now");
  const { streamId } = await detached.expectRequest();
  await eventually("the finalizer has run", () => results.length === 1);
  const { primary, secondaries } = results[0]!;
  const [secondary] = secondaries;
  expect(namesOf(primary)).toEqual(SHOWN);
  expect(Object.keys(primary)).toEqual([]);
  expect(primary).toBe(judged[0]);
  expect(results[0]!.secondaries).toBe(secondaries);
  expect({
    conn: primary.conn,
    address: primary.address,
    attempts: primary.attempts,
    role: primary.role,
    index: primary.index,
    ended: primary.ended,
    status: primary.status,
    details: primary.details,
    swallowed: primary.swallowed,
    requestBytes: primary.requestBytes,
    requestMessages: primary.requestMessages,
    responseBytes: primary.responseBytes,
    responseMessages: primary.responseMessages,
    trailers: [...primary.trailers],
  }).toEqual({
    conn: backends[0]!.conn,
    address: backends[0]!.conn.target,
    attempts: 1,
    role: "primary",
    index: 0,
    ended: true,
    status: Status.FAILED_PRECONDITION,
    details: "not now",
    swallowed: true,
    requestBytes: 0,
    requestMessages: 0,
    responseBytes: 0,
    responseMessages: 0,
    trailers: [],
  });
  expect(primary.error).toMatchObject({ status: Status.FAILED_PRECONDITION });
  // One that goes on shows how far it is.
  expect(secondary).toMatchObject({ role: "secondary", ended: false, status: Status.UNKNOWN });
  expect(secondary!.details).toBe("");
  answerCall(detached, streamId);
  await eventually("the detached one has ended", () => secondary!.ended);
  expect(secondary).toMatchObject({ status: Status.OK, error: undefined });
});
