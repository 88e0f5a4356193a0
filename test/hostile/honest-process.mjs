// The honest backend and the honest client in a process of their own. They are bare node:http2,
// which shares nothing with the relay. The client makes one call after the other, with a pause
// between them.

import { connect, createServer } from "node:http2";

const PAUSE_MS = 5;
const DEADLINE_MS = 10_000;
const MESSAGE = Buffer.concat([Buffer.from([0, 0, 0, 0, 32]), Buffer.alloc(32, "h")]);
const REQUEST = {
  ":method": "POST",
  ":path": "/x.Plain/Echo",
  te: "trailers",
  "content-type": "application/grpc",
};

const server = createServer();
server.on("stream", (stream) => {
  stream.on("error", () => {});
  stream.respond({ "content-type": "application/grpc" }, { waitForTrailers: true });
  stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
  stream.on("data", (chunk) => stream.write(chunk));
  stream.on("end", () => stream.end());
});

let session;
let isRunning = false;
let finished = Promise.resolve();
let latenciesMs = [];
let failures = [];

/** One call; resolves to why it failed, or to nothing. */
function call() {
  return new Promise((resolve) => {
    const stream = session.request(REQUEST);
    const timer = setTimeout(() => resolve(`no end within ${DEADLINE_MS} ms`), DEADLINE_MS);
    let status;
    let byteCount = 0;
    const end = (problem) => {
      clearTimeout(timer);
      resolve(problem);
    };
    stream.on("response", (headers) => {
      status = headers["grpc-status"];
    });
    stream.on("trailers", (trailers) => {
      status = trailers["grpc-status"];
    });
    stream.on("data", (chunk) => {
      byteCount += chunk.length;
    });
    stream.on("error", (error) => end(error.message));
    stream.on("close", () => {
      const isWhole = status === "0" && byteCount === MESSAGE.length;
      end(isWhole ? undefined : `status ${status}, ${byteCount} bytes`);
    });
    stream.end(MESSAGE);
  });
}

async function run() {
  while (isRunning) {
    const began = performance.now();
    const problem = await call();
    if (problem === undefined) latenciesMs.push(performance.now() - began);
    else failures.push(problem);
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
}

const COMMANDS = {
  connect: async ({ host, port }) => {
    session = connect(`http://${host}:${port}`);
    session.on("error", (error) => failures.push(`session: ${error.message}`));
    await new Promise((resolve) => session.once("remoteSettings", resolve));
  },
  begin: () => {
    latenciesMs = [];
    failures = [];
    isRunning = true;
    finished = run();
  },
  end: async () => {
    isRunning = false;
    await finished;
    const sorted = latenciesMs.sort((a, b) => a - b);
    const at = (share) => sorted[Math.floor(sorted.length * share)];
    return { callCount: sorted.length, p50Ms: at(0.5), maxMs: sorted.at(-1), failures };
  },
  disconnect: () => {
    session.removeAllListeners("error");
    session.on("error", () => {});
    session.destroy();
  },
};

process.on("message", async ({ id, command, argument }) => {
  process.send({ id, answer: await COMMANDS[command](argument) });
});
process.on("disconnect", () => process.exit());
server.listen(0, "127.0.0.1", () => {
  process.send({ id: 0, answer: `127.0.0.1:${server.address().port}` });
});
