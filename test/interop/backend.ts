// The backends of the interop cases: grpc-js, and node:http2 for what grpc-js cannot say
// (compressed responses).

import { createServer, type ServerHttp2Stream } from "node:http2";
import type { AddressInfo } from "node:net";
import { gzipSync } from "node:zlib";
import * as grpc from "@grpc/grpc-js";
import { closeAtEnd } from "../support/cleanup.ts";
import {
  type LoadReport,
  methodOf,
  ORCA_SERVICE,
  type OrcaLoadReport,
  orcaReport,
  type PayloadMessage,
  type SimpleRequest,
  type StreamingInputRequest,
  type StreamingOutputRequest,
  TEST_SERVICE,
  zeroes,
} from "./protocol.ts";

const ECHO_INITIAL = "x-grpc-test-echo-initial";
const ECHO_TRAILING = "x-grpc-test-echo-trailing-bin";

type Unary = grpc.ServerUnaryCall<SimpleRequest, PayloadMessage>;
type Reply = grpc.sendUnaryData<PayloadMessage>;
type OrcaStream = grpc.ServerWritableStream<unknown, OrcaLoadReport>;

/** What all kinds of grpc-js server calls have. */
interface AnyCall {
  readonly metadata: grpc.Metadata;
  getPath(): string;
  sendMetadata(metadata: grpc.Metadata): void;
  on(event: "cancelled", listener: () => void): unknown;
}

export interface InteropBackend {
  readonly address: string;
  /** Metadata of the calls so far, in order of arrival. */
  readonly received: readonly grpc.Metadata[];
  /** Methods whose calls the client, or the relay for it, took back. */
  readonly cancelled: readonly string[];
}

/** A grpc-js server of TestService and OpenRcaService. */
export async function interopBackend(options: grpc.ServerOptions = {}): Promise<InteropBackend> {
  const received: grpc.Metadata[] = [];
  const cancelled: string[] = [];
  const orcaStreams = new Set<OrcaStream>();
  let load: LoadReport = {};

  const begin = (call: AnyCall): grpc.Metadata => {
    received.push(call.metadata);
    call.on("cancelled", () => cancelled.push(call.getPath()));
    const initial = call.metadata.get(ECHO_INITIAL);
    if (initial.length > 0) {
      const header = new grpc.Metadata();
      for (const value of initial) header.add(ECHO_INITIAL, value);
      call.sendMetadata(header);
    }
    const trailer = new grpc.Metadata();
    for (const value of call.metadata.get(ECHO_TRAILING)) trailer.add(ECHO_TRAILING, value);
    return trailer;
  };

  const unaryCall = (call: Unary, reply: Reply): void => {
    const trailer = begin(call);
    const { responseStatus, responseSize, orcaPerQueryReport } = call.request;
    if (orcaPerQueryReport) {
      const report = methodOf(ORCA_SERVICE, "StreamCoreMetrics").responseSerialize(
        orcaReport(orcaPerQueryReport),
      );
      trailer.set("endpoint-load-metrics-bin", report);
    }
    if (responseStatus) {
      reply({ code: responseStatus.code, details: responseStatus.message, metadata: trailer });
    } else reply(null, { payload: zeroes(responseSize ?? 0) }, trailer);
  };

  const fullDuplexCall = (
    call: grpc.ServerDuplexStream<StreamingOutputRequest, PayloadMessage>,
  ): void => {
    const trailer = begin(call);
    let failed = false;
    let answering = Promise.resolve();
    call.on("data", (request: StreamingOutputRequest) => {
      if (request.orcaOobReport) {
        load = request.orcaOobReport;
        for (const stream of orcaStreams) stream.write(orcaReport(load));
      }
      if (request.responseStatus) {
        failed = true;
        const { code, message } = request.responseStatus;
        call.emit("error", { code, details: message, metadata: trailer });
      }
      answering = answering.then(() => writeResponses(call, request));
    });
    call.on("end", () => {
      void answering.then(() => {
        if (!failed) call.end(trailer);
      });
    });
  };

  const server = new grpc.Server(options);
  server.addService(TEST_SERVICE, {
    EmptyCall: (call: grpc.ServerUnaryCall<object, object>, reply: grpc.sendUnaryData<object>) =>
      reply(null, {}, begin(call)),
    UnaryCall: unaryCall,
    CacheableUnaryCall: unaryCall,
    StreamingInputCall: (
      call: grpc.ServerReadableStream<StreamingInputRequest, object>,
      reply: grpc.sendUnaryData<object>,
    ) => {
      const trailer = begin(call);
      let byteCount = 0;
      call.on("data", ({ payload }: StreamingInputRequest) => {
        byteCount += payload.body.length;
      });
      call.on("end", () => reply(null, { aggregatedPayloadSize: byteCount }, trailer));
    },
    StreamingOutputCall: async (
      call: grpc.ServerWritableStream<StreamingOutputRequest, PayloadMessage>,
    ) => {
      const trailer = begin(call);
      await writeResponses(call, call.request);
      call.end(trailer);
    },
    FullDuplexCall: fullDuplexCall,
  });
  server.addService(ORCA_SERVICE, {
    StreamCoreMetrics: (call: OrcaStream) => {
      begin(call);
      orcaStreams.add(call);
      call.on("close", () => orcaStreams.delete(call));
      call.on("cancelled", () => orcaStreams.delete(call));
      call.write(orcaReport(load));
    },
  });
  return { address: await bind(server), received, cancelled };
}

