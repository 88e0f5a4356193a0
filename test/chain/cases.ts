// Cases of grpc/grpc doc/interop-test-descriptions.md, by their names there, each with a result
// that can be compared: what the client got, and what the backend got of it.

import * as grpc from "@grpc/grpc-js";
import type { InteropBackend } from "../interop/backend.ts";
import { InteropClient, type Outcome } from "../interop/client.ts";
import {
  methodOf,
  type PayloadMessage,
  type SimpleRequest,
  TEST_SERVICE,
  UNIMPLEMENTED_SERVICE,
  zeroes,
} from "../interop/protocol.ts";
import { messagesOf, type WireTap } from "../interop/wire-tap.ts";
import { eventually } from "../support/relay-fixture.ts";

export interface Ends {
  /** Where the client calls. */
  readonly address: string;
  readonly client: InteropClient;
  readonly backend: InteropBackend;
  /** Between the last hop and the backend. */
  readonly tap: WireTap;
}

export interface ChainCase {
  readonly name: string;
  readonly client?: grpc.ClientOptions;
  /** `compressing`: the backend that compresses what it is asked to. */
  readonly backend?: "compressing";
  /** Anything that `toEqual` can compare. */
  readonly run: (ends: Ends) => Promise<unknown>;
}

const REQUEST_SIZES = [27_182, 8, 1_828, 45_904] as const;
const RESPONSE_SIZES = [31_415, 9, 2_653, 58_979] as const;
const LARGE_REQUEST: SimpleRequest = { responseSize: 314_159, payload: zeroes(271_828) };
const GZIP = { "grpc.default_compression_algorithm": grpc.compressionAlgorithms.gzip };
/** Write flag of grpc-js: this message stays as it is. */
const NO_COMPRESS = 0x2;
const UNARY_AS_STREAM = { ...methodOf(TEST_SERVICE, "UnaryCall"), requestStream: true };

interface Told {
  readonly code: number;
  readonly details: string;
  readonly responses: readonly unknown[];
  readonly header: Readonly<Record<string, unknown>> | undefined;
  readonly trailer: Readonly<Record<string, unknown>>;
}

/** Everything that the client was told. Payloads are zeroes, so that their length says all. */
function told({ status, responses, header }: Outcome<unknown>): Told {
  return {
    code: status.code,
    details: status.details,
    responses: responses.map((response) => {
      const { payload } = response as Partial<PayloadMessage>;
      return payload ? payload.body.length : response;
    }),
    header: header === undefined ? undefined : entriesOf(header),
    trailer: entriesOf(status.metadata),
  };
}

function entriesOf(metadata: grpc.Metadata): Record<string, unknown> {
  const entries: Record<string, unknown> = {};
  for (const name of Object.keys(metadata.getMap())) {
    // Of when, not of what; and what each hop writes itself: nginx adds a length of 0 to
    // Trailers-Only.
    if (name !== "date" && name !== "content-length") entries[name] = metadata.get(name);
  }
  return entries;
}

/** Whether each message that the backend got was compressed, and how long it was on the wire. */
function reached(tap: WireTap): unknown {
  return tap
    .requests()
    .map((body) => messagesOf(body).map(({ compressed, payload }) => [compressed, payload.length]));
}

function metadataOf(pairs: Readonly<Record<string, string | Buffer>>): grpc.Metadata {
  const metadata = new grpc.Metadata();
  for (const [name, value] of Object.entries(pairs)) metadata.add(name, value);
  return metadata;
}

const CUSTOM = {
  "x-grpc-test-echo-initial": "test_initial_metadata_value",
  "x-grpc-test-echo-trailing-bin": Buffer.from([0xab, 0xab, 0xab]),
};

/** What the backend got of it. */
function custom({ received }: InteropBackend): unknown {
  return received.map((got) => Object.keys(CUSTOM).map((name) => got.get(name)));
}

async function cancelled({ backend }: Ends, method: string): Promise<void> {
  await eventually("the backend is told", () =>
    backend.cancelled.some((path) => path.endsWith(`/${method}`)),
  );
}

