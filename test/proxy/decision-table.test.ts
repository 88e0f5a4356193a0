// How a call ends, for each kind of end: what the client sees and what each backend sees.

import { describe, expect, it } from "vitest";
import { GrpcError } from "../../src/grpc/error.ts";
import { Status } from "../../src/grpc/status.ts";
import {
  type Destination,
  type RequestFinalizer,
  StreamParameters,
} from "../../src/proxy/director.ts";
import { ErrorCode } from "../../src/wire/error-code.ts";
import { fieldValue } from "../../src/wire/field.ts";
import { FakeClock } from "../support/clock.ts";
import { transportCombos } from "../support/combos.ts";
import {
  type FieldInput,
  frames,
  message,
  pairsOf,
  request,
  response,
  trailers,
  trailersOnly,
} from "../support/frames.ts";
import {
  ABC,
  answerCall,
  connectTo,
  eventually,
  expectCall,
  fanOutRelay,
  listenRelay,
  PATH,
  scriptedBackend,
  statusOf,
} from "../support/relay-fixture.ts";
import { ScriptedClient } from "../support/scripted-endpoints.ts";
import type { ScriptedPeer } from "../support/scripted-peer.ts";

interface Options {
  readonly primary?: Omit<Destination, "conn">;
  readonly secondary?: Omit<Destination, "conn">;
  readonly finalizer?: RequestFinalizer;
}

