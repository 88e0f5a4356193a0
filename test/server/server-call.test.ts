// One call between its stream and whoever answers it, without a server around it.

import { describe, expect, it } from "vitest";
import { newCodec } from "../../src/grpc/codec.ts";
import { ErrorReason, GrpcError } from "../../src/grpc/error.ts";
import { Metadata } from "../../src/grpc/metadata.ts";
import { Status } from "../../src/grpc/status.ts";
import { OpenCalls } from "../../src/server/open-calls.ts";
import { answerLargeRequest, RefusedRequest } from "../../src/server/refused-request.ts";
import { RequestHead } from "../../src/server/request-head.ts";
import { type RequestSink, ServerCall } from "../../src/server/server-call.ts";
import { ServerStream } from "../../src/server/server-stream.ts";
import type { StreamEnd } from "../../src/transport/transport.ts";
import { ErrorCode } from "../../src/wire/error-code.ts";
import { HeaderError } from "../../src/wire/field.ts";
import { FakeClock } from "../support/clock.ts";
import { FakeStream } from "../support/fake-stream.ts";
import { fieldsOf, request } from "../support/frames.ts";

const PATH = "/test.Service/Method";
const UNSENDABLE = new HeaderError("too large");
const DEFECT = new TypeError("a defect");

function begin(timeoutMs = Number.POSITIVE_INFINITY, fields = request(PATH)) {
  const clock = new FakeClock();
  const calls = new OpenCalls(clock);
  const stream = new FakeStream();
  const call = new ServerCall(stream, new RequestHead(fieldsOf(fields)), calls, timeoutMs);
  calls.add(call);
  return { clock, calls, stream, call };
}

function recordingSink(): RequestSink & { readonly log: string[] } {
  const log: string[] = [];
  return {
    log,
    onRequestData: (chunk, endStream) => log.push(`${chunk}${endStream ? "!" : ""}`),
    onResponseWritable: (bytes) => log.push(`writable(${bytes})`),
    onCancelled: (reason) => log.push(`cancelled(${reason.status})`),
  };
}

const aborted = () => new GrpcError(Status.ABORTED, "no", { reason: ErrorReason.HANDLER });

describe("the request of a call", () => {
  it("waits for its sink, which gets it in order, its end with the last chunk", () => {
    const { call } = begin();
    // Long enough not to be joined.
    const [one, two] = [Buffer.alloc(20_000, "a"), Buffer.alloc(20_000, "b")];
    call.onData(one, false);
    call.onData(two, false);
    call.onTrailers();
    const sink = recordingSink();
    call.attach(sink);
    expect(sink.log.join("")).toBe(`${one}${two}!`);
    call.onWritable(5);
    expect(sink.log.at(-1)).toBe("writable(5)");
  });

  it("that is given back is credited once, whoever takes it next", () => {
    const { call, stream } = begin();
    call.detach([Buffer.from("0123456789")], 10);
    const sink = recordingSink();
    call.attach(sink);
    call.acknowledge(4);
    expect(stream.log).toEqual([]);
    call.acknowledge(8);
    call.acknowledge(5);
    expect(stream.log).toEqual(["acknowledged(2)", "acknowledged(5)"]);
    call.acknowledgeAhead(3);
    call.acknowledge(3);
    expect(stream.log.slice(2)).toEqual(["acknowledged(3)"]);
  });

  it("of which nothing was left is only its end", () => {
    const { call } = begin();
    call.requestEnded = true;
    call.detach([], 0);
    const sink = recordingSink();
    call.attach(sink);
    expect(sink.log).toEqual(["!"]);
  });

  it("that goes on when the call was answered is credited and dropped", () => {
    const { call, stream } = begin();
    call.finishOk(new Metadata());
    call.onData(Buffer.from("late"), false);
    expect(stream.log.at(-1)).toBe("acknowledged(4)");
    expect(call.buffered).toBeUndefined();
  });
});

