// Connections of clients, and targets that are dialled, leave nothing behind: no socket, no timer,
// no memory.

import { connect, type Socket } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { enduranceCombos } from "../support/combos.ts";
import { frames, headerBlock, message, request } from "../support/frames.ts";
import { holdRefusingPort, type RefusingPort } from "../support/refusing.ts";
import { endingBackend } from "./endings.ts";
import { LeanConnection, type LeanListener, leanServer } from "./lean-peer.ts";
import { type RelayAddress, RelayProcess, type RelayStats } from "./relay-process.ts";

const CONNECTION_COUNT = 10_000;
const TARGET_COUNT = 3_000;
/** Most of the code is compiled then, and tables have their size. */
const WARM_UP_CONNECTIONS = 3_000;
const WARM_UP_TARGETS = 1_000;
const CONNECTIONS_AT_ONCE = 20;
const LIMIT_MS = 120_000;
/** The connection to the backend stands or does not, and has a timer or two. */
const MAX_MORE = 2;
/**
 * V8 goes on compiling: the heap grows by 0.5 to 1.8 MB over 10,000 connections or 3,000 targets,
 * and by 2 MB at most over ten times as many. A target that is held takes 13 KB.
 */
const MAX_HEAP_GROWTH_BYTES = 2_500_000;

const ECHO = headerBlock(request("/mix.Plain/Echo"));
const SILENT = headerBlock(request("/mix.Plain/Silent"));
const BODY = message("hello");

const opened = (address: RelayAddress): Promise<Socket> =>
  new Promise((resolve, reject) => {
    const socket = connect(address);
    socket.once("error", reject);
    socket.once("connect", () => {
      socket.off("error", reject);
      socket.on("error", () => undefined);
      socket.resume();
      resolve(socket);
    });
  });

const closed = (socket: Socket): Promise<void> =>
  new Promise((resolve) => {
    if (socket.closed) resolve();
    else socket.once("close", () => resolve());
  });

/** Says something that is no HTTP/2, or nothing, and goes. */
async function says(address: RelayAddress, bytes: Buffer | string): Promise<void> {
  const socket = await opened(address);
  socket.end(bytes);
  await closed(socket);
}

/** Makes a call, which the backend answers unless it is silent, and then goes by `leave`. */
async function calls(
  address: RelayAddress,
  block: Buffer,
  leave: (socket: Socket) => void,
): Promise<void> {
  let answer: () => void = () => undefined;
  const answered = new Promise<void>((resolve) => {
    answer = resolve;
  });
  const listener: LeanListener = {
    onHeaders: (_stream, _fields, endStream) => {
      if (endStream) answer();
    },
  };
  const connection = await LeanConnection.connect(address, listener);
  const stream = connection.open(block);
  connection.sendData(stream, BODY, true);
  if (block === SILENT) setImmediate(answer);
  await answered;
  leave(connection.socket);
  await closed(connection.socket);
}

/** How a connection of a client may go. */
const LIVES: readonly ((address: RelayAddress) => Promise<void>)[] = [
  (address) => calls(address, ECHO, (socket) => socket.end()),
  (address) => calls(address, ECHO, (socket) => socket.end(frames.goaway(0, 0).bytes())),
  (address) => calls(address, ECHO, (socket) => socket.destroy()),
  (address) => calls(address, ECHO, (socket) => socket.resetAndDestroy()),
  (address) => calls(address, SILENT, (socket) => socket.end()),
  (address) => calls(address, SILENT, (socket) => socket.resetAndDestroy()),
  (address) => says(address, ""),
  (address) => says(address, frames.preface().subarray(0, 10)),
  (address) => says(address, Buffer.concat([frames.preface(), frames.settings({}).bytes()])),
  (address) => says(address, "GET / HTTP/1.1\r\nhost: a\r\n\r\n"),
  (address) => says(address, Buffer.concat([frames.preface(), Buffer.alloc(100, 0xff)])),
];

async function connectMany(address: RelayAddress, count: number): Promise<void> {
  let next = 0;
  const run = async (): Promise<void> => {
    while (next < count) await LIVES[next++ % LIVES.length]!(address);
  };
  await Promise.all(Array.from({ length: CONNECTIONS_AT_ONCE }, run));
}

/** What the relay holds when its clients are gone. */
async function collectIdle(relay: RelayProcess): Promise<RelayStats> {
  const goneMs = performance.now() + 5_000;
  for (;;) {
    const { openCallCount, sessionCount, openStreamCount } = await relay.ask("stats");
    if (openCallCount + sessionCount + openStreamCount === 0) break;
    if (performance.now() > goneMs) break;
  }
  return relay.ask("collect");
}

function expectNothingLeft(before: RelayStats, after: RelayStats): void {
  const { heapUsedBytes, externalBytes, fileCount, timerCount, resources } = after;
  expect(after).toMatchObject({ openCallCount: 0, sessionCount: 0, openStreamCount: 0 });
  expect(after.problems).toEqual([]);
  expect(resources.length - before.resources.length).toBeLessThanOrEqual(MAX_MORE);
  expect(fileCount - before.fileCount).toBeLessThanOrEqual(MAX_MORE);
  expect(timerCount - before.timerCount).toBeLessThanOrEqual(MAX_MORE);
  expect(heapUsedBytes - before.heapUsedBytes).toBeLessThan(MAX_HEAP_GROWTH_BYTES);
  expect(externalBytes - before.externalBytes).toBeLessThan(MAX_HEAP_GROWTH_BYTES);
}

describe.each(enduranceCombos)("a relay, $server $client,", (combo) => {
  let backend: { readonly target: string; readonly close: () => void };
  let nobody: RefusingPort;
  let relay: RelayProcess;

  beforeAll(async () => {
    nobody = await holdRefusingPort();
    backend = await leanServer(endingBackend("plain"));
    const backends = { plain: backend.target, nobody: `127.0.0.1:${nobody.port}` };
    relay = await RelayProcess.start(combo, backends, ["--expose-gc"], "connections-process.mjs");
  });

  afterAll(async () => {
    expect(await relay.close()).toBe(0);
    backend.close();
    nobody.release();
  });

  it(
    "holds nothing of connections that were opened and closed, however they went",
    async () => {
      await connectMany(relay.address, WARM_UP_CONNECTIONS);
      const before = await collectIdle(relay);
      await connectMany(relay.address, CONNECTION_COUNT);
      const after = await collectIdle(relay);
      expectNothingLeft(before, after);
    },
    LIMIT_MS,
  );

  it(
    "holds nothing of targets that were dialled and closed, whatever they were at",
    async () => {
      await relay.ask("dial", WARM_UP_TARGETS);
      const before = await collectIdle(relay);
      await relay.ask("dial", TARGET_COUNT);
      const after = await collectIdle(relay);
      expectNothingLeft(before, after);
    },
    LIMIT_MS,
  );
});
