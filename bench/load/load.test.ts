import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { nodeTransport } from "../../src/transport/node/index.ts";
import type { Listener, ListenerEvents, Stream } from "../../src/transport/transport.ts";
import { ErrorCode } from "../../src/wire/error-code.ts";
import { fieldValue, HeaderField } from "../../src/wire/field.ts";
import { leanBackend, type ServedCount } from "../backends/lean.ts";
import { messageOfSize, withPrefix } from "../backends/message.ts";
import { runLoad } from "./generator.ts";
import { latencyOf, parseH2load } from "./h2load.ts";
import { failureCount, type LoadResult, type Workload } from "./workload.ts";

const UNARY: Workload = {
  kind: "unary",
  connectionCount: 2,
  streamsPerConnection: 4,
  messageBytes: 32,
  messagesPerCall: 1,
  metadataCount: 3,
};

function load(port: number, workload: Workload, ratePerSecond?: number): Promise<LoadResult> {
  const target = { port, tls: false };
  const plan = { workload, target, warmupMs: 20, durationMs: 120, ratePerSecond };
  return runLoad(nodeTransport(), plan, { onMeasuring: () => {}, onMeasured: () => {} });
}

describe("the generator against the lean backend", () => {
  let listener: Listener;
  let port: number;
  let served: ServedCount;

  beforeEach(async () => {
    served = { callCount: 0 };
    listener = await nodeTransport().listen(
      { address: { host: "127.0.0.1", port: 0 } },
      leanBackend(served),
    );
    if (!("port" in listener.address)) throw new Error("no port");
    port = listener.address.port;
  });

  afterEach(() => listener.close());

  it.each<[Workload["kind"], number, number]>([
    ["unary", 1, 32],
    ["unary", 1, 200_000],
    ["server_stream", 50, 100],
    ["client_stream", 50, 100],
    ["bidi", 10, 100],
  ])(
    "completes %s calls of %d messages of %d B without a failure",
    async (kind, messagesPerCall, messageBytes) => {
      const result = await load(port, { ...UNARY, kind, messagesPerCall, messageBytes });
      expect(result.failures).toEqual({});
      expect(result.messageCount).toBeGreaterThan(messagesPerCall);
      expect(result.latency?.p50Us).toBeGreaterThan(0);
      // The backend also serves warm-up and drain, which are not counted.
      if (kind !== "bidi") expect(served.callCount).toBeGreaterThanOrEqual(result.callCount);
    },
  );

  it("runs bulk beside the calls, counts the calls alone, and notices when the bulk fails", async () => {
    const beside = { ...UNARY, connectionCount: 1, streamsPerConnection: 1, bulkStreams: 1 };
    const result = await load(port, beside);
    expect(result.failures).toEqual({});
    expect(result.callCount).toBeGreaterThan(0);
    expect(result.messageCount).toBe(result.callCount);
    const refusing = await nodeTransport().listen(
      { address: { host: "127.0.0.1", port: 0 } },
      refusingStreams(),
    );
    if (!("port" in refusing.address)) throw new Error("no port");
    const refused = await load(refusing.address.port, beside);
    expect(Object.keys(refused.failures)).toContainEqual(expect.stringMatching(/^bulk stream: /));
    await refusing.close();
  });

  it("begins calls at the rate that was asked for in an open loop", async () => {
    const result = await load(port, UNARY, 500);
    expect(result.failures).toEqual({});
    const rate = (result.callCount * 1_000) / result.elapsedMs;
    expect(rate).toBeGreaterThan(250);
    expect(rate).toBeLessThan(600);
  });
});

/** Answers unary calls as the lean backend does, and resets server streams. */
function refusingStreams(): ListenerEvents {
  const events = leanBackend({ callCount: 0 });
  return {
    ...events,
    onSession: (opened) => {
      const session = events.onSession(opened);
      return {
        ...session,
        onStream: (stream, headers, endStream) => {
          const listener = session.onStream(stream, headers, endStream);
          if (fieldValue(headers, ":path")?.endsWith("/ServerStream")) {
            stream.reset(ErrorCode.REFUSED_STREAM);
          }
          return listener;
        },
      };
    },
  };
}

