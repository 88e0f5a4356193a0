// What a destination's `onError` returns, and what that makes of its error.

import { describe, expect, it } from "vitest";
import { ErrorReason, GrpcError } from "../../src/grpc/error.ts";
import { Status } from "../../src/grpc/status.ts";
import {
  type Destination,
  type DestinationErrorHandler,
  StreamParameters,
} from "../../src/proxy/director.ts";
import type { DestinationResult } from "../../src/proxy/results.ts";
import { verdictOf } from "../../src/proxy/verdict.ts";
import { transportCombos } from "../support/combos.ts";
import { warnings } from "../support/events.ts";
import {
  answerCall,
  eventually,
  expectCall,
  fanOutRelay,
  sendCall,
  statusOf,
} from "../support/relay-fixture.ts";

const PROMISE = "onError must not return a promise: it cannot be waited for";

const rows: readonly (readonly [title: string, onError: unknown, warning: string])[] = [
  ["a promise of nothing", async () => {}, PROMISE],
  ["a promise of null", async () => null, PROMISE],
  [
    "a promise that rejects",
    async () => {
      throw new Error("later");
    },
    PROMISE,
  ],
  // biome-ignore lint/suspicious/noThenProperty: such a thing is what is tested
  ["a thenable", () => ({ then: () => {} }), PROMISE],
  // biome-ignore lint/suspicious/noThenProperty: nor is it one
  ["a then", () => ({ then: 5 }), "onError: expected an error or nothing, got an object (Object)"],
  ["false", () => false, "onError: expected an error or nothing, got false"],
  ["the length of a list", () => 1, "onError: expected an error or nothing, got 1"],
  ["a text", () => "no", 'onError: expected an error or nothing, got "no"'],
  ["an object", () => ({}), "onError: expected an error or nothing, got an object (Object)"],
];

// The first of this file: the process is warned of each kind once.
it("an onError that returns what is no outcome is a warning of the process, once for each kind", async () => {
  const given = warnings();
  const told = new GrpcError(Status.ABORTED, "told");
  for (const [, onError] of rows) {
    const destination = { onError } as unknown as Destination;
    expect(verdictOf(destination, told, {} as DestinationResult)).toBe(told);
  }
  await eventually("the warnings are given", () => given.length === 5);
  expect(given.map(({ message }) => message)).toEqual([
    ...new Set(rows.map(([, , warning]) => warning)),
  ]);
  for (const warning of given) {
    expect(warning).toMatchObject({
      code: "GRPC_RELAY_ON_ERROR",
      detail: "the error that it was told stands",
    });
  }
});

it.each([
  [
    "throws a defect",
    () => {
      throw new TypeError("boom");
    },
  ],
  ["returns a defect", () => new TypeError("boom")],
])("an onError that %s makes of its error one of ours, and a warning", async (_, onError) => {
  const given = warnings();
  const told = new GrpcError(Status.ABORTED, "told");
  const verdict = verdictOf({ onError } as unknown as Destination, told, {} as DestinationResult);
  expect(verdict).toMatchObject({ status: Status.UNKNOWN, reason: ErrorReason.HANDLER });
  await eventually("the warning is given", () => given.length === 1);
  expect(given).toMatchObject([{ code: "GRPC_RELAY_ON_ERROR", message: "onError threw boom" }]);
});

it("without an onError the error stands", () => {
  const told = new GrpcError(Status.ABORTED, "told");
  expect(verdictOf({} as Destination, told, {} as DestinationResult)).toBe(told);
});

describe("the type of onError", () => {
  it("forbids a promise", () => {
    // @ts-expect-error: nothing waits for it
    const asynchronous: DestinationErrorHandler = async () => {};
    // @ts-expect-error: nor for an error that comes later
    const late: DestinationErrorHandler = async (error) => error;
    // @ts-expect-error: nor may it be one of several outcomes
    const sometimes: DestinationErrorHandler = (error) => (error.status === 5 ? late : undefined);
    const noted: DestinationErrorHandler = () => {};
    const arrow: DestinationErrorHandler = (error) => void noted(error, undefined as never);
    expect([asynchronous, late, sometimes, noted, arrow]).toHaveLength(5);
  });
});

describe.each(transportCombos)("onError, server on $server, client on $client", (combo) => {
  /** What a client is told when the primary, or the secondary, answers PERMISSION_DENIED. */
  async function callWith(
    role: "primary" | "secondary",
    onError: DestinationErrorHandler,
  ): Promise<readonly [status: number, swallowed: boolean | undefined]> {
    let swallowed: boolean | undefined;
    const { client, peers } = await fanOutRelay(combo, {
      backends: [{}, {}],
      params: ([first, second]) => {
        const failing = { conn: second!, onError };
        const other = { conn: first! };
        const [primary, secondary] = role === "primary" ? [failing, other] : [other, failing];
        return new StreamParameters(primary, [secondary], (result) => {
          swallowed = [result.primary, ...result.secondaries].find(
            ({ conn }) => conn === second,
          )?.swallowed;
        });
      },
    });
    sendCall(client);
    for (const [i, peer] of peers.entries()) {
      answerCall(peer, await expectCall(peer), i === 0 ? Status.OK : Status.PERMISSION_DENIED);
    }
    return [statusOf(await client.expectTrailers(1)), swallowed];
  }

  for (const role of ["primary", "secondary"] as const) {
    it.each(rows)(`of the ${role} that returns %s swallows nothing`, async (_title, onError) => {
      const outcome = await callWith(role, onError as DestinationErrorHandler);
      expect(outcome).toEqual([Status.PERMISSION_DENIED, false]);
    });

    it.each<[string, DestinationErrorHandler, number, boolean]>([
      ["nothing", () => {}, Status.OK, true],
      ["undefined", () => undefined, Status.OK, true],
      ["null", () => null, Status.OK, true],
      ["the error", (error) => error, Status.PERMISSION_DENIED, false],
      ["another error", () => new GrpcError(Status.ABORTED, "no"), Status.ABORTED, false],
    ])(`of the ${role} that returns %s is heard`, async (_title, onError, status, swallowed) => {
      expect(await callWith(role, onError)).toEqual([status, swallowed]);
    });
  }
});
