// What Gitaly's grpc-proxy tests of itself, asked of the relay with grpc-js on both ends.

import * as grpc from "@grpc/grpc-js";
import { describe, expect, it } from "vitest";
import type { ClientConn } from "../../src/client/client-conn.ts";
import { GrpcError } from "../../src/grpc/error.ts";
import { Frame } from "../../src/grpc/frame.ts";
import { Metadata } from "../../src/grpc/metadata.ts";
import { Status } from "../../src/grpc/status.ts";
import { type StreamDirector, StreamParameters } from "../../src/proxy/director.ts";
import { registerStreamHandlers } from "../../src/proxy/transparent-handler.ts";
import { incomingToOutgoing } from "../../src/server/call-context.ts";
import type { StreamHandler } from "../../src/server/interceptor.ts";
import { transportCombos } from "../support/combos.ts";
import {
  type DuplexCall,
  type GrpcBackendHandlers,
  GrpcClient,
  grpcBackend,
} from "../support/grpc-js.ts";
import { dialTo, listenRelay } from "../support/relay-fixture.ts";

const REJECTING = "test-reject-rpc-if-in-context";

/** Peeks at every call and sends on what it saw, as the director of the Go tests does. */
function peekingDirector(conn: ClientConn): StreamDirector {
  return async (ctx, _method, peeker) => {
    const message = await peeker.peek();
    if (ctx.metadata.has(REJECTING)) {
      throw new GrpcError(Status.PERMISSION_DENIED, "testing rejection");
    }
    return new StreamParameters({ conn, ctx: incomingToOutgoing(ctx), message });
  };
}