async function withStatus({ client }: Ends, message: string): Promise<unknown> {
  const responseStatus = { code: grpc.status.UNKNOWN, message };
  const unary = await client.call("UnaryCall", { responseStatus });
  const duplex = client.start("FullDuplexCall");
  duplex.send({ responseStatus });
  duplex.closeSend();
  return [told(unary), told(await duplex.outcome)];
}

export const CASES: readonly ChainCase[] = [
  {
    name: "empty_unary",
    run: async ({ client }) => told(await client.call("EmptyCall", {})),
  },
  {
    name: "cacheable_unary",
    run: async ({ client, backend }) => {
      const metadata = metadataOf({ "x-user-ip": "1.2.3.4" });
      const request = { payload: { body: Buffer.from("1234567") }, responseSize: 32 };
      const first = await client.call("CacheableUnaryCall", request, { metadata });
      const second = await client.call("CacheableUnaryCall", request, { metadata });
      const got = backend.received.map((headers) => headers.get("x-user-ip"));
      return [told(first), told(second), got];
    },
  },
  {
    name: "large_unary",
    run: async ({ client }) => told(await client.call("UnaryCall", LARGE_REQUEST)),
  },
  {
    name: "client_compressed_unary",
    client: GZIP,
    run: async ({ client, tap }) => {
      const outcomes: Told[] = [];
      for (const flags of [0, NO_COMPRESS]) {
        // grpc-js lets only streams choose by message; on the wire a stream of one message is a
        // unary call.
        const call = client.startMethod(UNARY_AS_STREAM);
        call.send({ ...LARGE_REQUEST, expectCompressed: { value: flags === 0 } }, flags);
        call.closeSend();
        outcomes.push(told(await call.outcome));
      }
      return [outcomes, reached(tap)];
    },
  },
  {
    name: "server_compressed_unary",
    backend: "compressing",
    run: async ({ client }) => {
      const outcomes: Told[] = [];
      for (const value of [true, false]) {
        const request = { ...LARGE_REQUEST, responseCompressed: { value } };
        outcomes.push(told(await client.call("UnaryCall", request)));
      }
      return outcomes;
    },
  },
  {
    name: "client_streaming",
    run: async ({ client }) => {
      const call = client.start("StreamingInputCall");
      for (const size of REQUEST_SIZES) call.send({ payload: zeroes(size) });
      call.closeSend();
      return told(await call.outcome);
    },
  },
  {
    name: "client_compressed_streaming",
    client: GZIP,
    run: async ({ client, tap }) => {
      const call = client.start("StreamingInputCall");
      call.send({ payload: zeroes(27_182), expectCompressed: { value: true } });
      call.send({ payload: zeroes(45_904), expectCompressed: { value: false } }, NO_COMPRESS);
      call.closeSend();
      return [told(await call.outcome), reached(tap)];
    },
  },
  {
    name: "server_streaming",
    run: async ({ client }) =>
      told(
        await client.call("StreamingOutputCall", {
          responseParameters: RESPONSE_SIZES.map((size) => ({ size })),
        }),
      ),
  },
  {
    name: "server_compressed_streaming",
    backend: "compressing",
    run: async ({ client }) =>
      told(
        await client.call("StreamingOutputCall", {
          responseParameters: [
            { compressed: { value: true }, size: 31_415 },
            { compressed: { value: false }, size: 92_653 },
          ],
        }),
      ),
  },
  {
    name: "ping_pong",
    run: async ({ client }) => {
      const call = client.start("FullDuplexCall");
      for (const [i, size] of RESPONSE_SIZES.entries()) {
        call.send({ responseParameters: [{ size }], payload: zeroes(REQUEST_SIZES[i]!) });
        await call.responses(i + 1);
      }
      call.closeSend();
      return told(await call.outcome);
    },
  },
  {
    name: "empty_stream",
    run: async ({ client }) => {
      const call = client.start("FullDuplexCall");
      call.closeSend();
      return told(await call.outcome);
    },
  },
  {
    name: "custom_metadata, unary",
    run: async ({ client, backend }) => {
      const metadata = metadataOf(CUSTOM);
      const outcome = await client.call("UnaryCall", LARGE_REQUEST, { metadata });
      return [told(outcome), custom(backend)];
    },
  },
  {
    name: "custom_metadata, full duplex",
    run: async ({ client, backend }) => {
      const call = client.start("FullDuplexCall", undefined, { metadata: metadataOf(CUSTOM) });
      call.send({ responseParameters: [{ size: 314_159 }], payload: zeroes(271_828) });
      call.closeSend();
      return [told(await call.outcome), custom(backend)];
    },
  },
  {
    name: "status_code_and_message",
    run: (ends) => withStatus(ends, "test status message"),
  },
  {
    name: "special_status_message",
    run: (ends) =>
      withStatus(ends, "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n"),
  },
  {
    name: "unimplemented_method",
    run: async ({ client }) => told(await client.call("UnimplementedCall", {})),
  },
  {
    name: "unimplemented_service",
    run: async ({ client }) => {
      const method = methodOf(UNIMPLEMENTED_SERVICE, "UnimplementedCall");
      return told(await client.startMethod(method, {}).outcome);
    },
  },
  {
    name: "cancel_after_begin",
    run: async (ends) => {
      const call = ends.client.start("StreamingInputCall");
      call.send({ payload: zeroes(1) });
      await eventually("it is at the backend", () => ends.backend.received.length === 1);
      call.cancel();
      const outcome = told(await call.outcome);
      await cancelled(ends, "StreamingInputCall");
      return outcome;
    },
  },
  {
    name: "cancel_after_first_response",
    run: async (ends) => {
      const call = ends.client.start("FullDuplexCall");
      call.send({ responseParameters: [{ size: 31_415 }], payload: zeroes(27_182) });
      await call.responses(1);
      call.cancel();
      const outcome = told(await call.outcome);
      await cancelled(ends, "FullDuplexCall");
      return outcome;
    },
  },
  {
    name: "timeout_on_sleeping_server",
    run: async (ends) => {
      const call = ends.client.start("FullDuplexCall", undefined, {
        options: { deadline: Date.now() + 500 },
      });
      call.send({ responseParameters: [{ size: 1, intervalUs: 10_000_000 }] });
      const { code } = told(await call.outcome);
      // Everybody on the way has heard of it by then.
      await cancelled(ends, "FullDuplexCall");
      return code;
    },
  },
  {
    name: "rpc_soak",
    run: async ({ client }) => {
      const outcomes: Told[] = [];
      for (let i = 0; i < 50; i++)
        outcomes.push(told(await client.call("UnaryCall", LARGE_REQUEST)));
      return outcomes;
    },
  },
  {
    name: "channel_soak",
    run: async ({ address }) => {
      const outcomes: Told[] = [];
      for (let i = 0; i < 20; i++) {
        const client = new InteropClient(address, { "grpc.use_local_subchannel_pool": 1 });
        outcomes.push(told(await client.call("UnaryCall", LARGE_REQUEST)));
        client.close();
      }
      return outcomes;
    },
  },
  {
    name: "orca_per_rpc",
    run: async ({ client }) => {
      const report = { cpuUtilization: 0.821, requestCost: { cost: 3456.32 } };
      return told(await client.call("UnaryCall", { orcaPerQueryReport: report }));
    },
  },
  {
    name: "orca_oob",
    run: async (ends) => {
      const { client } = ends;
      const reports = client.start("StreamCoreMetrics", {
        reportInterval: { seconds: 1, nanos: 0 },
      });
      await reports.responses(1);
      const call = client.start("FullDuplexCall");
      call.send({
        orcaOobReport: { cpuUtilization: 0.29309, memoryUtilization: 0.5847 },
        responseParameters: [{ size: 1 }],
      });
      await reports.responses(2);
      call.closeSend();
      const other = told(await call.outcome);
      reports.cancel();
      const outcome = told(await reports.outcome);
      await cancelled(ends, "StreamCoreMetrics");
      return [other, outcome];
    },
  },
];
