import { createHash, randomBytes } from "node:crypto";
import * as grpc from "@grpc/grpc-js";
import { describe, expect, it } from "vitest";
import { transportCombos } from "../support/combos.ts";
import { type GrpcBackendHandlers, GrpcClient, grpcBackend } from "../support/grpc-js.ts";
import { eventually } from "../support/relay-fixture.ts";
import { bind } from "./backend.ts";
import { InteropClient } from "./client.ts";
import { relayTo } from "./fixture.ts";
import type { Method } from "./protocol.ts";

// What gRPC clients do all day, and at the edges of size and number: grpc-js on both ends, messages
// of plain bytes.

const KIB = 1_024;
const MIB = KIB * KIB;
const NO_LIMIT = { "grpc.max_receive_message_length": -1, "grpc.max_send_message_length": -1 };

const UNARY = "/test.Service/Unary";
const KINDS = ["Unary", "ClientStream", "ServerStream", "Duplex"] as const;

function digest(bytes: Uint8Array): Buffer {
  return createHash("sha1").update(bytes).digest();
}

const asBytes = (bytes: unknown): Buffer => bytes as Buffer;

/** A method of `test.Service` for the client. */
function bytesMethod(path: string): Method {
  const kind = path.slice(path.lastIndexOf("/") + 1);
  return {
    path,
    requestStream: kind === "ClientStream" || kind === "Duplex",
    responseStream: kind === "ServerStream" || kind === "Duplex",
    requestSerialize: asBytes,
    requestDeserialize: asBytes,
    responseSerialize: asBytes,
    responseDeserialize: asBytes,
  };
}

const CALL_METHODS = KINDS.map((kind) => bytesMethod(`/test.Service/${kind}`));

