// CPU time per call of the engine transport alone, driven by h2load. The subject is an echo server.
// With `relay` it is a bare relay to an echo server in another process: both legs, no director.
//
//   node .build/bench/micro/engine-echo.js [echo|relay] [calls] [connections] [streams] [bytes]

import { type ChildProcess, fork, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { engineTransport } from "../../src/transport/engine/index.ts";
import type {
  ClientSession,
  ServerSessionListener,
  Session,
  Stream,
  StreamEnd,
  StreamListener,
} from "../../src/transport/transport.ts";
import { HeaderField, type HeaderList } from "../../src/wire/field.ts";
import type { LentBytes } from "../../src/wire/lent-bytes.ts";

const RESPONSE: HeaderList = [
  new HeaderField(":status", "200"),
  new HeaderField("content-type", "application/grpc"),
];
const TRAILERS: HeaderList = [new HeaderField("grpc-status", "0")];

class EchoStream implements StreamListener {
  readonly stream: Stream;
  ended = false;
  owedBytes = 0;

  constructor(stream: Stream) {
    this.stream = stream;
    stream.sendHeaders(RESPONSE, false);
  }
  onHeaders(): void {}
  onData(chunk: LentBytes, endStream: boolean): void {
    if (chunk.length > 0) {
      const sent = this.stream.sendData(chunk, false);
      if (sent > 0) this.stream.acknowledge(sent);
      this.owedBytes += chunk.length - sent;
    }
    if (endStream) this.onTrailers();
  }
  onTrailers(): void {
    this.stream.sendTrailers(TRAILERS);
  }
  onWritable(bytes: number): void {
    this.stream.acknowledge(bytes);
  }
  onReset(): void {}
}

class EchoSession implements ServerSessionListener {
  onStream(stream: Stream): StreamListener {
    return new EchoStream(stream);
  }
  onGoAway(): void {}
  onRefused(): void {}
  onClosed(): void {}
}

/** One direction is the listener of its own side and writes to the other's stream. */
class RelayLeg implements StreamListener {
  other: Stream | undefined;
  own: Stream | undefined;

  onHeaders(headers: HeaderList, endStream: boolean): void {
    this.other?.sendHeaders(headers, endStream);
  }
  onData(chunk: LentBytes, endStream: boolean): void {
    const sent = this.other?.sendData(chunk, endStream) ?? 0;
    if (sent > 0) this.own?.acknowledge(sent);
  }
  onTrailers(trailers: HeaderList): void {
    this.other?.sendTrailers(trailers);
  }
  /**
   * Bytes that this side had queued have left; they came from the other side, which gets credit.
   */
  onWritable(bytes: number): void {
    this.other?.acknowledge(bytes);
  }
  onReset(end: StreamEnd): void {
    this.other?.reset(end.code);
  }
}

class RelaySession implements ServerSessionListener {
  readonly upstream: ClientSession;
  constructor(upstream: ClientSession) {
    this.upstream = upstream;
  }
  onStream(stream: Stream, headers: HeaderList, endStream: boolean): StreamListener {
    const down = new RelayLeg();
    const up = new RelayLeg();
    const upStream = this.upstream.openStream(headers, endStream, up);
    down.own = stream;
    down.other = upStream;
    up.own = upStream;
    up.other = stream;
    return down;
  }
  onGoAway(): void {}
  onRefused(): void {}
  onClosed(): void {}
}

async function listen(accept: (session: Session) => ServerSessionListener): Promise<number> {
  const listener = await engineTransport().listen(
    { address: { host: "127.0.0.1", port: 0 }, maxConcurrentStreams: 10_000 },
    { onSession: accept, onError: (error) => console.error(error) },
  );
  return "port" in listener.address ? listener.address.port : 0;
}

function connect(port: number): Promise<ClientSession> {
  return new Promise((resolve, reject) => {
    const session = engineTransport().connect(
      { address: { host: "127.0.0.1", port } },
      {
        onAvailable: () => resolve(session),
        onGoAway() {},
        onRefused() {},
        onClosed: (end) => reject(new Error(end.message)),
      },
    );
  });
}

function startBackend(): Promise<{ child: ChildProcess; port: number }> {
  const child = fork(fileURLToPath(import.meta.url), ["backend"], { execArgv: [] });
  return new Promise((resolve) => {
    child.once("message", (port) => resolve({ child, port: Number(port) }));
  });
}

function runLoad(port: number, [calls, connections, streams, bytes]: number[]): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), "engine-echo-"));
  const body = join(folder, "body.bin");
  writeFileSync(body, Buffer.alloc(bytes ?? 37));
  const load = spawn("h2load", [
    ...["-n", `${calls}`, "-c", `${connections}`, "-m", `${streams}`, "-w", "20", "-W", "24"],
    ...["-d", body, "-H", "content-type: application/grpc", "-H", "te: trailers"],
    `http://127.0.0.1:${port}/bench.Echo/Unary`,
  ]);
  let output = "";
  load.stdout.on("data", (text) => {
    output += text;
  });
  return new Promise((resolve) => {
    load.once("close", () => {
      rmSync(folder, { recursive: true });
      resolve(output);
    });
  });
}

const [mode = "echo", ...numbers] = process.argv.slice(2);
if (mode === "backend") {
  process.send?.(await listen(() => new EchoSession()));
} else {
  const [calls = 200_000, connections = 8, streams = 32, bytes = 37] = numbers.map(Number);
  let backend: ChildProcess | undefined;
  let port: number;
  if (mode === "relay") {
    const started = await startBackend();
    backend = started.child;
    const upstream = await connect(started.port);
    port = await listen(() => new RelaySession(upstream));
  } else {
    port = await listen(() => new EchoSession());
  }
  await runLoad(port, [Math.ceil(calls / 10), connections, streams, bytes]);
  const before = process.cpuUsage();
  const output = await runLoad(port, [calls, connections, streams, bytes]);
  const { user, system } = process.cpuUsage(before);
  const perCall = (us: number): string => (us / calls).toFixed(2);
  console.log(output.match(/finished in.*|requests: .*|time for request.*/g)?.join("\n"));
  console.log(
    `CPU us/call ${perCall(user + system)} (user ${perCall(user)}, system ${perCall(system)})`,
  );
  backend?.kill();
  process.exit(0);
}
