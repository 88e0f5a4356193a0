// Real clients and backends for tests: grpc-js with messages of plain bytes, so that no proto file
// is needed.

import * as grpc from "@grpc/grpc-js";
import { formatAddress } from "../../src/transport/address.ts";
import type { SocketAddress } from "../../src/transport/transport.ts";
import { closeAtEnd } from "./cleanup.ts";

const asBytes = (bytes: Buffer): Buffer => bytes;

/** The handler of a method. The name of the method says which sides stream. */
export type GrpcHandler = grpc.UntypedHandleCall;
type Duplex = grpc.ServerDuplexStream<Buffer, Buffer>;

function method(path: string, requestStream: boolean, responseStream: boolean) {
  return {
    path,
    requestStream,
    responseStream,
    requestSerialize: asBytes,
    requestDeserialize: asBytes,
    responseSerialize: asBytes,
    responseDeserialize: asBytes,
  };
}

export interface GrpcBackendHandlers {
  readonly unary?: grpc.handleUnaryCall<Buffer, Buffer>;
  readonly clientStream?: grpc.handleClientStreamingCall<Buffer, Buffer>;
  readonly serverStream?: grpc.handleServerStreamingCall<Buffer, Buffer>;
  readonly duplex?: (call: Duplex) => void;
}

/** A grpc-js server of `/test.Service/{Unary,ClientStream,ServerStream,Duplex}` on a free port. */
export function grpcBackend(
  handlers: GrpcBackendHandlers,
  options: grpc.ServerOptions = {},
): Promise<string> {
  const server = new grpc.Server(options);
  const missing = () => {
    throw new Error("the backend has no such handler");
  };
  server.addService(
    {
      Unary: method("/test.Service/Unary", false, false),
      ClientStream: method("/test.Service/ClientStream", true, false),
      ServerStream: method("/test.Service/ServerStream", false, true),
      Duplex: method("/test.Service/Duplex", true, true),
    },
    {
      Unary: handlers.unary ?? missing,
      ClientStream: handlers.clientStream ?? missing,
      ServerStream: handlers.serverStream ?? missing,
      Duplex: handlers.duplex ?? missing,
    },
  );
  return bindBackend(server);
}

/** Has `server` listen on a free port until the end of the test. @returns its address */
export async function bindBackend(server: grpc.Server): Promise<string> {
  closeAtEnd(() => server.forceShutdown());
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", grpc.ServerCredentials.createInsecure(), (error, bound) => {
      if (error === null) resolve(bound);
      else reject(error);
    });
  });
  return `127.0.0.1:${port}`;
}

export interface UnaryOutcome {
  readonly response: Buffer | undefined;
  readonly error: grpc.ServiceError | undefined;
  /** The response headers; `undefined` when none came before the status (Trailers-Only). */
  readonly header: grpc.Metadata | undefined;
  readonly status: grpc.StatusObject;
}

/** A grpc-js client. */
export class GrpcClient {
  readonly #client: grpc.Client;

  constructor(address: SocketAddress | string, options: grpc.ClientOptions = {}) {
    const target = typeof address === "string" ? address : formatAddress(address);
    this.#client = new grpc.Client(target, grpc.credentials.createInsecure(), options);
    closeAtEnd(() => this.#client.close());
  }

  /** Never rejects: an error is part of the outcome. */
  unary(
    path: string,
    message: Buffer | string = "",
    metadata: Readonly<Record<string, string>> = {},
    options: grpc.CallOptions = {},
  ): Promise<UnaryOutcome> {
    return new Promise((resolve) => {
      let header: grpc.Metadata | undefined;
      let outcome: Pick<UnaryOutcome, "response" | "error"> | undefined;
      let status: grpc.StatusObject | undefined;
      const finish = (): void => {
        if (outcome !== undefined && status !== undefined) resolve({ ...outcome, header, status });
      };
      const call = this.#client.makeUnaryRequest(
        path,
        asBytes,
        asBytes,
        Buffer.from(message),
        metadataOf(metadata),
        options,
        (error, response) => {
          outcome = { error: error ?? undefined, response };
          finish();
        },
      );
      call.on("metadata", (received: grpc.Metadata) => {
        header = received;
      });
      call.on("status", (received: grpc.StatusObject) => {
        status = received;
        finish();
      });
    });
  }

  duplex(
    path: string,
    metadata: Readonly<Record<string, string>> = {},
    options: grpc.CallOptions = {},
  ): DuplexCall {
    return new DuplexCall(
      this.#client.makeBidiStreamRequest(path, asBytes, asBytes, metadataOf(metadata), options),
    );
  }
}

/** A bidirectional call read message by message. */
export class DuplexCall {
  readonly call: grpc.ClientDuplexStream<Buffer, Buffer>;
  readonly header: Promise<grpc.Metadata>;
  readonly status: Promise<grpc.StatusObject>;
  readonly #messages: AsyncIterator<Buffer>;

  constructor(call: grpc.ClientDuplexStream<Buffer, Buffer>) {
    this.call = call;
    call.on("error", () => undefined);
    this.header = new Promise((resolve) => call.on("metadata", resolve));
    this.status = new Promise((resolve) => call.on("status", resolve));
    this.#messages = call[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  }

  send(message: Buffer | string): void {
    this.call.write(Buffer.from(message));
  }

  closeSend(): void {
    this.call.end();
  }

  /** The next message; `undefined` at the end of the stream. */
  async recv(): Promise<string | undefined> {
    const { value, done } = await this.#messages.next();
    return done === true ? undefined : value.toString();
  }
}

function metadataOf(pairs: Readonly<Record<string, string>>): grpc.Metadata {
  const metadata = new grpc.Metadata();
  for (const [name, value] of Object.entries(pairs)) metadata.set(name, value);
  return metadata;
}
