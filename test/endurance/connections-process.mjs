// A relay in a process of its own. It tells what its connections leave behind: those of clients,
// and those of the targets that it dials. It runs the built package, as users do. Its first
// argument says in JSON which transports it uses, and where the backends are.

import { readdirSync } from "node:fs";
import { dial, Server, StreamParameters, transparentHandler } from "../../dist/index.js";
import { systemClock } from "../../dist/time/clock.js";
import { answerParent, commonStats, problems } from "./answering.mjs";

const { server: serverTransport, client: clientTransport, backends } = JSON.parse(process.argv[2]);

process.on("warning", (warning) => problems.push(`warning: ${warning.stack}`));

/** The clock of the process, which knows its timers. */
const timers = new Set();
const clock = {
  nowMs: () => systemClock.nowMs(),
  schedule: (timer, delayMs) => {
    timers.add(timer);
    systemClock.schedule(timer, delayMs);
  },
  cancel: (timer) => {
    timers.delete(timer);
    systemClock.cancel(timer);
  },
};

function timerCount() {
  for (const timer of timers) if (!timer.scheduled) timers.delete(timer);
  return timers.size;
}

const conn = dial(backends.plain, { transport: clientTransport, clock });
const server = new Server({
  transport: serverTransport,
  clock,
  unknownServiceHandler: transparentHandler(() => new StreamParameters({ conn })),
});

function stats() {
  return {
    ...commonStats(server, [conn]),
    fileCount: process.platform === "linux" ? readdirSync("/proc/self/fd").length : 0,
    timerCount: timerCount(),
  };
}

async function dialled(target, options, use) {
  const one = dial(target, {
    ...{ transport: clientTransport, clock, ...options },
  });
  one.onState(() => undefined);
  await use(one);
  await one.close();
  if (one.state !== "shutdown") problems.push(`closed, but ${one.state}: ${one.target}`);
}

async function call(one, method = "Echo", options = {}) {
  const stream = one.newStream(`/mix.Plain/${method}`, options);
  stream.sendMessage(Buffer.from("hello")).catch(() => undefined);
  stream.closeSend();
  return stream.trailer();
}

const fails = (promise) =>
  promise.then(
    () => problems.push("a call went well that should have failed"),
    () => undefined,
  );

const { plain, nobody } = backends;
const [, port] = plain.split(":");

/** What a target goes through before it is closed. */
const LIVES = [
  () => dialled(plain, {}, (one) => call(one)),
  () => dialled(plain, {}, () => undefined),
  () => dialled(plain, {}, (one) => one.connect()),
  // A call that is under way at the end.
  () =>
    dialled(plain, {}, async (one) => {
      await one.ready();
      fails(call(one, "Silent"));
    }),
  () => dialled(plain, {}, (one) => one.ping()),
  () => dialled(nobody, {}, (one) => fails(call(one))),
  // Calls and others that wait through a backoff, until the end.
  () =>
    dialled(nobody, {}, async (one) => {
      fails(call(one, "Echo", { waitForReady: true, timeoutMs: 3_600_000 }));
      fails(one.ready());
      await fails(call(one));
    }),
  () => dialled([plain, nobody], { balancing: "roundRobin" }, (one) => call(one)),
  () => dialled([nobody, plain], {}, (one) => call(one)),
  () => dialled(`dns:localhost:${port}`, { balancing: "leastRequest" }, (one) => call(one)),
  () => dialled("unix:/nowhere/at/all", {}, (one) => fails(call(one))),
];
const DIALLED_AT_ONCE = 10;

async function dialMany(count) {
  let next = 0;
  const run = async () => {
    while (next < count) await LIVES[next++ % LIVES.length]();
  };
  await Promise.all(Array.from({ length: DIALLED_AT_ONCE }, run));
}

await answerParent(server, [conn], stats, { dial: dialMany });
