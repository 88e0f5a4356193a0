// The calls that `grpc-relay demo` makes, and how long they take.

import {
  type ClientConn,
  type ClientStream,
  GrpcError,
  type Metadata,
  statusName,
} from "../index.ts";
import { DEMO_SERVICE, textCodec } from "./demo-backend.ts";
import { median } from "./table.ts";

export interface DemoCall {
  readonly method: string;
  readonly kind: "unary" | "server stream" | "client stream" | "bidi stream";
  readonly requests: readonly string[];
}

export const DEMO_CALLS: readonly DemoCall[] = [
  { method: "Upper", kind: "unary", requests: ["hello"] },
  { method: "Letters", kind: "server stream", requests: ["relay"] },
  { method: "Join", kind: "client stream", requests: ["one", "two", "three"] },
  { method: "Echo", kind: "bidi stream", requests: ["ping", "pong", "ping", "pong"] },
  { method: "Refuse", kind: "unary", requests: ["please"] },
  { method: "Missing", kind: "unary", requests: ["anybody there?"] },
];

/** A call as its client saw it. */
export interface Seen {
  readonly status: string;
  readonly responses: readonly string[];
  readonly header: Metadata;
  readonly trailer: Metadata;
}

const TIMEOUT_MS = 5_000;

export async function makeCall(conn: ClientConn, call: DemoCall): Promise<Seen> {
  const stream = conn.newStream<string, string>(`/${DEMO_SERVICE}/${call.method}`, {
    codec: textCodec,
    timeoutMs: TIMEOUT_MS,
  });
  const responses: string[] = [];
  let status = "OK";
  let trailer: Metadata;
  try {
    await exchange(stream, call, responses);
    trailer = await stream.trailer();
  } catch (error) {
    if (!(error instanceof GrpcError)) throw error;
    status = statusName(error.status);
    trailer = error.metadata;
  }
  return { status, responses, header: await stream.header(), trailer };
}

async function exchange(
  stream: ClientStream<string, string>,
  call: DemoCall,
  responses: string[],
): Promise<void> {
  for (const request of call.requests) {
    await stream.sendMessage(request);
    // A bidi call takes turns: each answer is here before the next question goes.
    if (call.kind !== "bidi stream") continue;
    const response = await stream.recvMessage();
    if (response !== undefined) responses.push(response);
  }
  stream.closeSend();
  for await (const response of stream) responses.push(response);
}

/**
 * How much longer a call takes through the proxy, in milliseconds: the median with it minus the
 * median without, taken in turns so that both see the same machine.
 */
export async function addedLatencyMs(
  proxied: ClientConn,
  direct: ClientConn,
  call: DemoCall,
  rounds: number,
): Promise<number> {
  const withProxy: number[] = [];
  const without: number[] = [];
  for (let round = 0; round < rounds; round++) {
    withProxy.push(await timeMs(() => makeCall(proxied, call)));
    without.push(await timeMs(() => makeCall(direct, call)));
  }
  return median(withProxy) - median(without);
}

async function timeMs(work: () => Promise<unknown>): Promise<number> {
  const startMs = performance.now();
  await work();
  return performance.now() - startMs;
}
