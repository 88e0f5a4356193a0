// The judge of the fault suite finds what it is there for.

import { describe, expect, it } from "vitest";
import { Status } from "../../src/grpc/status.ts";
import type { End, Ended } from "./caller.ts";
import { type CallPlan, planProbe } from "./plan.ts";
import { type Circumstances, judge } from "./verdict.ts";

const CALM: Circumstances = {
  troubled: () => false,
  clientTroubled: false,
  arrivals: () => 1,
};

function ended(end: End, more: Partial<Ended> = {}, plan: Partial<CallPlan> = {}): Ended {
  const call = { ...planProbe(1, "Judge", 0), ...plan };
  return {
    ...{ call, end, receivedBytes: call.responseBytes.length, headed: true },
    ...{ requestComplete: true, startedMs: 0, endedMs: 5 },
    ...more,
  };
}

const OK: End = { kind: "status", status: Status.OK };
const UNAVAILABLE: End = { kind: "status", status: Status.UNAVAILABLE };
const LATE: End = { kind: "status", status: Status.DEADLINE_EXCEEDED };

describe("the judge of calls under faults", () => {
  it("finds nothing wrong with a call that ends as planned", () => {
    expect(judge(ended(OK), CALM)).toEqual([]);
  });

  it.each([
    ["OK for half a response", ended(OK, { receivedBytes: 1 }), /OK after 1 bytes/],
    ["UNAVAILABLE without a fault", ended(UNAVAILABLE), /status 14, allowed: 0$/],
    ["a deadline that has not passed", ended(LATE, {}, { timeoutMs: 80 }), /status 4, allowed: 0$/],
    ["a hang", ended(LATE, { endedMs: 60_000 }, { timeoutMs: 80 }), /took 60000 ms/],
    ["a connection lost without a fault", ended({ kind: "lost" }), /lost without a fault/],
    ["a reset before any message", ended({ kind: "reset", code: 2 }, { receivedBytes: 0 }), /RST/],
  ])("finds %s", (_, call, problem) => {
    expect(judge(call, CALM).join("; ")).toMatch(problem);
  });

  it("finds a call that came to a backend twice", () => {
    const twice = { ...CALM, arrivals: (backend: string) => (backend === "a" ? 2 : 1) };
    expect(judge(ended(OK), twice)).toEqual(["came to a 2 times, expected at most 1"]);
  });

  it("finds OK where a secondary that counts has failed", () => {
    const probe = planProbe(1, "Judge", 0);
    const failing = { ...probe.parts.b, outcome: { kind: "trailers", status: 9 } as const };
    const call = ended(OK, {}, { parts: { ...probe.parts, b: failing } });
    expect(judge(call, CALM)).toEqual(["ended with status 0, allowed: 9"]);
  });

  it.each([
    [65_536, "ended with status 14, allowed: 0"],
    [65_537, undefined],
  ])(
    "knows that a refused request of %i bytes may be too long for a fallback",
    (bytes, problem) => {
      const probe = planProbe(1, "Judge", 0);
      const refusing = { ...probe.parts.a, outcome: { kind: "reset", code: 7 } as const, share: 0 };
      const call = ended(
        UNAVAILABLE,
        {},
        {
          ...{ fallback: true, secondaries: [], requestBytes: Buffer.alloc(bytes) },
          parts: { ...probe.parts, a: refusing },
        },
      );
      const both = { ...CALM, arrivals: (backend: string) => (backend === "c" ? 0 : 1) };
      expect(judge(call, both)).toEqual(problem === undefined ? [] : [problem]);
    },
  );

  it.each([
    [900, ["RST_STREAM(8) after 65535 bytes"]],
    [1_100, []],
  ])(
    "takes a reset %i ms after the deadline for one of an unread response",
    (afterMs, problems) => {
      const call = ended(
        { kind: "reset", code: 8 },
        { receivedBytes: 65_535, endedMs: 80 + afterMs },
        { timeoutMs: 80, responseBytes: Buffer.alloc(100_000) },
      );
      expect(judge(call, CALM)).toEqual(problems);
    },
  );

  it("allows UNAVAILABLE where a connection to a backend was lost", () => {
    const troubled = { ...CALM, troubled: (backend: string) => backend === "a" };
    expect(judge(ended(UNAVAILABLE), troubled)).toEqual([]);
  });
});
