// The client of the interop cases: grpc-js, with an outcome that can be looked at instead of
// callbacks.

import type { EventEmitter } from "node:events";
import * as grpc from "@grpc/grpc-js";
import { closeAtEnd } from "../support/cleanup.ts";
import {
  type Method,
  methodOf,
  ORCA_SERVICE,
  TEST_SERVICE,
  UNIMPLEMENTED_SERVICE,
} from "./protocol.ts";

const SERVICES = [TEST_SERVICE, UNIMPLEMENTED_SERVICE, ORCA_SERVICE];

export interface CallInput {
  readonly metadata?: grpc.Metadata;
  readonly options?: grpc.CallOptions;
}

/** How a call went, once it is over. */
export interface Outcome<Response> {
  readonly responses: readonly Response[];
  /** Undefined when the response had no headers of its own. */
  readonly header: grpc.Metadata | undefined;
  readonly status: grpc.StatusObject;
}

/** What grpc-js client calls have, the last two only where the request streams. */
type AnyCall = EventEmitter & {
  cancel(): void;
  write?(message: unknown, flags: number): boolean;
  end?(): unknown;
};

/** A call under way. */
export class InteropCall<Response> {
  readonly call: AnyCall;
  readonly header: Promise<grpc.Metadata>;
  readonly outcome: Promise<Outcome<Response>>;
  readonly #responses: Response[] = [];
  #onResponse: (() => void) | undefined;

  constructor(start: (onResponse: (response: unknown) => void) => AnyCall) {
    this.call = start((response) => this.#add(response));
    const { call } = this;
    let header: grpc.Metadata | undefined;
    this.header = new Promise((resolve) => {
      call.on("metadata", (metadata: grpc.Metadata) => {
        header = metadata;
        resolve(metadata);
      });
    });
    if ("read" in call) call.on("data", (response) => this.#add(response));
    call.on("error", () => undefined);
    this.outcome = new Promise((resolve) => {
      call.on("status", (status: grpc.StatusObject) => {
        // The callback of a unary call comes in the same turn, after this.
        setImmediate(() => resolve({ responses: this.#responses, header, status }));
      });
    });
  }

  #add(response: unknown): void {
    this.#responses.push(response as Response);
    this.#onResponse?.();
  }

  send(message: unknown, flags = 0): void {
    // grpc-js takes write flags where streams take an encoding.
    this.call.write?.(message, flags);
  }

  closeSend(): void {
    this.call.end?.();
  }

  cancel(): void {
    this.call.cancel();
  }

  /** Resolves when `count` responses have come. */
  async responses(count: number): Promise<readonly Response[]> {
    while (this.#responses.length < count) {
      await new Promise<void>((resolve) => {
        this.#onResponse = resolve;
      });
    }
    return this.#responses;
  }
}

export class InteropClient {
  readonly #client: grpc.Client;

  constructor(target: string, options: grpc.ClientOptions = {}) {
    this.#client = new grpc.Client(target, grpc.credentials.createInsecure(), options);
    closeAtEnd(() => this.close());
  }

  close(): void {
    this.#client.close();
  }

  /** Any method of any interop service; `request` only where it does not stream. */
  start<Response>(name: string, request?: unknown, input: CallInput = {}): InteropCall<Response> {
    const service = SERVICES.find((candidate) => name in candidate) ?? TEST_SERVICE;
    return this.startMethod(methodOf(service, name), request, input);
  }

  startMethod<Response>(
    method: Method,
    request?: unknown,
    { metadata = new grpc.Metadata(), options = {} }: CallInput = {},
  ): InteropCall<Response> {
    const { path, requestSerialize, responseDeserialize } = method;
    const client = this.#client;
    return new InteropCall((onResponse) => {
      const onUnary = (_: unknown, response: unknown): void => {
        if (response !== undefined) onResponse(response);
      };
      if (method.requestStream) {
        return method.responseStream
          ? client.makeBidiStreamRequest(
              path,
              requestSerialize,
              responseDeserialize,
              metadata,
              options,
            )
          : client.makeClientStreamRequest(
              path,
              requestSerialize,
              responseDeserialize,
              metadata,
              options,
              onUnary,
            );
      }
      return method.responseStream
        ? client.makeServerStreamRequest(
            path,
            requestSerialize,
            responseDeserialize,
            request,
            metadata,
            options,
          )
        : client.makeUnaryRequest(
            path,
            requestSerialize,
            responseDeserialize,
            request,
            metadata,
            options,
            onUnary,
          );
    });
  }

  /** A call of one request, to its end. */
  call<Response>(
    name: string,
    request: unknown,
    input: CallInput = {},
  ): Promise<Outcome<Response>> {
    return this.start<Response>(name, request, input).outcome;
  }
}