describe.each(transportCombos)("grpc-js through the relay, $server $client", (combo) => {
  async function grpcRelay(
    handlers: GrpcBackendHandlers,
    options: grpc.ServerOptions = {},
  ): Promise<string> {
    return (await relayTo(combo, await grpcBackend(handlers, options))).address;
  }

  const SIZES = [1, 5, KIB, 16 * KIB - 1, 16 * KIB, 64 * KIB + 1, MIB, 4 * MIB, 16 * MIB];

  it.each(SIZES)("carries messages of %i bytes up and down, byte for byte", async (byteCount) => {
    const message = randomBytes(byteCount);
    const address = await grpcRelay(
      {
        unary: (call, reply) => reply(null, digest(call.request)),
        duplex: (call) => {
          call.on("data", (got: Buffer) => call.write(got));
          call.on("end", () => call.end());
        },
      },
      NO_LIMIT,
    );
    const up = await new GrpcClient(address, NO_LIMIT).unary(UNARY, message);
    expect(up.response).toEqual(digest(message));
    const echo = new InteropClient(address, NO_LIMIT).startMethod<Buffer>(CALL_METHODS[3]!);
    echo.send(message);
    echo.send(message);
    echo.closeSend();
    const { responses, status } = await echo.outcome;
    expect(status.code).toBe(grpc.status.OK);
    expect(responses.map((got) => message.equals(got))).toEqual([true, true]);
  });

  it("carries 1,000 calls at once, each with its own answer", async () => {
    let open = 0;
    let mostOpen = 0;
    const replies: (() => void)[] = [];
    const address = await grpcRelay({
      unary: (call, reply) => {
        mostOpen = Math.max(mostOpen, ++open);
        replies.push(() => {
          open--;
          reply(null, call.request);
        });
      },
    });
    const client = new GrpcClient(address);
    const calls = Array.from({ length: 1_000 }, (_, i) => client.unary(UNARY, `call ${i}`));
    await eventually("all of them are at the backend", () => replies.length === 1_000);
    expect(mostOpen).toBe(1_000);
    for (const reply of replies.reverse()) reply();
    const outcomes = await Promise.all(calls);
    expect(outcomes.map(({ response }) => String(response))).toEqual(
      calls.map((_, i) => `call ${i}`),
    );
  });

  it("passes a service through of which it knows nothing, as reflection", async () => {
    const path = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    const method = { ...bytesMethod(path), requestStream: true, responseStream: true };
    const server = new grpc.Server();
    server.addService(
      { ServerReflectionInfo: method },
      {
        ServerReflectionInfo: (call: grpc.ServerDuplexStream<Buffer, Buffer>) => {
          call.on("data", (query: Buffer) => call.write(digest(query)));
          call.on("end", () => call.end());
        },
      },
    );
    const { address } = await relayTo(combo, await bind(server));
    const call = new InteropClient(address).startMethod<Buffer>(method);
    const queries = [1, 40, 2_000].map((byteCount) => randomBytes(byteCount));
    for (const [i, query] of queries.entries()) {
      call.send(query);
      expect((await call.responses(i + 1))[i]).toEqual(digest(query));
    }
    call.closeSend();
    expect((await call.outcome).status.code).toBe(grpc.status.OK);
  });

  describe("through two relays", () => {
    async function chained(duplex: GrpcBackendHandlers["duplex"]): Promise<GrpcClient> {
      const inner = await grpcRelay(duplex === undefined ? {} : { duplex });
      return new GrpcClient((await relayTo(combo, inner)).address);
    }

    it("a client that has half-closed goes on receiving", async () => {
      const answers: ((text: string) => void)[] = [];
      const client = await chained((call) => {
        call.on("data", () => undefined);
        call.on("end", () => {
          call.write(Buffer.from("after the end"));
          answers.push((text) => {
            call.write(Buffer.from(text));
            call.end();
          });
        });
      });
      const call = client.duplex("/test.Service/Duplex");
      call.send("only");
      call.closeSend();
      expect(await call.recv()).toBe("after the end");
      answers[0]?.("and later");
      expect(await call.recv()).toBe("and later");
      expect(await call.recv()).toBeUndefined();
      expect((await call.status).code).toBe(grpc.status.OK);
    });

    it("a backend that ends first ends the call for a client that is still open", async () => {
      let ended: Promise<unknown> | undefined;
      const client = await chained((call) => {
        ended = new Promise((resolve) => call.on("close", resolve));
        call.once("data", () => {
          call.write(Buffer.from("enough"));
          call.end();
        });
      });
      const call = client.duplex("/test.Service/Duplex");
      call.send("first");
      expect(await call.recv()).toBe("enough");
      expect((await call.status).code).toBe(grpc.status.OK);
      call.send("into the void");
      call.closeSend();
      await ended;
    });

    it("headers that come before any message come at once", async () => {
      const client = await chained((call) => {
        const header = new grpc.Metadata();
        header.set("x-ready", "yes");
        call.sendMetadata(header);
        call.on("data", (got: Buffer) => call.write(got));
        call.on("end", () => call.end());
      });
      const call = client.duplex("/test.Service/Duplex");
      expect((await call.header).get("x-ready")).toEqual(["yes"]);
      call.send("now");
      expect(await call.recv()).toBe("now");
      call.closeSend();
      expect((await call.status).code).toBe(grpc.status.OK);
    });
  });

  it("passes the client's user-agent on", async () => {
    const address = await grpcRelay({
      unary: (call, reply) => reply(null, Buffer.from(String(call.metadata.get("user-agent")))),
    });
    const client = new GrpcClient(address, { "grpc.primary_user_agent": "orders/1.2" });
    const { response } = await client.unary(UNARY);
    expect(String(response)).toMatch(/^orders\/1\.2 grpc-node-js\//);
  });

  it("carries 60 KiB of metadata up, and down as headers and as trailers", async () => {
    const big = randomBytes(30 * KIB).toString("hex");
    const address = await grpcRelay({
      unary: (call, reply) => {
        const metadata = new grpc.Metadata();
        metadata.set("x-big", String(call.metadata.get("x-big")[0]));
        call.sendMetadata(metadata);
        reply(null, Buffer.from("ok"), metadata);
      },
    });
    const outcome = await new GrpcClient(address).unary(UNARY, "", { "x-big": big });
    expect(outcome.error).toBeUndefined();
    expect(outcome.header?.get("x-big")[0] === big).toBe(true);
    expect(outcome.status.metadata.get("x-big")[0] === big).toBe(true);
  });

  describe("a call that the backend never answers", () => {
    interface Hanging {
      readonly client: InteropClient;
      /** Methods that the backend is at, and those that it was told to stop. */
      readonly begun: string[];
      readonly stopped: string[];
    }

    async function hanging(): Promise<Hanging> {
      const begun: string[] = [];
      const stopped: string[] = [];
      const hang = (call: {
        getPath(): string;
        on(event: "cancelled", listener: () => void): unknown;
      }): void => {
        begun.push(call.getPath());
        call.on("cancelled", () => stopped.push(call.getPath()));
      };
      const address = await grpcRelay({
        unary: hang,
        clientStream: hang,
        serverStream: hang,
        duplex: hang,
      });
      return { client: new InteropClient(address), begun, stopped };
    }

    it.each(CALL_METHODS)("ends when its client cancels, $path", async (method) => {
      const { client, begun, stopped } = await hanging();
      const call = client.startMethod(method, Buffer.from("request"));
      if (method.requestStream) call.send(Buffer.from("request"));
      await eventually("it is at the backend", () => begun.length === 1);
      call.cancel();
      expect((await call.outcome).status.code).toBe(grpc.status.CANCELLED);
      await eventually("the backend is told", () => stopped.length === 1);
      expect(stopped).toEqual([method.path]);
    });

    it.each(CALL_METHODS)("ends at its deadline, $path", async (method) => {
      const { client, stopped } = await hanging();
      const startedMs = performance.now();
      const call = client.startMethod(method, Buffer.from("request"), {
        options: { deadline: Date.now() + 250 },
      });
      if (method.requestStream) call.send(Buffer.from("request"));
      expect((await call.outcome).status.code).toBe(grpc.status.DEADLINE_EXCEEDED);
      expect(performance.now() - startedMs).toBeLessThan(2_000);
      await eventually("the backend is told", () => stopped.length === 1);
    });
  });
});