describe("the end of a call", () => {
  it("by a reset counts once", () => {
    const { call, stream, calls } = begin();
    call.finishByReset(new GrpcError(Status.UNAVAILABLE, "gone"));
    call.finishByReset(aborted());
    call.finishError(aborted());
    call.abandon(aborted());
    call.cancel(aborted());
    expect(stream.log).toHaveLength(1);
    expect(stream.log[0]).toMatch(/^reset/);
    expect(call.error?.status).toBe(Status.UNAVAILABLE);
    expect(calls.count).toBe(0);
  });

  it("leaves the others on the list, whichever it was", () => {
    const { calls, call, stream } = begin();
    const others = [1, 2].map(() => {
      const head = new RequestHead(fieldsOf(request(PATH)));
      const other = new ServerCall(stream, head, calls, Number.POSITIVE_INFINITY);
      calls.add(other);
      return other;
    });
    others[0]?.finishOk(new Metadata());
    expect(calls.count).toBe(2);
    calls.cancelAll(aborted());
    expect([call.status, ...others.map(({ status }) => status)]).toEqual([10, 0, 10]);
    expect(calls.count).toBe(0);
  });

  it("without anybody to tell is OK unless there is an error", () => {
    const [well, badly] = [begin(), begin()];
    well.call.abandon(undefined);
    badly.call.abandon(aborted());
    expect([well.call.status, badly.call.status]).toEqual([Status.OK, Status.ABORTED]);
    expect([...well.stream.log, ...badly.stream.log]).toEqual([]);
  });

  it.each<[StreamEnd["kind"], number, string, string]>([
    ["reset", ErrorCode.CANCEL, "client cancelled the call", ErrorReason.CLIENT_CANCELLED],
    ["reset", ErrorCode.INTERNAL_ERROR, "client is gone", ErrorReason.CLIENT_CANCELLED],
    ["session", ErrorCode.NO_ERROR, "client is gone", ErrorReason.CLIENT_CANCELLED],
    ["protocol", ErrorCode.PROTOCOL_ERROR, "client is gone", ErrorReason.CLIENT_PROTOCOL],
  ])("by the client's %s %d says so", (kind, code, details, reason) => {
    const { call, stream } = begin();
    call.onReset({ kind, code, unprocessed: false, message: "", reason: "" });
    expect(call.error).toMatchObject({ status: Status.CANCELLED, details, reason });
    expect([call.ended, call.gone, stream.log]).toEqual([true, true, []]);
  });

  it("that the deadline brings is told to its sink", () => {
    const { call, clock } = begin(1_000);
    const sink = recordingSink();
    call.attach(sink);
    clock.advance(1_004);
    expect(sink.log).toEqual([`cancelled(${Status.DEADLINE_EXCEEDED})`]);
    const late = recordingSink();
    call.attach(late);
    expect(late.log).toEqual(sink.log);
  });

  it.each([
    [5, ["reset(CANCEL)"]],
    [0, []],
  ])("that was cut short leaves %d bytes unread for a second: %j", (queuedBytes, then) => {
    const { call, stream, clock } = begin();
    stream.queuedBytes = 5;
    call.cancel(aborted());
    stream.queuedBytes = queuedBytes;
    expect(stream.log).toHaveLength(1);
    clock.advance(1_004);
    expect(stream.log.slice(1)).toEqual(then);
  });

  it("has headers of their own for headers that were set, of gRPC where the client named no type", () => {
    const { call, stream } = begin(
      Number.POSITIVE_INFINITY,
      request(PATH).filter((field) => (field as readonly [string, string])[0] !== "content-type"),
    );
    call.addHeader(Metadata.from({ "x-a": "1" }));
    call.finishOk(new Metadata());
    expect(stream.log).toEqual([
      "headers(:status: 200, content-type: application/grpc, x-a: 1)",
      "trailers(grpc-status: 0, END)",
    ]);
  });

  it.each([true, false])(
    "whose trailers cannot be sent is INTERNAL, behind headers: %s",
    (behindHeaders) => {
      const { call, stream } = begin();
      if (behindHeaders) call.sendHeaders([]);
      stream.failures.push(UNSENDABLE);
      call.finishOk(new Metadata());
      expect(stream.log.at(-1)).toContain("grpc-status: 13");
      expect(call.error).toMatchObject({ reason: ErrorReason.INVALID_METADATA, cause: UNSENDABLE });
    },
  );

  it("that cannot be told at all is a reset", () => {
    const { call, stream } = begin();
    stream.failures.push(UNSENDABLE, UNSENDABLE);
    const error = aborted();
    call.finishError(error);
    expect(stream.log).toEqual(["reset(INTERNAL_ERROR)"]);
    expect(call.error?.cause).toBe(error);
  });

  it("does not hide a defect, of the first try or of the second", () => {
    for (const failures of [[DEFECT], [UNSENDABLE, DEFECT]]) {
      const { call, stream } = begin();
      stream.failures.push(...failures);
      expect(() => call.finishOk(new Metadata())).toThrow(DEFECT);
    }
  });
});

