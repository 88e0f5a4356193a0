// A relay in a process of its own: the built package with its defaults, as users run it. It counts
// its own CPU time per turn of the event loop. Calls of `x.Plain` go to the honest backend, and
// calls of `x.Hostile` to the other one.

import { subscribe } from "node:diagnostics_channel";
import { dial, Server, StreamParameters, transparentHandler } from "../../dist/index.js";

const { server: serverTransport, client: clientTransport, backends } = JSON.parse(process.argv[2]);

/** What must not happen in this process, as text. */
const problems = [];
process.on("uncaughtException", (error) => problems.push(`uncaught: ${error.stack}`));
process.on("unhandledRejection", (error) => problems.push(`unhandled: ${error?.stack ?? error}`));
process.on("warning", (warning) => problems.push(`warning: ${warning.stack}`));

/** How often each limit was reached, and each rule without a limit was broken. */
let refusals = {};
subscribe("grpc-relay:refused", ({ limit, rule }) => {
  const name = limit?.name ?? rule.replaceAll(/\d+/g, "#");
  refusals[name] = (refusals[name] ?? 0) + 1;
});

const backoff = { initialMs: 10, maxMs: 10 };
const plain = dial(backends.plain, { transport: clientTransport });
const hostile = dial(backends.hostile, { transport: clientTransport, backoff });

const server = new Server({
  transport: serverTransport,
  unknownServiceHandler: transparentHandler(
    (_ctx, method) => new StreamParameters({ conn: method.startsWith("/x.H") ? hostile : plain }),
  ),
});

let longestTurnUs = 0;
let peakRssBytes = 0;

/** CPU time of the event loop's thread, where Node tells; elsewhere of all threads. */
function cpuUs() {
  const { user, system } = (process.threadCpuUsage ?? process.cpuUsage)();
  return user + system;
}

// An immediate that is not referenced runs once in each turn, and lets the loop wait for events.
let lastUs = cpuUs();
function endTurn() {
  const nowUs = cpuUs();
  longestTurnUs = Math.max(longestTurnUs, nowUs - lastUs);
  lastUs = nowUs;
  setImmediate(endTurn).unref();
}
endTurn();

function noteRss() {
  peakRssBytes = Math.max(peakRssBytes, process.memoryUsage.rss());
}
setInterval(noteRss, 20).unref();

const COMMANDS = {
  /** Forgets the peaks so far. */
  begin: () => {
    longestTurnUs = 0;
    peakRssBytes = 0;
    refusals = {};
    noteRss();
    return { rssBytes: peakRssBytes };
  },
  end: () => {
    noteRss();
    return {
      longestTurnMs: longestTurnUs / 1_000,
      peakRssBytes,
      refusals,
      cpuMs: cpuUs() / 1_000,
      openCallCount: server.openCallCount,
      waitingCount: plain.waitingCount + hostile.waitingCount,
      problems,
    };
  },
};

process.on("message", ({ id, command }) => process.send({ id, answer: COMMANDS[command]() }));
process.on("disconnect", () => process.exit());

const { address } = await server.listen("127.0.0.1:0");
process.send({ id: 0, answer: address });