describe.each(transportCombos)("how a call ends, server on $server, client on $client", (combo) => {
  /**
   * A call with one secondary, its headers and first message here at both backends, its request
   * still open.
   */
  async function callUnderWay(options: Options = {}) {
    const clock = new FakeClock();
    const { server, client, peers } = await fanOutRelay(combo, {
      backends: [{}, {}],
      params: ([first, second]) =>
        new StreamParameters(
          { ...options.primary, conn: first! },
          [{ ...options.secondary, conn: second! }],
          options.finalizer,
        ),
      clock,
    });
    const [primary, secondary] = peers as [ScriptedPeer, ScriptedPeer];
    client.send(frames.headers(1, request(PATH, ["grpc-timeout", "10S"])), frames.data(1, ABC));
    const primaryId = await expectCall(primary, false);
    const secondaryId = await expectCall(secondary, false);
    return { clock, server, client, primary, secondary, primaryId, secondaryId };
  }

  type Call = Awaited<ReturnType<typeof callUnderWay>>;

  async function endRequest({ client, primary, secondary, primaryId, secondaryId }: Call) {
    client.send(frames.data(1).end());
    await primary.expectBody(primaryId);
    await secondary.expectBody(secondaryId);
  }

  function answerPrimary({ primary, primaryId }: Call, ...fields: FieldInput[]): void {
    primary.send(frames.headers(primaryId, [...trailersOnly(0), ...fields], { endStream: true }));
  }

  function answerSecondary({ secondary, secondaryId }: Call, status = 0): void {
    answerCall(secondary, secondaryId, status);
  }

  describe("primary trailers", () => {
    it("go to the client as they are, after secondaries and finalizer", async () => {
      let finish = (): void => {};
      const finished = new Promise<void>((resolve) => {
        finish = resolve;
      });
      let finalizing = false;
      const call = await callUnderWay({
        finalizer: () => {
          finalizing = true;
          return finished;
        },
      });
      const { client, primary, primaryId } = call;
      await endRequest(call);
      primary.send(frames.headers(primaryId, response()));
      primary.send(
        frames.headers(primaryId, trailers(0, "all%20well", ["x-t", "1"]), { endStream: true }),
      );
      await client.expectHeaders(1);
      await client.expectQuiet(1);
      expect(finalizing).toBe(false);
      answerSecondary(call);
      await eventually("the finalizer runs", () => finalizing);
      await client.expectQuiet(1);
      finish();
      expect(pairsOf(await client.expectTrailers(1))).toEqual(
        trailers(0, "all%20well", ["x-t", "1"]),
      );
    });

    it("with the client still open: RST_STREAM(NO_ERROR) to the backend, and in the end to the client", async () => {
      const call = await callUnderWay();
      answerPrimary(call);
      await call.primary.expectReset(call.primaryId, ErrorCode.NO_ERROR);
      answerSecondary(call);
      await call.secondary.expectReset(call.secondaryId, ErrorCode.NO_ERROR);
      expect(statusOf(await call.client.expectTrailers(1))).toBe(Status.OK);
      await call.client.expectReset(1, ErrorCode.NO_ERROR);
    });

    it("while request bytes wait for its window: the backend's stream is closed, not left over", async () => {
      const backend = await scriptedBackend(combo, {
        refillWindows: false,
        settings: { INITIAL_WINDOW_SIZE: 4 },
      });
      const { address } = await listenRelay(
        combo,
        () => new StreamParameters({ conn: backend.conn }),
      );
      const peer = await connectTo(backend);
      const client = await ScriptedClient.connect(address);
      client.send(frames.headers(1, request(PATH)), frames.data(1, message("0123456789")).end());
      const { streamId } = await peer.expectRequest(PATH);
      await peer.expectData(streamId);
      peer.send(frames.headers(streamId, trailersOnly(3), { endStream: true }));
      expect(statusOf(await client.expectTrailers(1))).toBe(3);
      await eventually("the stream is gone", () => backend.conn.openStreamCount === 0);
    });
  });

  it("primary Trailers-Only: Trailers-Only, nothing to the backend when the request was complete", async () => {
    const call = await callUnderWay();
    await endRequest(call);
    answerSecondary(call);
    answerPrimary(call, ["x-t", "1"]);
    expect(pairsOf(await call.client.expectTrailers(1))).toEqual([
      ...trailersOnly(0),
      ["x-t", "1"],
    ]);
    await call.primary.expectQuiet(call.primaryId);
  });

  describe("primary reset or lost", () => {
    it("before the headers: Trailers-Only; secondaries are aborted, after the primary's onError", async () => {
      const order: string[] = [];
      const call = await callUnderWay({
        primary: {
          onError: (error) => {
            order.push("primary");
            return error;
          },
        },
        secondary: { onError: () => void order.push("secondary") },
      });
      call.primary.send(frames.rst(call.primaryId, ErrorCode.REFUSED_STREAM));
      const again = await call.primary.expectRequest(PATH);
      call.primary.send(frames.rst(again.streamId, ErrorCode.PROTOCOL_ERROR));
      await call.secondary.expectReset(call.secondaryId, ErrorCode.CANCEL);
      const fields = await call.client.expectTrailers(1);
      expect(fieldValue(fields, ":status")).toBe("200");
      expect(statusOf(fields)).toBe(Status.INTERNAL);
      expect(order).toEqual(["primary", "secondary"]);
    });

    it("after the headers: trailers UNAVAILABLE for a lost connection", async () => {
      const call = await callUnderWay();
      call.primary.send(frames.headers(call.primaryId, response()));
      await call.client.expectHeaders(1);
      call.primary.destroy();
      await call.secondary.expectReset(call.secondaryId, ErrorCode.CANCEL);
      const fields = await call.client.expectTrailers(1);
      expect(fieldValue(fields, ":status")).toBeUndefined();
      expect(statusOf(fields)).toBe(Status.UNAVAILABLE);
    });
  });

  describe("the client", () => {
    it.each([ErrorCode.CANCEL, ErrorCode.NO_ERROR, ErrorCode.INTERNAL_ERROR])(
      "resets with code %i: nothing more to it, RST_STREAM(CANCEL) to all",
      async (code) => {
        const call = await callUnderWay();
        call.client.send(frames.rst(1, code));
        await call.primary.expectReset(call.primaryId, ErrorCode.CANCEL);
        await call.secondary.expectReset(call.secondaryId, ErrorCode.CANCEL);
        call.primary.expectNoEndStream(call.primaryId);
        call.secondary.expectNoEndStream(call.secondaryId);
        await call.client.expectQuiet(1);
      },
    );

    it("disconnects: RST_STREAM(CANCEL) to all", async () => {
      const call = await callUnderWay();
      call.client.destroy();
      await call.primary.expectReset(call.primaryId, ErrorCode.CANCEL);
      await call.secondary.expectReset(call.secondaryId, ErrorCode.CANCEL);
    });

    it("half-closes: END_STREAM to each destination that lives", async () => {
      const call = await callUnderWay({ secondary: { onError: () => {} } });
      answerSecondary(call, 9);
      await call.secondary.expectReset(call.secondaryId, ErrorCode.NO_ERROR);
      call.client.send(frames.data(1).end());
      await call.primary.expectBody(call.primaryId);
      await call.secondary.expectQuiet(call.secondaryId);
      call.secondary.expectNoEndStream(call.secondaryId);
      answerPrimary(call);
      expect(statusOf(await call.client.expectTrailers(1))).toBe(Status.OK);
    });
  });

  describe("the deadline", () => {
    it("before the headers: Trailers-Only DEADLINE_EXCEEDED, RST_STREAM(CANCEL) to all", async () => {
      const call = await callUnderWay();
      call.clock.advance(10_004);
      expect(statusOf(await call.client.expectTrailers(1))).toBe(Status.DEADLINE_EXCEEDED);
      await call.client.expectReset(1, ErrorCode.NO_ERROR);
      await call.primary.expectReset(call.primaryId, ErrorCode.CANCEL);
      await call.secondary.expectReset(call.secondaryId, ErrorCode.CANCEL);
    });

    it("after the headers: trailers DEADLINE_EXCEEDED", async () => {
      const call = await callUnderWay();
      call.primary.send(frames.headers(call.primaryId, response()));
      await call.client.expectHeaders(1);
      call.clock.advance(10_004);
      const fields = await call.client.expectTrailers(1);
      expect(pairsOf(fields)[0]).toEqual(["grpc-status", "4"]);
    });

    it("while the finalizer runs: not OK", async () => {
      let finish = (): void => {};
      let finalizing = false;
      const call = await callUnderWay({
        finalizer: () => {
          finalizing = true;
          return new Promise<void>((resolve) => {
            finish = resolve;
          });
        },
      });
      answerPrimary(call);
      answerSecondary(call);
      await eventually("the finalizer runs", () => finalizing);
      call.clock.advance(10_004);
      finish();
      expect(statusOf(await call.client.expectTrailers(1))).toBe(Status.DEADLINE_EXCEEDED);
    });
  });

  it("a secondary fails, swallowed: it is dropped, the others are fed on", async () => {
    const call = await callUnderWay({ secondary: { onError: () => null } });
    call.secondary.send(frames.rst(call.secondaryId, ErrorCode.INTERNAL_ERROR));
    await call.secondary.sync();
    call.client.send(frames.data(1, message("more")).end());
    expect(await call.primary.expectBody(call.primaryId)).toEqual(message("more"));
    answerPrimary(call);
    expect(statusOf(await call.client.expectTrailers(1))).toBe(Status.OK);
  });

  it("a secondary fails, not swallowed: the others are fed on, then the call fails", async () => {
    const call = await callUnderWay();
    call.secondary.send(frames.rst(call.secondaryId, ErrorCode.ENHANCE_YOUR_CALM));
    await call.secondary.sync();
    call.client.send(frames.data(1, message("more")).end());
    expect(await call.primary.expectBody(call.primaryId)).toEqual(message("more"));
    answerPrimary(call);
    expect(statusOf(await call.client.expectTrailers(1))).toBe(Status.RESOURCE_EXHAUSTED);
  });

  it.each([
    [0, Status.ABORTED],
    [5, 5],
  ])("the finalizer rejects when the primary said %i: %i", async (primaryStatus, expected) => {
    const call = await callUnderWay({
      secondary: { onError: () => {} },
      finalizer: () => Promise.reject(new GrpcError(Status.ABORTED, "finalizer")),
    });
    await endRequest(call);
    call.primary.send(
      frames.headers(call.primaryId, trailersOnly(primaryStatus), { endStream: true }),
    );
    answerSecondary(call);
    expect(statusOf(await call.client.expectTrailers(1))).toBe(expected);
  });

  it("200 and END_STREAM without grpc-status: UNKNOWN", async () => {
    const call = await callUnderWay();
    await endRequest(call);
    call.primary.send(frames.headers(call.primaryId, response(), { endStream: true }));
    answerSecondary(call);
    expect(statusOf(await call.client.expectTrailers(1))).toBe(Status.UNKNOWN);
  });

  it("END_STREAM on DATA, no trailers: the bytes, then UNKNOWN", async () => {
    const call = await callUnderWay();
    call.primary.send(frames.headers(call.primaryId, response()));
    call.primary.send(frames.data(call.primaryId, message("x")).end());
    await call.client.expectHeaders(1);
    expect(await call.client.expectBytes(1, 6)).toEqual(message("x"));
    expect(statusOf(await call.client.expectTrailers(1))).toBe(Status.UNKNOWN);
  });

  describe("a response that is not gRPC", () => {
    const rows: readonly (readonly [number, string, number])[] = [
      [400, "text/html", Status.INTERNAL],
      [401, "text/html", Status.UNAUTHENTICATED],
      [403, "text/html", Status.PERMISSION_DENIED],
      [404, "text/html", Status.UNIMPLEMENTED],
      [418, "text/html", Status.UNKNOWN],
      [429, "text/html", Status.UNAVAILABLE],
      [431, "text/html", Status.INTERNAL],
      [502, "text/html", Status.UNAVAILABLE],
      [503, "application/grpc", Status.UNAVAILABLE],
      [504, "text/html", Status.UNAVAILABLE],
      [200, "text/html", Status.UNKNOWN],
    ];

    it.each(rows)(
      "HTTP %i %s: 200 with the status it stands for, no body; backend aborted",
      async (http, type, status) => {
        const call = await callUnderWay();
        call.primary.send(
          frames.headers(call.primaryId, [
            [":status", `${http}`],
            ["content-type", type],
          ]),
          frames.data(call.primaryId, "<html>sorry</html>"),
        );
        const fields = await call.client.expectTrailers(1);
        expect(fieldValue(fields, ":status")).toBe("200");
        expect(fieldValue(fields, "content-type")).toBe("application/grpc");
        expect(statusOf(fields)).toBe(status);
        await call.primary.expectReset(call.primaryId, ErrorCode.CANCEL);
        await call.secondary.expectReset(call.secondaryId, ErrorCode.CANCEL);
        expect(call.client.received(1, "DATA")).toEqual([]);
      },
    );

    it("but grpc-status counts before the HTTP status", async () => {
      const call = await callUnderWay();
      await endRequest(call);
      call.primary.send(
        frames.headers(call.primaryId, [[":status", "503"], ...trailersOnly(8).slice(1)], {
          endStream: true,
        }),
      );
      answerSecondary(call);
      const fields = await call.client.expectTrailers(1);
      expect([fieldValue(fields, ":status"), statusOf(fields)]).toEqual(["200", 8]);
    });

    it.each(["99", "-1", "abc", "", "00"])(
      "grpc-status %j, which is none: an error, passed as it came",
      async (value) => {
        let status: number | undefined;
        const call = await callUnderWay({
          finalizer: (result) => {
            status = result.status;
          },
        });
        await endRequest(call);
        call.primary.send(
          frames.headers(call.primaryId, response(["grpc-status", value]), { endStream: true }),
        );
        answerSecondary(call);
        const fields = await call.client.expectTrailers(1);
        expect(fieldValue(fields, "grpc-status")).toBe(value);
        expect(status).toBe(Status.UNKNOWN);
      },
    );
  });
});
