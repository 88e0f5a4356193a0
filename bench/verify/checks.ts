// The checks that come before a subject is timed. If a required check fails, the subject has
// failed. The others are duties of a gRPC proxy that known programs neglect. Their failures are
// reported as defects beside the figures.

import { randomUUID } from "node:crypto";
import { decodeMessage, encodeMessage, messageOfSize } from "../backends/message.ts";
import {
  type CallReport,
  ECHO_INITIAL,
  ECHO_TRAILING,
  FAIL_WITH,
  FAILURE_DETAILS_ENCODED,
  parseCallReport,
  TOKEN,
} from "../backends/service.ts";
import { CheckFailure, type Probe, type ProbeCall } from "./probe.ts";

export interface CheckSurroundings {
  readonly subject: Probe;
  /** A connection straight to the backend, for its view of a call. */
  readonly backend: Probe;
  /** How long the backend may take to notice an action of the client. */
  readonly limitMs: number;
}

export interface Check {
  readonly id: string;
  readonly required: boolean;
  run(surroundings: CheckSurroundings): Promise<void>;
}

const LARGE_BYTES = 1_048_576;
const STREAM_LENGTH = 100;
/**
 * Limits for a client that does not read: so much is offered, and so much may be taken from the
 * backend meanwhile.
 */
const FLOOD_MESSAGE_BYTES = 65_536;
const FLOOD_COUNT = 640;
const FLOOD_LIMIT_BYTES = 24 * 1_048_576;
const SETTLE_MS = 50;

function expectSame(what: string, got: unknown, expected: unknown): void {
  if (got !== expected) throw new CheckFailure(`${what}: expected ${expected}, got ${got}`);
}

function expectMessage(what: string, got: Buffer | undefined, expected: Buffer): void {
  if (got === undefined) throw new CheckFailure(`${what}: missing`);
  if (!got.equals(expected)) throw new CheckFailure(`${what}: ${got.length} bytes, not those sent`);
}

async function expectOk(call: ProbeCall): Promise<void> {
  const { code, message } = await call.status();
  expectSame("grpc-status", code, "0");
  if (message !== undefined && message !== "" && message !== "OK") {
    throw new CheckFailure(`grpc-message ${message} on success`);
  }
}

function valuesOf(call: ProbeCall, where: "headers" | "trailers", name: string): string[] {
  // A hop may join duplicates with a comma (gRPC PROTOCOL-HTTP2 "Custom-Metadata").
  return (call[where] ?? [])
    .filter((field) => field.name === name)
    .flatMap((field) => field.value.split(/,\s*/));
}

async function unaryEcho({ subject }: CheckSurroundings): Promise<void> {
  for (const bytes of [0, 32, LARGE_BYTES]) {
    const message = messageOfSize(bytes);
    const call = subject.call("Unary").send(message).halfClose();
    await expectOk(call);
    expectSame(
      "HTTP status",
      call.headers?.find((field) => field.name === ":status")?.value,
      "200",
    );
    expectSame("messages", call.messages.length, 1);
    expectMessage(`message of ${bytes} bytes`, call.messages[0], message);
  }
}

async function metadataBothWays({ subject }: CheckSurroundings): Promise<void> {
  const call = subject
    .call("Unary", [
      [ECHO_INITIAL, "first value"],
      [ECHO_TRAILING, "AAH+/w"],
      [ECHO_TRAILING, "qrvM"],
    ])
    .send(messageOfSize(32))
    .halfClose();
  await expectOk(call);
  expectSame("header", valuesOf(call, "headers", ECHO_INITIAL).join("|"), "first value");
  const trailing = valuesOf(call, "trailers", ECHO_TRAILING);
  const bytes = trailing.map((value) => Buffer.from(value, "base64").toString("hex"));
  expectSame("binary trailers", bytes.join("|"), "0001feff|aabbcc");
}

async function failingStatus({ subject }: CheckSurroundings): Promise<void> {
  const call = subject
    .call("Unary", [[FAIL_WITH, "9"]])
    .send(messageOfSize(32))
    .halfClose();
  const { code, message } = await call.status();
  expectSame("grpc-status", code, "9");
  // Hex digits of a percent-encoding have no case (RFC 3986 §2.1).
  expectSame(
    "grpc-message",
    decodeURIComponent(message ?? ""),
    decodeURIComponent(FAILURE_DETAILS_ENCODED),
  );
  expectSame("messages of a failed call", call.messages.length, 0);
}

async function serverStream({ subject }: CheckSurroundings): Promise<void> {
  const request = encodeMessage({ replyCount: STREAM_LENGTH, replyBytes: 1_000 });
  const call = subject.call("ServerStream").send(request).halfClose();
  await expectOk(call);
  const expected = messageOfSize(1_000);
  const { messages } = call;
  expectSame("messages", messages.length, STREAM_LENGTH);
  for (const message of messages) expectMessage("streamed message", message, expected);
}