describe("the generator against a server that never answers", () => {
  it("calls it overloaded, not wrong, when an open loop runs away from it", async () => {
    const silent = {
      onHeaders: () => {},
      onData: () => {},
      onTrailers: () => {},
      onWritable: () => {},
      onReset: () => {},
    };
    const session = {
      onStream: () => silent,
      onGoAway: () => {},
      onRefused: () => {},
      onClosed: () => {},
    };
    const listener = await nodeTransport().listen(
      { address: { host: "127.0.0.1", port: 0 } },
      { onSession: () => session, onError: () => {} },
    );
    try {
      if (!("port" in listener.address)) throw new Error("no port");
      const result = await load(listener.address.port, UNARY, 1_000_000);
      expect(result).toMatchObject({ overloaded: true, callCount: 0, failures: {} });
    } finally {
      await listener.close();
    }
  });
});

describe("the generator against a server that is wrong", () => {
  const STATUS_200 = [new HeaderField(":status", "200")];
  const status = (code: string) => [new HeaderField("grpc-status", code)];

  it.each<[string, (stream: Stream) => void, RegExp]>([
    [
      "fails the call",
      (stream) => stream.sendHeaders([...STATUS_200, ...status("14")], true),
      /^grpc-status 14/,
    ],
    [
      "leaves the message out",
      (stream) => {
        stream.sendHeaders(STATUS_200, false);
        stream.sendTrailers(status("0"));
      },
      /^0 reply bytes instead of 37/,
    ],
    [
      "leaves the trailers out",
      (stream) => {
        stream.sendHeaders(STATUS_200, false);
        stream.sendData(withPrefix(messageOfSize(32)), true);
      },
      /^no trailers/,
    ],
    [
      "sends no status",
      (stream) => {
        stream.sendHeaders(STATUS_200, false);
        stream.sendTrailers([new HeaderField("x-other", "1")]);
      },
      /^grpc-status missing/,
    ],
    [
      "answers HTTP 502",
      (stream) => {
        stream.sendHeaders([new HeaderField(":status", "502")], false);
      },
      /^HTTP status 502/,
    ],
    ["resets the stream", (stream) => stream.reset(2), /^reset: INTERNAL_ERROR/],
  ])("counts a failure when it %s", async (_, answer, expected) => {
    const listener = await nodeTransport().listen(
      { address: { host: "127.0.0.1", port: 0 } },
      {
        onSession: () => ({
          onStream: (stream) => ({
            onHeaders: () => {},
            onData: (chunk, endStream) => {
              stream.acknowledge(chunk.length);
              if (endStream) answer(stream);
            },
            onTrailers: () => {},
            onWritable: () => {},
            onReset: () => {},
          }),
          onGoAway: () => {},
          onRefused: () => {},
          onClosed: () => {},
        }),
        onError: () => {},
      },
    );
    try {
      if (!("port" in listener.address)) throw new Error("no port");
      const result = await load(listener.address.port, { ...UNARY, connectionCount: 1 });
      expect(result.callCount).toBe(0);
      expect(failureCount(result)).toBeGreaterThan(0);
      expect(Object.keys(result.failures)[0]).toMatch(expected);
    } finally {
      await listener.close();
    }
  });
});

describe("parseH2load()", () => {
  const output = (requests: string, data: number): string => `
finished in 1.50s, 2000.00 req/s, 1.00MB/s
requests: ${requests}
status codes: 3000 2xx, 0 3xx, 0 4xx, 0 5xx
traffic: 1.00MB (1000000) total, 3.00KB (3000) headers (space savings 90.00%), 100.00KB (${data}) data
`;
  const ALL = "3000 total, 3000 started, 3000 done, 3000 succeeded, 0 failed, 0 errored, 0 timeout";

  it("reads calls and rate", () => {
    const result = parseH2load(output(ALL, 3_000 * 37), 32, true);
    expect(result).toMatchObject({ callCount: 3_000, failures: {} });
    expect(result.elapsedMs).toBeCloseTo(1_500);
  });

  it("takes replies without their message for failures, although h2load does not", () => {
    expect(failureCount(parseH2load(output(ALL, 0), 32, true))).toBe(1);
  });

  it.each([
    "3000 total, 3000 started, 3000 done, 2990 succeeded, 10 failed, 0 errored, 0 timeout",
    "3000 total, 3000 started, 2990 done, 2990 succeeded, 0 failed, 10 errored, 0 timeout",
  ])("counts what h2load calls %s", (requests) => {
    expect(failureCount(parseH2load(output(requests, 2_990 * 37), 32, true))).toBe(10);
  });

  it("throws when the output is something else", () => {
    expect(() => parseH2load("usage: h2load", 32, true)).toThrow(/cannot read the output/);
  });

  it("reads latencies from the log", () => {
    const log = "1700000000000001\t200\t100\n1700000000000002\t200\t300\n";
    expect(latencyOf(log)).toMatchObject({ meanUs: 200, highestUs: 300 });
  });
});
