import * as grpc from "@grpc/grpc-js";
import { describe, expect, it } from "vitest";
import { transportCombos } from "../support/combos.ts";
import { eventually } from "../support/relay-fixture.ts";
import { compressingBackend, type InteropBackend, interopBackend } from "./backend.ts";
import { InteropClient, type Outcome } from "./client.ts";
import { expectUntouched, interop, tapped } from "./fixture.ts";
import {
  methodOf,
  ORCA_SERVICE,
  type OrcaLoadReport,
  type PayloadMessage,
  type SimpleRequest,
  type StreamingOutputRequest,
  TEST_SERVICE,
  UNIMPLEMENTED_SERVICE,
  zeroes,
} from "./protocol.ts";
import { messagesOf } from "./wire-tap.ts";

// The cases of grpc/grpc doc/interop-test-descriptions.md that need no credentials, by their names
// there: grpc-js client -> relay -> grpc-js backend.

const REQUEST_SIZES = [27_182, 8, 1_828, 45_904] as const;
const RESPONSE_SIZES = [31_415, 9, 2_653, 58_979] as const;
const LARGE_REQUEST: SimpleRequest = { responseSize: 314_159, payload: zeroes(271_828) };

const GZIP = { "grpc.default_compression_algorithm": grpc.compressionAlgorithms.gzip };
/** Write flag of grpc-js: this message stays as it is. */
const NO_COMPRESS = 0x2;

const UNARY_AS_STREAM = {
  ...methodOf(TEST_SERVICE, "UnaryCall"),
  requestStream: true,
};

function isCancelled(backend: InteropBackend, method: string): boolean {
  return backend.cancelled.some((path) => path.endsWith(`/${method}`));
}

function sizesOf(outcome: Outcome<PayloadMessage>): number[] {
  return outcome.responses.map(({ payload }) => payload?.body.length ?? 0);
}

function metadataOf(pairs: Readonly<Record<string, string | Buffer>>): grpc.Metadata {
  const metadata = new grpc.Metadata();
  for (const [name, value] of Object.entries(pairs)) metadata.add(name, value);
  return metadata;
}