async function clientStream({ subject }: CheckSurroundings): Promise<void> {
  const call = subject.call("ClientStream");
  const message = messageOfSize(1_000);
  for (let i = 0; i < STREAM_LENGTH; i++) call.send(message);
  call.halfClose();
  await expectOk(call);
  const [reply] = call.messages;
  if (reply === undefined) throw new CheckFailure("no reply to a client stream");
  expectSame("messages that arrived", decodeMessage(reply).replyCount, STREAM_LENGTH);
}

/**
 * Each message is sent when the echo of the one before has arrived. A proxy that collects a stream
 * first never answers.
 */
async function pingPong({ subject }: CheckSurroundings): Promise<void> {
  const call = subject.call("Bidi");
  for (let i = 1; i <= 5; i++) {
    const message = messageOfSize(31 + i);
    call.send(message);
    await call.until(`echo of message ${i} of an open stream`, () => {
      if (call.over) throw new CheckFailure(`the stream ended before the echo of message ${i}`);
      return call.messages.length === i;
    });
    expectMessage(`echo ${i}`, call.messages[i - 1], message);
  }
  call.halfClose();
  await expectOk(call);
}

async function stateOf(backend: Probe, token: string): Promise<CallReport> {
  const question = encodeMessage({ payload: Buffer.from(token) });
  const call = backend.call("CallState").send(question).halfClose();
  await expectOk(call);
  return parseCallReport(decodeMessage(call.messages[0] ?? Buffer.alloc(0)).payload);
}

/** Asks until the backend has seen the call end one way or the other. */
async function settledState(
  { backend, limitMs }: CheckSurroundings,
  token: string,
): Promise<CallReport> {
  const deadlineMs = performance.now() + limitMs;
  for (;;) {
    const state = await stateOf(backend, token);
    if (state.outcome !== "open" || performance.now() > deadlineMs) return state;
    await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
  }
}

/** A cancelled download: the backend must be told, or it works on for nobody. */
async function cancelDownload(surroundings: CheckSurroundings): Promise<void> {
  const token = randomUUID();
  const request = encodeMessage({ replyCount: FLOOD_COUNT, replyBytes: FLOOD_MESSAGE_BYTES });
  const call = surroundings.subject.call("ServerStream", [[TOKEN, token]]);
  call.reading = false;
  call.send(request).halfClose();
  await call.until("first bytes of a stream", () => call.receivedBytes > 0);
  call.cancel();
  const { outcome } = await settledState(surroundings, token);
  expectSame("outcome of a cancelled download, at the backend", outcome, "cancelled");
}

/**
 * A cancelled upload must not look complete: a backend might act on half of it (contract:
 * RST_STREAM, no END_STREAM).
 */
async function cancelUpload(surroundings: CheckSurroundings): Promise<void> {
  const token = randomUUID();
  const call = surroundings.subject.call("Bidi", [[TOKEN, token]]).send(messageOfSize(32));
  await call.until("echo of an open stream", () => call.messages.length === 1);
  // The reset comes in a turn of its own: node:http2 ends a stream before it resets it when both
  // fall into one read.
  await new Promise((resolve) => setImmediate(resolve));
  call.cancel();
  const { outcome, halfClosed } = await settledState(surroundings, token);
  if (halfClosed)
    throw new CheckFailure("a cancelled upload reached the backend as a complete one");
  expectSame("outcome of a cancelled upload, at the backend", outcome, "cancelled");
}

/**
 * A client that does not read stops the backend; when it reads on, every byte comes, and the status
 * after them.
 */
async function slowReader(surroundings: CheckSurroundings): Promise<void> {
  const token = randomUUID();
  const request = encodeMessage({ replyCount: FLOOD_COUNT, replyBytes: FLOOD_MESSAGE_BYTES });
  const call = surroundings.subject.call("ServerStream", [[TOKEN, token]]);
  call.reading = false;
  call.send(request).halfClose();
  await call.until("first bytes of a stream", () => call.receivedBytes > 0);
  let sentBytes = -1;
  for (;;) {
    const state = await stateOf(surroundings.backend, token);
    if (state.sentBytes > FLOOD_LIMIT_BYTES) {
      call.cancel();
      const took = `${Math.round(state.sentBytes / 1_048_576)} MiB`;
      throw new CheckFailure(`${took} were taken from the backend for a client that does not read`);
    }
    if (state.sentBytes === sentBytes) break;
    sentBytes = state.sentBytes;
    await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
  }
  call.readOn();
  await expectOk(call);
  expectSame("messages after a pause", call.messages.length, FLOOD_COUNT);
}

export const CHECKS: readonly Check[] = [
  { id: "unary echo, payload and status", required: true, run: unaryEcho },
  { id: "metadata and binary trailers", required: true, run: metadataBothWays },
  { id: "failing status with its message", required: true, run: failingStatus },
  { id: "server stream", required: true, run: serverStream },
  { id: "client stream", required: true, run: clientStream },
  { id: "ping-pong on an open stream", required: true, run: pingPong },
  { id: "cancelled download reaches the backend", required: true, run: cancelDownload },
  { id: "cancelled upload does not look complete", required: false, run: cancelUpload },
  { id: "a client that does not read stops the backend", required: false, run: slowReader },
];