describe("a ServerStream", () => {
  const OPTIONS = { codec: newCodec(), maxRequestMessageBytes: 1_000 };

  it("that is relayed reads and sends nothing any more", async () => {
    const stream = ServerStream.create(begin().call, OPTIONS);
    stream.takeOver();
    const relayed = "expected a stream that is not relayed";
    await expect(stream.recvMessage()).rejects.toThrow(relayed);
    await expect(stream.sendMessage(Buffer.alloc(1))).rejects.toThrow(relayed);
    expect(() => stream.sendHeader()).toThrow(relayed);
    expect(() => stream.takeOver()).toThrow("not relayed yet");
    expect(stream.hasRead).toBe(false);
    stream.relayDone(() => {}, undefined);
    await expect(stream.recvMessage()).rejects.toThrow(relayed);
  });

  it.each([
    ["has read", (stream: ServerStream) => void stream.recvMessage().catch(() => undefined)],
    ["has done nothing", () => {}],
  ])("whose handler %s and ended is not taken over, with an error that says so", (_, handle) => {
    for (const error of [undefined, new GrpcError(Status.ABORTED, "no")]) {
      const stream = ServerStream.create(begin().call, OPTIONS);
      handle(stream);
      stream.finish(error, true);
      expect(() => stream.takeOver()).toThrow("expected a stream whose handler has not ended");
    }
  });

  it("whose headers cannot be sent says so; a defect is not taken for that", () => {
    for (const [failure, expected] of [
      [UNSENDABLE, "the response headers cannot be sent: too large"],
      [DEFECT, "a defect"],
    ] as const) {
      const fields = request(PATH).filter(
        (field) => (field as readonly [string, string])[0] !== "content-type",
      );
      const { call, stream } = begin(Number.POSITIVE_INFINITY, fields);
      stream.failures.push(failure);
      const served = ServerStream.create(call, OPTIONS);
      expect(() => served.sendHeader()).toThrow(expected);
      served.sendHeader();
      expect(stream.log).toEqual(["headers(:status: 200, content-type: application/grpc)"]);
    }
  });
});

describe("a request that is no call", () => {
  const refuse = (requestEnded: boolean, isHead: boolean, ...failures: readonly unknown[]) => {
    const clock = new FakeClock();
    const stream = new FakeStream();
    stream.failures.push(...failures);
    const refused = new RefusedRequest(stream, clock);
    refused.answer("no", requestEnded, isHead);
    refused.onHeaders();
    refused.onWritable();
    return { clock, stream, refused };
  };
  const HEAD =
    "headers(:status: 415, content-type: text/plain; charset=utf-8, content-length: 3, END)";

  it("has no body with HEAD, and one with everything else", () => {
    expect(refuse(false, true).stream.log).toEqual([HEAD]);
    expect(refuse(true, false).stream.log.slice(1)).toEqual(["data(3, END)"]);
  });

  it.each<[string, (refused: RefusedRequest, clock: FakeClock) => void, string[]]>([
    ["its end", (refused) => refused.onData(Buffer.alloc(5), true), ["data(0, END)"]],
    ["its trailers", (refused) => refused.onTrailers(), ["data(0, END)"]],
    ["a second", (_, clock) => clock.advance(1_004), ["data(0, END)"]],
    ["its reset", (refused) => refused.onReset(), []],
    [
      "more than 64 KiB",
      (refused) => {
        refused.onData(Buffer.alloc(65_536), false);
        refused.onData(Buffer.alloc(1), false);
      },
      ["acknowledged(65536)", "data(0, END)"],
    ],
  ])("is waited for until %s", (_, end, then) => {
    const { refused, stream, clock } = refuse(false, false);
    end(refused, clock);
    expect(stream.log.slice(1)).toEqual(["data(3)", ...then]);
    expect(clock.timerCount).toBe(0);
  });

  it("is reset when its client takes no answer; a defect is not hidden", () => {
    expect(refuse(true, false, UNSENDABLE).stream.log).toEqual(["reset(INTERNAL_ERROR)"]);
    expect(() => refuse(true, false, DEFECT)).toThrow(DEFECT);
  });

  it("with too large a head is answered where that can be sent, and heard no more", () => {
    const answer = (...failures: readonly unknown[]) => {
      const stream = new FakeStream();
      stream.failures.push(...failures);
      return { stream, listener: answerLargeRequest(stream, "header list too large") };
    };
    const { stream, listener } = answer();
    expect(stream.log[0]).toContain("grpc-status: 8, grpc-message: request header list too large");
    listener?.onData(Buffer.alloc(1), true);
    expect(stream.log).toHaveLength(1);
    expect(answer(UNSENDABLE).listener).toBeUndefined();
    expect(() => answer(DEFECT)).toThrow(DEFECT);
  });
});

describe("a head", () => {
  it("takes :authority before host, and has no method without a path", () => {
    const head = (...fields: [string, string][]) => new RequestHead(fieldsOf(fields));
    expect(head(["host", "h"]).authority).toBe("h");
    expect(head([":authority", "a"], ["host", "h"]).authority).toBe("a");
    expect(head().method).toBe("");
  });
});