export async function bind(server: grpc.Server): Promise<string> {
  closeAtEnd(() => server.forceShutdown());
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", grpc.ServerCredentials.createInsecure(), (error, bound) => {
      if (error === null) resolve(bound);
      else reject(error);
    });
  });
  return `127.0.0.1:${port}`;
}

interface ResponseWriter {
  readonly cancelled: boolean;
  write(message: PayloadMessage): boolean;
  once(event: "drain" | "cancelled", listener: () => void): unknown;
}

async function writeResponses(
  call: ResponseWriter,
  { responseParameters = [] }: StreamingOutputRequest,
): Promise<void> {
  for (const { size, intervalUs = 0 } of responseParameters) {
    // How slow the backend is, which is what some cases are about.
    if (intervalUs > 0) await new Promise((resolve) => setTimeout(resolve, intervalUs / 1_000));
    if (call.cancelled) return;
    if (!call.write({ payload: zeroes(size) })) {
      await new Promise<void>((resolve) => {
        call.once("drain", resolve);
        call.once("cancelled", resolve);
      });
    }
  }
}

/**
 * UnaryCall and StreamingOutputCall of TestService, compressing with gzip what the request asks to
 * be compressed.
 * @returns its address
 */
export async function compressingBackend(): Promise<string> {
  const server = createServer();
  server.on("stream", (stream, headers) => {
    const chunks: Buffer[] = [];
    stream.on("error", () => undefined);
    stream.on("data", (chunk: Buffer) => chunks.push(chunk));
    stream.on("end", () => {
      const name = String(headers[":path"]).split("/")[2]!;
      const method = methodOf(TEST_SERVICE, name);
      const request = method.requestDeserialize(Buffer.concat(chunks).subarray(5));
      const { responseSize = 0, responseCompressed = null } = request as SimpleRequest;
      respondCompressed(
        stream,
        name === "UnaryCall"
          ? [{ size: responseSize, compressed: responseCompressed }]
          : (request as StreamingOutputRequest).responseParameters,
        method.responseSerialize,
      );
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  closeAtEnd(() => server.close());
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function respondCompressed(
  stream: ServerHttp2Stream,
  parameters: StreamingOutputRequest["responseParameters"],
  serialize: (message: PayloadMessage) => Buffer,
): void {
  stream.respond(
    { "content-type": "application/grpc", "grpc-encoding": "gzip" },
    { waitForTrailers: true },
  );
  stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
  for (const { size, compressed } of parameters ?? []) {
    const plain = serialize({ payload: zeroes(size) });
    const body = compressed?.value === true ? gzipSync(plain) : plain;
    const prefix = Buffer.alloc(5);
    prefix.writeUInt8(compressed?.value === true ? 1 : 0);
    prefix.writeUInt32BE(body.length, 1);
    stream.write(Buffer.concat([prefix, body]));
  }
  stream.end();
}