describe.each(transportCombos)("interop, $server $client", (combo) => {
  it("empty_unary", async () => {
    const { client } = await interop(combo);
    const { status, responses } = await client.call("EmptyCall", {});
    expect(status.code).toBe(grpc.status.OK);
    expect(responses).toEqual([{}]);
  });

  it("cacheable_unary: the call is no different for what a cache in front would make of it", async () => {
    const { client, backend } = await interop(combo);
    const metadata = metadataOf({ "x-user-ip": "1.2.3.4" });
    const payload = { body: Buffer.from(`${process.hrtime.bigint()}`) };
    for (let i = 0; i < 2; i++) {
      const outcome = await client.call<PayloadMessage>(
        "CacheableUnaryCall",
        { payload, responseSize: 32 },
        { metadata },
      );
      expect(sizesOf(outcome)).toEqual([32]);
    }
    expect(backend.received.map((got) => got.get("x-user-ip"))).toEqual([["1.2.3.4"], ["1.2.3.4"]]);
  });

  it("large_unary", async () => {
    const { client } = await interop(combo);
    const outcome = await client.call<PayloadMessage>("UnaryCall", LARGE_REQUEST);
    expect(outcome.status.code).toBe(grpc.status.OK);
    expect(sizesOf(outcome)).toEqual([314_159]);
  });

  it("client_compressed_unary: flags and compressed bytes reach the backend untouched", async () => {
    const path = await tapped(combo, (await interopBackend()).address, GZIP);
    for (const [expectCompressed, flags] of [
      [true, 0],
      [false, NO_COMPRESS],
    ] as const) {
      // grpc-js lets only streams choose by message; on the wire a stream of one message is a unary
      // call.
      const call = path.client.startMethod<PayloadMessage>(UNARY_AS_STREAM);
      call.send({ ...LARGE_REQUEST, expectCompressed: { value: expectCompressed } }, flags);
      call.closeSend();
      expect(sizesOf(await call.outcome)).toEqual([314_159]);
    }
    expectUntouched(path);
    const sent = path.upstream.requests().map((body) => messagesOf(body)[0]!);
    expect(sent.map(({ compressed }) => compressed)).toEqual([true, false]);
    // 271,828 zeroes.
    expect(sent[0]?.payload.length).toBeLessThan(1_000);
    expect(sent[1]?.payload.length).toBeGreaterThan(271_828);
  });

  it("server_compressed_unary: flags and compressed bytes reach the client untouched", async () => {
    const path = await tapped(combo, await compressingBackend());
    for (const value of [true, false]) {
      const outcome = await path.client.call<PayloadMessage>("UnaryCall", {
        ...LARGE_REQUEST,
        responseCompressed: { value },
      });
      expect(sizesOf(outcome)).toEqual([314_159]);
    }
    expectUntouched(path);
    const got = path.downstream.responses().map((body) => messagesOf(body)[0]!);
    expect(got.map(({ compressed }) => compressed)).toEqual([true, false]);
    expect(got[0]?.payload.length).toBeLessThan(1_000);
  });

  it("client_streaming", async () => {
    const { client } = await interop(combo);
    const call = client.start<{ aggregatedPayloadSize: number }>("StreamingInputCall");
    for (const size of REQUEST_SIZES) call.send({ payload: zeroes(size) });
    call.closeSend();
    const { status, responses } = await call.outcome;
    expect(status.code).toBe(grpc.status.OK);
    expect(responses).toEqual([{ aggregatedPayloadSize: 74_922 }]);
  });

  it("client_compressed_streaming: compressed and plain messages in one stream stay what they are", async () => {
    const path = await tapped(combo, (await interopBackend()).address, GZIP);
    const call = path.client.start<{ aggregatedPayloadSize: number }>("StreamingInputCall");
    call.send({ payload: zeroes(27_182), expectCompressed: { value: true } });
    call.send({ payload: zeroes(45_904), expectCompressed: { value: false } }, NO_COMPRESS);
    call.closeSend();
    expect((await call.outcome).responses).toEqual([{ aggregatedPayloadSize: 73_086 }]);
    expectUntouched(path);
    const sent = messagesOf(path.upstream.requests()[0]!);
    expect(sent.map(({ compressed }) => compressed)).toEqual([true, false]);
  });

  it("server_streaming", async () => {
    const { client } = await interop(combo);
    const outcome = await client.call<PayloadMessage>("StreamingOutputCall", {
      responseParameters: RESPONSE_SIZES.map((size) => ({ size })),
    });
    expect(outcome.status.code).toBe(grpc.status.OK);
    expect(sizesOf(outcome)).toEqual(RESPONSE_SIZES);
  });

  it("server_compressed_streaming: compressed and plain messages in one stream stay what they are", async () => {
    const path = await tapped(combo, await compressingBackend());
    const outcome = await path.client.call<PayloadMessage>("StreamingOutputCall", {
      responseParameters: [
        { compressed: { value: true }, size: 31_415 },
        { compressed: { value: false }, size: 92_653 },
      ],
    });
    expect(sizesOf(outcome)).toEqual([31_415, 92_653]);
    expectUntouched(path);
    const got = messagesOf(path.downstream.responses()[0]!);
    expect(got.map(({ compressed }) => compressed)).toEqual([true, false]);
  });

  it("ping_pong: every response comes before the next request is sent", async () => {
    const { client } = await interop(combo);
    const call = client.start<PayloadMessage>("FullDuplexCall");
    for (const [i, size] of RESPONSE_SIZES.entries()) {
      call.send({ responseParameters: [{ size }], payload: zeroes(REQUEST_SIZES[i]!) });
      await call.responses(i + 1);
    }
    call.closeSend();
    const outcome = await call.outcome;
    expect(outcome.status.code).toBe(grpc.status.OK);
    expect(sizesOf(outcome)).toEqual(RESPONSE_SIZES);
  });

  it("empty_stream", async () => {
    const { client } = await interop(combo);
    const call = client.start("FullDuplexCall");
    call.closeSend();
    const { status, responses } = await call.outcome;
    expect(status.code).toBe(grpc.status.OK);
    expect(responses).toEqual([]);
  });

  it.each(["UnaryCall", "FullDuplexCall"])("custom_metadata, %s", async (name) => {
    const { client } = await interop(combo);
    const initial = "test_initial_metadata_value";
    const trailing = Buffer.from([0xab, 0xab, 0xab]);
    const metadata = metadataOf({
      "x-grpc-test-echo-initial": initial,
      "x-grpc-test-echo-trailing-bin": trailing,
    });
    const call = client.start<PayloadMessage>(name, LARGE_REQUEST, { metadata });
    if (name === "FullDuplexCall") {
      call.send({ responseParameters: [{ size: 314_159 }], payload: zeroes(271_828) });
      call.closeSend();
    }
    const outcome = await call.outcome;
    expect(sizesOf(outcome)).toEqual([314_159]);
    expect(outcome.header?.get("x-grpc-test-echo-initial")).toEqual([initial]);
    expect(outcome.status.metadata.get("x-grpc-test-echo-trailing-bin")).toEqual([trailing]);
  });

  it.each([
    ["status_code_and_message", "test status message"],
    ["special_status_message", "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n"],
  ])("%s", async (_, message) => {
    const { client } = await interop(combo);
    const responseStatus = { code: grpc.status.UNKNOWN, message };
    const unary = await client.call("UnaryCall", { responseStatus });
    expect(unary.status).toMatchObject({ code: grpc.status.UNKNOWN, details: message });
    const duplex = client.start("FullDuplexCall");
    duplex.send({ responseStatus });
    duplex.closeSend();
    const { status } = await duplex.outcome;
    expect(status).toMatchObject({ code: grpc.status.UNKNOWN, details: message });
  });

  it("unimplemented_method", async () => {
    const { client } = await interop(combo);
    const { status } = await client.call("UnimplementedCall", {});
    expect(status.code).toBe(grpc.status.UNIMPLEMENTED);
  });

  it("unimplemented_service", async () => {
    const { client } = await interop(combo);
    const method = methodOf(UNIMPLEMENTED_SERVICE, "UnimplementedCall");
    const { status } = await client.startMethod(method, {}).outcome;
    expect(status.code).toBe(grpc.status.UNIMPLEMENTED);
  });

  it("cancel_after_begin: the backend hears of it", async () => {
    const { client, backend } = await interop(combo);
    const call = client.start("StreamingInputCall");
    await eventually("the call is at the backend", () => backend.received.length === 1);
    call.cancel();
    expect((await call.outcome).status.code).toBe(grpc.status.CANCELLED);
    await eventually("the backend is told", () => isCancelled(backend, "StreamingInputCall"));
  });

  it("cancel_after_first_response: the backend hears of it", async () => {
    const { client, backend } = await interop(combo);
    const call = client.start("FullDuplexCall");
    call.send({ responseParameters: [{ size: 31_415 }], payload: zeroes(27_182) });
    await call.responses(1);
    call.cancel();
    expect((await call.outcome).status.code).toBe(grpc.status.CANCELLED);
    await eventually("the backend is told", () => isCancelled(backend, "FullDuplexCall"));
  });

  it("timeout_on_sleeping_server", async () => {
    const { client } = await interop(combo);
    const call = client.start("FullDuplexCall", undefined, {
      options: { deadline: Date.now() + 1 },
    });
    call.send({
      payload: zeroes(27_182),
      responseParameters: [{ size: 1, intervalUs: 10_000_000 }],
    });
    expect((await call.outcome).status.code).toBe(grpc.status.DEADLINE_EXCEEDED);
  });

  it("rpc_soak: 200 large calls over one channel", async () => {
    const { client } = await interop(combo);
    // Ten at a time, each run one after the other.
    const run = async (): Promise<void> => {
      for (let i = 0; i < 20; i++) {
        const outcome = await client.call<PayloadMessage>("UnaryCall", LARGE_REQUEST);
        expect(outcome.status.code).toBe(grpc.status.OK);
        expect(sizesOf(outcome)).toEqual([314_159]);
      }
    };
    await Promise.all(Array.from({ length: 10 }, run));
  }, 60_000);

  it("channel_soak: 50 large calls, each over a channel of its own", async () => {
    const backend = await interopBackend();
    const { downstream } = await tapped(combo, backend.address);
    for (let i = 0; i < 50; i++) {
      const client = new InteropClient(downstream.address, { "grpc.use_local_subchannel_pool": 1 });
      const outcome = await client.call<PayloadMessage>("UnaryCall", LARGE_REQUEST);
      expect(sizesOf(outcome)).toEqual([314_159]);
      client.close();
    }
  }, 60_000);

  it("orca_per_rpc: the load report in a binary trailer arrives intact", async () => {
    const { client } = await interop(combo);
    const report = {
      cpuUtilization: 0.821,
      memoryUtilization: 0.5847,
      requestCost: { cost: 3456.32 },
      utilization: { util: 0.30499 },
    };
    const { status } = await client.call("UnaryCall", { orcaPerQueryReport: report });
    const [trailer] = status.metadata.get("endpoint-load-metrics-bin");
    const { responseDeserialize } = methodOf(ORCA_SERVICE, "StreamCoreMetrics");
    expect(responseDeserialize(trailer as Buffer)).toMatchObject({
      cpuUtilization: 0.821,
      memUtilization: 0.5847,
      requestCost: { cost: 3456.32 },
      utilization: { util: 0.30499 },
    });
  });

  it("orca_oob: a stream of reports goes on beside other calls", async () => {
    const { client, backend } = await interop(combo);
    const reports = client.start<OrcaLoadReport>("StreamCoreMetrics", {
      reportInterval: { seconds: 1, nanos: 0 },
    });
    await reports.responses(1);
    for (const [i, cpuUtilization] of [0.821, 0.29309].entries()) {
      const call = client.start<PayloadMessage>("FullDuplexCall");
      const request: StreamingOutputRequest = {
        orcaOobReport: {
          cpuUtilization,
          memoryUtilization: 0.5847,
          utilization: { util: 0.30499 },
        },
        responseParameters: [{ size: 1 }],
      };
      call.send(request);
      await call.responses(1);
      call.closeSend();
      expect((await call.outcome).status.code).toBe(grpc.status.OK);
      const got = await reports.responses(i + 2);
      expect(got[i + 1]).toMatchObject({ cpuUtilization, utilization: { util: 0.30499 } });
    }
    reports.cancel();
    expect((await reports.outcome).status.code).toBe(grpc.status.CANCELLED);
    await eventually("the backend is told", () => isCancelled(backend, "StreamCoreMetrics"));
  });

  it("max_concurrent_streams_connection_scaling: calls above the backend's limit wait and succeed", async () => {
    const { client, backend, conn } = await interop(combo, {
      backend: { "grpc.max_concurrent_streams": 5 },
    });
    const held = Array.from({ length: 5 }, () => client.start<PayloadMessage>("FullDuplexCall"));
    for (const call of held) call.send({ responseParameters: [{ size: 1 }] });
    await Promise.all(held.map((call) => call.responses(1)));
    const waiting = Array.from({ length: 100 }, () =>
      client.call<PayloadMessage>("UnaryCall", { responseSize: 10 }),
    );
    await eventually("they wait in the relay", () => conn.waitingCount === 100);
    expect(backend.received.length).toBe(5);
    for (const call of held) call.closeSend();
    const outcomes = await Promise.all(waiting);
    expect(outcomes.map(({ status }) => status.code)).toEqual(outcomes.map(() => grpc.status.OK));
  });
});

// One test for all: each waits longer than a second for nothing, so they wait together.
it("long_lived_channel: a channel that was idle takes calls again, on all transports", async () => {
  const all = transportCombos.map(async (combo) => {
    const { client } = await interop(combo, { client: { "grpc.client_idle_timeout_ms": 1_000 } });
    // How a client that is idle behaves: between the first two calls its connection stays, then it
    // goes. A second is its least.
    for (const idleMs of [0, 200, 1_300]) {
      await new Promise((resolve) => setTimeout(resolve, idleMs));
      const outcome = await client.call<PayloadMessage>("UnaryCall", LARGE_REQUEST);
      expect({ combo, sizes: sizesOf(outcome) }).toEqual({ combo, sizes: [314_159] });
    }
  });
  await Promise.all(all);
});
