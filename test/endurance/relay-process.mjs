// A relay in a process of its own, so that its memory can be measured. It runs the built package,
// as users do, and answers its parent's questions. Its first argument says in JSON which transports
// it uses, and where the backends are.

import { dial, Server, StreamParameters, transparentHandler } from "../../dist/index.js";

const { server: serverTransport, client: clientTransport, backends } = JSON.parse(process.argv[2]);

/** What must not happen in this process, as text. */
const problems = [];
process.on("uncaughtException", (error) => problems.push(`uncaught: ${error.stack}`));
process.on("unhandledRejection", (error) => problems.push(`unhandled: ${error?.stack ?? error}`));
// What `Refuse` throws is warned of, once.
let refusals = 0;
process.on("warning", (warning) => {
  if (warning.cause?.message === "refused" && refusals++ === 0) return;
  problems.push(`warning: ${warning.stack}`);
});

const conns = Object.fromEntries(
  Object.entries(backends).map(([name, target]) => [
    name,
    dial(target, { transport: clientTransport, backoff: { initialMs: 50, maxMs: 50 } }),
  ]),
);
const { plain, mortal, other } = conns;
const swallow = () => undefined;
let finalizedCount = 0;

/** By service: the last part of its name says how the call is directed. */
const DIRECTORS = {
  Plain: () => new StreamParameters({ conn: plain }),
  Mortal: () => new StreamParameters({ conn: mortal }),
  Peek: async (_ctx, _method, peeker) => {
    const message = await peeker.peek();
    return new StreamParameters({ conn: plain, message });
  },
  FanOut: () =>
    new StreamParameters(
      { conn: plain },
      [
        { conn: mortal, onError: swallow },
        { conn: other, onError: swallow },
      ],
      async () => {
        finalizedCount++;
      },
    ),
  Refuse: () => {
    throw new Error("refused");
  },
};

const server = new Server({
  transport: serverTransport,
  unknownServiceHandler: transparentHandler(
    (ctx, method, peeker) => {
      const service = method.slice(method.indexOf(".") + 1, method.lastIndexOf("/"));
      return DIRECTORS[service](ctx, method, peeker);
    },
    { maxPeekBytes: 1_024 },
  ),
});

let peakRssBytes = 0;
// How the peak is watched; it is no part of the relay and keeps nothing alive.
setInterval(() => {
  peakRssBytes = Math.max(peakRssBytes, process.memoryUsage.rss());
}, 20).unref();

function stats() {
  const { rss, heapUsed, external } = process.memoryUsage();
  peakRssBytes = Math.max(peakRssBytes, rss);
  const all = Object.values(conns);
  return {
    rssBytes: rss,
    peakRssBytes,
    heapUsedBytes: heapUsed,
    externalBytes: external,
    openCallCount: server.openCallCount,
    sessionCount: server.sessionCount,
    openStreamCount: all.reduce((sum, conn) => sum + conn.openStreamCount, 0),
    waitingCount: all.reduce((sum, conn) => sum + conn.waitingCount, 0),
    finalizedCount,
    resources: process.getActiveResourcesInfo(),
    problems,
  };
}

let closing = false;
// An orphan has nobody to ask it; a relay that was closed has to end by itself.
process.on("disconnect", () => {
  if (!closing) process.exit();
});

const COMMANDS = {
  stats,
  /** With --expose-gc: what is left is what is held. */
  collect: async () => {
    for (let i = 0; i < 4; i++) {
      globalThis.gc();
      await new Promise((resolve) => setImmediate(resolve));
    }
    return stats();
  },
  resetPeak: () => {
    peakRssBytes = 0;
    return stats();
  },
  /** Ends in order: nothing may be left that keeps the process alive. */
  close: async () => {
    closing = true;
    await server.close(1_000);
    await Promise.all(Object.values(conns).map((conn) => conn.close()));
    setImmediate(() => process.disconnect());
    return stats();
  },
};

process.on("message", async ({ id, command }) => {
  process.send({ id, answer: await COMMANDS[command]() });
});

const { address } = await server.listen("127.0.0.1:0");
process.send({ id: 0, answer: address });