describe.each(transportCombos)("the Go contract, server on $server, client on $client", (combo) => {
  async function setUp(
    handlers: GrpcBackendHandlers,
    director: (conn: ClientConn) => StreamDirector = peekingDirector,
  ): Promise<GrpcClient> {
    const conn = dialTo(combo, await grpcBackend(handlers));
    const { address } = await listenRelay(combo, director(conn));
    return new GrpcClient(address);
  }

  describe("peeking", () => {
    it("shows the director the first message and the backend the same, untouched", async () => {
      const peeked: string[] = [];
      const received: string[] = [];
      const client = await setUp(
        {
          duplex: (call) => {
            call.on("data", (message: Buffer) => received.push(message.toString()));
            call.on("end", () => {
              call.write(Buffer.from("bye"));
              call.end();
            });
          },
        },
        (conn) => async (ctx, _method, peeker) => {
          const message = await peeker.peek();
          peeked.push(message.toString());
          return new StreamParameters({ conn, ctx: incomingToOutgoing(ctx), message });
        },
      );
      const call = client.duplex("/test.Service/Duplex");
      call.send("hi");
      call.closeSend();
      expect(await call.recv()).toBe("bye");
      expect(await call.recv()).toBeUndefined();
      expect((await call.status).code).toBe(Status.OK);
      expect(peeked).toEqual(["hi"]);
      expect(received).toEqual(["hi"]);
    });

    it("lets the director replace the first message, and only that", async () => {
      const received: string[] = [];
      const client = await setUp(
        {
          duplex: (call) => {
            call.on("data", (message: Buffer) => received.push(message.toString()));
            call.on("end", () => call.end());
          },
        },
        (conn) => async (ctx, _method, peeker) => {
          await peeker.peek();
          return new StreamParameters({
            conn,
            ctx: incomingToOutgoing(ctx),
            message: Buffer.from("replaced"),
          });
        },
      );
      const call = client.duplex("/test.Service/Duplex");
      call.send("hi");
      call.send("second");
      call.closeSend();
      expect(await call.recv()).toBeUndefined();
      expect(received).toEqual(["replaced", "second"]);
    });
  });

  it("carries metadata from the client to the backend", async () => {
    const got: unknown[] = [];
    const client = await setUp({
      unary: (call, answer) => {
        got.push(call.metadata.get("injected_metadata"));
        answer(null, call.request);
      },
    });
    const { response, error } = await client.unary("/test.Service/Unary", "data", {
      injected_metadata: "injected_value",
    });
    expect(error).toBeUndefined();
    expect(response?.toString()).toBe("data");
    expect(got).toEqual([["injected_value"]]);
  });

  it("carries headers and trailers from the backend to the client", async () => {
    const client = await setUp({
      unary: (call, answer) => {
        const header = new grpc.Metadata();
        header.set("injected_header", "header_value");
        call.sendMetadata(header);
        const trailer = new grpc.Metadata();
        trailer.set("injected_trailer", "trailer_value");
        answer(null, call.request, trailer);
      },
    });
    const { response, header, status } = await client.unary("/test.Service/Unary", "data");
    expect(response?.toString()).toBe("data");
    expect(header?.getMap()).toMatchObject({
      "content-type": "application/grpc+proto",
      injected_header: "header_value",
    });
    expect(status.metadata.getMap()).toEqual({ injected_trailer: "trailer_value" });
  });

  it("propagates the backend's error, status and message", async () => {
    const client = await setUp({
      unary: (_call, answer) =>
        answer({ code: grpc.status.RESOURCE_EXHAUSTED, details: "service error" }),
    });
    const { error } = await client.unary("/test.Service/Unary");
    expect(error).toMatchObject({ code: Status.RESOURCE_EXHAUSTED, details: "service error" });
  });

  it("propagates the director's error without asking the backend", async () => {
    let asked = false;
    const client = await setUp({
      unary: (call, answer) => {
        asked = true;
        answer(null, call.request);
      },
    });
    const { error } = await client.unary("/test.Service/Unary", "", { [REJECTING]: "true" });
    expect(error).toMatchObject({ code: Status.PERMISSION_DENIED, details: "testing rejection" });
    expect(asked).toBe(false);
  });

  describe("full duplex", () => {
    async function setUpDuplex(): Promise<GrpcClient> {
      return setUp({
        duplex: (call) => {
          const header = new grpc.Metadata();
          header.set("custom_header", "header_value");
          call.sendMetadata(header);
          let count = 0;
          call.on("data", (message: Buffer) => call.write(Buffer.from(`${message}: ${count++}`)));
          call.on("end", () => {
            const trailer = new grpc.Metadata();
            trailer.set("custom_trailer", "trailer_value");
            call.end(trailer);
          });
        },
      });
    }

    async function converse(call: DuplexCall): Promise<void> {
      for (let i = 0; i < 20; i++) {
        call.send(`foo:${i}`);
        expect(await call.recv()).toBe(`foo:${i}: ${i}`);
        if (i === 0) expect((await call.header).get("custom_header")).toEqual(["header_value"]);
      }
      call.closeSend();
      expect(await call.recv()).toBeUndefined();
      const status = await call.status;
      expect(status.code).toBe(Status.OK);
      expect(status.metadata.getMap()).toEqual({ custom_trailer: "trailer_value" });
    }

    it("answers message by message, headers with the first, trailers at the end", async () => {
      await converse((await setUpDuplex()).duplex("/test.Service/Duplex"));
    });

    it("does so 50 times over, one after the other and at once", async () => {
      const client = await setUpDuplex();
      for (let i = 0; i < 25; i++) await converse(client.duplex("/test.Service/Duplex"));
      const calls = Array.from({ length: 25 }, () => client.duplex("/test.Service/Duplex"));
      await Promise.all(calls.map(converse));
    });
  });

  describe("error propagation", () => {
    const backendError = { code: Status.INVALID_ARGUMENT, details: "backend error" };
    const directorError = new GrpcError(Status.FAILED_PRECONDITION, "director error");
    const finalizerError = new GrpcError(Status.INTERNAL, "request finalizer error");
    interface Row {
      readonly title: string;
      readonly backend?: boolean;
      readonly director?: boolean;
      readonly finalizer?: boolean;
      readonly onError?: "keeps" | "swallows";
      readonly expected: { readonly code: number; readonly details: string };
      readonly finalizerRuns: number;
    }
    const director = { code: Status.FAILED_PRECONDITION, details: "director error" };
    const finalizer = { code: Status.INTERNAL, details: "request finalizer error" };
    const rows: readonly Row[] = [
      {
        title: "the backend's is propagated",
        backend: true,
        expected: backendError,
        finalizerRuns: 1,
      },
      {
        title: "the director's is propagated",
        director: true,
        expected: director,
        finalizerRuns: 0,
      },
      {
        title: "the finalizer's is propagated",
        finalizer: true,
        expected: finalizer,
        finalizerRuns: 1,
      },
      {
        title: "the director's prevents all else",
        backend: true,
        finalizer: true,
        director: true,
        expected: director,
        finalizerRuns: 0,
      },
      {
        title: "the backend's stands before the finalizer's",
        backend: true,
        finalizer: true,
        expected: backendError,
        finalizerRuns: 1,
      },
      {
        title: "onError is given the error and keeps it",
        backend: true,
        finalizer: true,
        onError: "keeps",
        expected: backendError,
        finalizerRuns: 1,
      },
      {
        title: "onError can swallow the error",
        backend: true,
        onError: "swallows",
        expected: { code: Status.OK, details: "" },
        finalizerRuns: 1,
      },
      {
        title: "a swallowed error lets the finalizer's through",
        backend: true,
        finalizer: true,
        onError: "swallows",
        expected: finalizer,
        finalizerRuns: 1,
      },
    ];

    it.each(rows)("$title", async (row) => {
      const told: unknown[] = [];
      let finalizerRuns = 0;
      const backend = await grpcBackend({
        duplex: (call) => {
          call.resume();
          if (row.backend) call.emit("error", backendError);
          else call.end();
        },
      });
      const conn = dialTo(combo, backend);
      const { address } = await listenRelay(combo, (ctx) => {
        if (row.director) throw directorError;
        const { onError } = row;
        return new StreamParameters(
          {
            conn,
            ctx,
            ...(onError && {
              onError: (error: GrpcError) => {
                told.push({ code: error.status, details: error.details });
                return onError === "keeps" ? error : undefined;
              },
            }),
          },
          [],
          () => {
            finalizerRuns++;
            if (row.finalizer) throw finalizerError;
          },
        );
      });
      const call = new GrpcClient(address).duplex("/test.Service/Duplex");
      call.send("");
      call.closeSend();
      expect(await call.status).toMatchObject(row.expected);
      expect(told).toEqual(row.onError ? [backendError] : []);
      expect(finalizerRuns).toBe(row.finalizerRuns);
    });
  });

  describe("registered stream handlers", () => {
    const rows = [
      { title: "a single handler answers", registered: ["Unary"], called: "Unary", answers: true },
      {
        title: "of several the right one answers",
        registered: ["Unary", "Empty"],
        called: "Empty",
        answers: true,
      },
      {
        title: "a method without one goes to the director",
        registered: ["Empty"],
        called: "Unary",
        answers: false,
      },
    ];

    it.each(rows)("$title", async ({ registered, called, answers }) => {
      const calls: string[] = [];
      const { server, address } = await listenRelay(combo, () => {
        throw new Error("director was called");
      });
      const handlers: Record<string, StreamHandler> = {};
      for (const name of registered) {
        handlers[name] = async (stream) => {
          calls.push(name);
          const message = await stream.recvMessage();
          expect(message).toEqual(new Frame(Buffer.from("hello")));
          await stream.sendMessage(Buffer.alloc(0));
        };
      }
      registerStreamHandlers(server, "test.Service", handlers);
      const { error } = await new GrpcClient(address).unary(`/test.Service/${called}`, "hello");
      if (answers) expect(error).toBeUndefined();
      else {
        const details = "internal error in the proxy";
        expect(error).toMatchObject({ code: Status.UNKNOWN, details });
      }
      expect(calls).toEqual(answers ? [called] : []);
    });

    it("registering the same service twice throws", async () => {
      const { server } = await listenRelay(combo, () => {
        throw new Error("director was called");
      });
      registerStreamHandlers(server, "test.Service", { Unary: () => {} });
      expect(() => registerStreamHandlers(server, "test.Service", { Empty: () => {} })).toThrow(
        "service test.Service is registered already",
      );
    });
  });

  describe("a destination that cannot be opened", () => {
    /** The secondary's metadata cannot be sent, so its stream cannot be opened. */
    function unsendable(ctx: Parameters<StreamDirector>[0]) {
      const ctxWithout = ctx.withMetadata(new Metadata());
      return Object.assign(ctxWithout, { metadataFields: () => [{ name: "bad name", value: "" }] });
    }

    it("fails the call when no destination has an onError", async () => {
      const client = await setUp({}, (conn) => (ctx) => {
        return new StreamParameters({ conn }, [{ conn, ctx: unsendable(ctx) }]);
      });
      const { error } = await client.unary("/test.Service/Unary");
      expect(error).toMatchObject({ code: Status.INTERNAL });
      expect(error?.details).toContain("bad name");
    });

    it("tells primary and secondaries, none of which can swallow it", async () => {
      const told: string[] = [];
      const client = await setUp({}, (conn) => (ctx) => {
        const note = (role: string) => (error: GrpcError) => {
          told.push(`${role} ${error.status}`);
        };
        return new StreamParameters({ conn, onError: note("primary") }, [
          { conn, onError: note("secondary 0") },
          { conn, ctx: unsendable(ctx), onError: note("secondary 1") },
        ]);
      });
      const { error } = await client.unary("/test.Service/Unary");
      expect(error).toMatchObject({ code: Status.INTERNAL });
      expect(told.sort()).toEqual(["primary 13", "secondary 0 13", "secondary 1 13"]);
    });
  });
});
