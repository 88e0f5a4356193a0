// The real-life backend: the echo service on @grpc/grpc-js with protobuf messages.

import { fileURLToPath } from "node:url";
import {
  Metadata,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerReadableStream,
  type ServerUnaryCall,
  type ServerWritableStream,
  type ServiceDefinition,
  type sendUnaryData,
} from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import { decodeMessage, messageOfSize } from "./message.ts";
import {
  CallBook,
  type CallState,
  ECHO_INITIAL,
  ECHO_TRAILING,
  FAIL_WITH,
  FAILURE_DETAILS,
  SERVICE,
  TOKEN,
} from "./service.ts";

interface Echo {
  payload?: Buffer;
  replyCount?: number;
  replyBytes?: number;
}

/** The members that the four kinds of call share. */
interface AnyCall {
  readonly metadata: Metadata;
  sendMetadata(headers: Metadata): void;
  on(event: "cancelled", listener: () => void): unknown;
}

/**
 * Wire bytes of a message beside its payload. The figure is near enough for a byte count that is
 * compared with megabytes.
 */
const OVERHEAD_BYTES = 8;

class Service {
  readonly #book = new CallBook();
  #servedCount = 0;

  /**
   * Sends the headers, notes the call if it asks for that, and returns its state and its trailers.
   */
  #open(call: AnyCall): { state: CallState | undefined; trailers: Metadata } {
    const initial = new Metadata();
    const trailers = new Metadata();
    for (const value of call.metadata.get(ECHO_INITIAL)) initial.add(ECHO_INITIAL, value);
    for (const value of call.metadata.get(ECHO_TRAILING)) trailers.add(ECHO_TRAILING, value);
    if (initial.get(ECHO_INITIAL).length > 0) call.sendMetadata(initial);
    const token = call.metadata.get(TOKEN)[0];
    const state = token === undefined ? undefined : this.#book.open(token.toString());
    if (state !== undefined) {
      call.on("cancelled", () => {
        if (state.outcome === "open") state.outcome = "cancelled";
      });
    }
    return { state, trailers };
  }

  #complete(state: CallState | undefined): void {
    this.#servedCount++;
    if (state !== undefined) state.outcome = "completed";
  }

  readonly unary = (call: ServerUnaryCall<Echo, Echo>, reply: sendUnaryData<Echo>): void => {
    const { state, trailers } = this.#open(call);
    const failWith = call.metadata.get(FAIL_WITH)[0];
    if (failWith !== undefined) {
      reply({ code: Number(failWith), details: FAILURE_DETAILS, metadata: trailers });
      return;
    }
    reply(null, call.request, trailers);
    this.#complete(state);
  };

  readonly serverStream = (call: ServerWritableStream<Echo, Echo>): void => {
    const { state, trailers } = this.#open(call);
    if (state !== undefined) state.halfClosed = true;
    const { replyCount = 0, replyBytes = 0 } = call.request;
    const message: Echo = { payload: decodeMessage(messageOfSize(replyBytes)).payload };
    let left = replyCount;
    const pump = (): void => {
      while (left > 0 && !call.cancelled) {
        left--;
        if (state !== undefined) state.sentBytes += replyBytes + OVERHEAD_BYTES;
        if (!call.write(message)) return;
      }
      if (left > 0) return;
      left = -1;
      call.end(trailers);
      this.#complete(state);
    };
    call.on("drain", () => {
      if (left >= 0) pump();
    });
    pump();
  };

  readonly clientStream = (
    call: ServerReadableStream<Echo, Echo>,
    reply: sendUnaryData<Echo>,
  ): void => {
    const { state, trailers } = this.#open(call);
    let messageCount = 0;
    call.on("data", () => {
      messageCount++;
    });
    call.on("error", () => {});
    call.on("end", () => {
      if (state !== undefined) state.halfClosed = true;
      reply(null, { replyCount: messageCount }, trailers);
      this.#complete(state);
    });
  };

  readonly bidi = (call: ServerDuplexStream<Echo, Echo>): void => {
    const { state, trailers } = this.#open(call);
    call.on("data", (message: Echo) => {
      if (state !== undefined) state.sentBytes += (message.payload?.length ?? 0) + OVERHEAD_BYTES;
      if (!call.write(message)) call.pause();
    });
    call.on("drain", () => call.resume());
    call.on("error", () => {});
    call.on("end", () => {
      if (state !== undefined) state.halfClosed = true;
      call.end(trailers);
      this.#complete(state);
    });
  };

  readonly callState = (call: ServerUnaryCall<Echo, Echo>, reply: sendUnaryData<Echo>): void => {
    const token = call.request.payload?.toString("utf8") ?? "";
    reply(null, { payload: this.#book.report(token, this.#servedCount) });
  };
}

/** Listens on 127.0.0.1 and resolves with the port and the way to stop. */
export function startGrpcJsBackend(): Promise<{ port: number; stop: () => void }> {
  const definitions = loadSync(fileURLToPath(new URL("./echo.proto", import.meta.url)), {
    keepCase: false,
  });
  const server = new Server({
    "grpc.max_receive_message_length": -1,
    "grpc.max_send_message_length": -1,
    "grpc.max_concurrent_streams": 1_000,
  });
  const service = new Service();
  server.addService(definitions[SERVICE] as ServiceDefinition, {
    Unary: service.unary,
    ServerStream: service.serverStream,
    ClientStream: service.clientStream,
    Bidi: service.bidi,
    CallState: service.callState,
  });
  return new Promise((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, port) => {
      if (error !== null) reject(error);
      else resolve({ port, stop: () => server.forceShutdown() });
    });
  });
}
