// A relay in a process of its own, so that its memory can be measured. It runs the built package,
// as users do, and answers its parent's questions. Its first argument says in JSON which transports
// it uses, and where the backends are.

import { dial, Server, StreamParameters, transparentHandler } from "../../dist/index.js";
import { answerParent, commonStats, problems } from "./answering.mjs";

const { server: serverTransport, client: clientTransport, backends } = JSON.parse(process.argv[2]);

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
const all = Object.values(conns);
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
  const common = commonStats(server, all);
  peakRssBytes = Math.max(peakRssBytes, common.rssBytes);
  return { ...common, peakRssBytes, finalizedCount };
}

function resetPeak() {
  peakRssBytes = 0;
}

await answerParent(server, all, stats, { resetPeak });
