// A client that holds as many idle calls as it can, beside an honest one with 200 calls a second:
// grpc-js clients, a backend process with few streams, real time.

import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import * as grpc from "@grpc/grpc-js";
import { describe, expect, it } from "vitest";
import { StreamParameters } from "../../src/proxy/director.ts";
import { formatAddress } from "../../src/transport/address.ts";
import { closeAtEnd } from "../support/cleanup.ts";
import { enduranceCombos } from "../support/combos.ts";
import { GrpcClient } from "../support/grpc-js.ts";
import { dialTo, eventually, listenRelay } from "../support/relay-fixture.ts";

const PROGRAM = fileURLToPath(new URL("./echo-process.mjs", import.meta.url));
const ECHO = "/x.Y/Echo";
const STREAM_LIMIT = 20;
/** Of 10 connections. */
const CAPACITY = 10 * STREAM_LIMIT;
const HELD = 0.9 * CAPACITY;
const CALLS_PER_SECOND = 200;
/** A round may be lost to other work of the machine, so the median round counts. */
const ROUNDS = 5;
const ROUND_MS = 600;
/** Below this a percentile tells of the machine, not of the relay. */
const LEAST_P99_MS = 5;

interface Served {
  readonly failures: number;
  readonly p99Ms: number;
}

/** Calls at a steady rate, whatever becomes of them: the failures of all rounds, the median p99. */
async function honestCalls(client: GrpcClient): Promise<Served> {
  const rounds: Served[] = [];
  for (let round = 0; round < ROUNDS; round++) rounds.push(await honestRound(client));
  const percentiles = rounds.map(({ p99Ms }) => p99Ms).sort((a, b) => a - b);
  return {
    failures: rounds.reduce((sum, { failures }) => sum + failures, 0),
    p99Ms: percentiles[(ROUNDS - 1) / 2] as number,
  };
}

async function honestRound(client: GrpcClient): Promise<Served> {
  let failures = 0;
  const times: number[] = [];
  const calls: Promise<void>[] = [];
  const call = async () => {
    const startedMs = performance.now();
    const deadline = Date.now() + 2_000;
    const { status } = await client.unary(ECHO, "hello", {}, { deadline });
    if (status.code !== grpc.status.OK) failures++;
    times.push(performance.now() - startedMs);
  };
  const count = (ROUND_MS / 1_000) * CALLS_PER_SECOND;
  await new Promise<void>((resolve) => {
    const startedMs = performance.now();
    const timer = setInterval(() => {
      const due = Math.ceil(((performance.now() - startedMs) / 1_000) * CALLS_PER_SECOND);
      while (calls.length < Math.min(due, count)) calls.push(call());
      if (calls.length < count) return;
      clearInterval(timer);
      resolve();
    }, 5);
  });
  await Promise.all(calls);
  times.sort((a, b) => a - b);
  return { failures, p99Ms: times[Math.floor(times.length * 0.99)] ?? 0 };
}

describe.each(enduranceCombos)("a client with idle calls, $server $client", (combo) => {
  it("takes nothing away from one with 200 calls a second", async () => {
    const backend = fork(PROGRAM, ["0", String(STREAM_LIMIT)]);
    closeAtEnd(() => void backend.kill("SIGKILL"));
    const port = await new Promise((resolve) => backend.once("message", resolve));
    const conn = dialTo(combo, `127.0.0.1:${port}`);
    const { address } = await listenRelay(combo, () => new StreamParameters({ conn }));
    const own = { "grpc.use_local_subchannel_pool": 1 };
    const honest = new GrpcClient(formatAddress(address), own);
    const hog = new GrpcClient(formatAddress(address), own);
    // Compiles what the measured rounds run.
    await honestRound(honest);
    const alone = await honestCalls(honest);

    const held = Array.from({ length: 2 * CAPACITY }, () => hog.duplex(ECHO));
    await eventually("it holds all that it gets", () => conn.openStreamCount === HELD);
    expect(conn.waitingCount).toBe(2 * CAPACITY - HELD);
    const beside = await honestCalls(honest);
    expect(conn.waitingCount).toBe(2 * CAPACITY - HELD);
    for (const { call } of held) call.cancel();

    expect([alone.failures, beside.failures]).toEqual([0, 0]);
    expect(beside.p99Ms).toBeLessThan(3 * Math.max(alone.p99Ms, LEAST_P99_MS));
    // Eleven rounds of calls in real time.
  }, 60_000);
});
