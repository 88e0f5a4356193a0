// `grpc-relay demo`: backends, a proxy and a client in one process, and a table of what went
// through.

import {
  type CallResult,
  type ClientConn,
  dial,
  type Metadata,
  Server,
  type StreamDirector,
  StreamParameters,
  statusName,
  transparentHandler,
} from "../index.ts";
import { formatAddress, parseAddress } from "../transport/address.ts";
import { checkFlag, EXIT_OK } from "./command-error.ts";
import { createDemoBackend, DEMO_SERVICE, PEEKED_HEADER } from "./demo-backend.ts";
import { addedLatencyMs, DEMO_CALLS, type DemoCall, makeCall, type Seen } from "./demo-calls.ts";
import type { Flag, GivenFlags } from "./flags.ts";
import { listen } from "./listen.ts";
import { type Closable, closeAll, SignalWatch } from "./shutdown.ts";
import { formatTable } from "./table.ts";
import type { Terminal } from "./terminal.ts";

const DEFAULT_LISTEN = "127.0.0.1:0";
const ANY_PORT = { host: "127.0.0.1", port: 0 };
/**
 * Calls before the clock counts: the first ones pay for connecting and for code that is not
 * compiled yet.
 */
const WARM_UP_ROUNDS = 20;
const TIMED_ROUNDS = 41;
const GRACE_MS = 2_000;

export const demoFlags: readonly Flag[] = [
  { name: "once", text: "end after the table" },
  {
    name: "listen",
    value: "ADDRESS",
    text: `where the proxy takes calls (default ${DEFAULT_LISTEN}: any free port)`,
  },
];

export async function demo(flags: GivenFlags, terminal: Terminal): Promise<number> {
  const address = checkFlag("listen", () => parseAddress(flags.one("listen") ?? DEFAULT_LISTEN));
  const opened: { servers: Server[]; conns: ClientConn[] } = { servers: [], conns: [] };
  const start = async (server: Server, where: typeof address): Promise<string> => {
    opened.servers.push(server);
    return formatAddress((await listen(where, () => server.listen(where))).address);
  };
  const open = (target: string): ClientConn => {
    const conn = dial(target);
    opened.conns.push(conn);
    return conn;
  };
  let proxyAddress: string;
  try {
    const primaryAddress = await start(createDemoBackend("primary"), ANY_PORT);
    const secondaryAddress = await start(createDemoBackend("secondary"), ANY_PORT);
    let lastResult: CallResult | undefined;
    const director = peekingDirector(open(primaryAddress), open(secondaryAddress), (result) => {
      lastResult = result;
    });
    proxyAddress = await start(
      new Server({ unknownServiceHandler: transparentHandler(director) }),
      address,
    );
    terminal.print(
      `client -> proxy ${proxyAddress} -> primary ${primaryAddress}, copy to secondary ${secondaryAddress}\n`,
    );
    const proxied = open(proxyAddress);
    const direct = open(primaryAddress);
    const rows: string[][][] = [];
    for (const call of DEMO_CALLS) {
      const seen = await makeCall(proxied, call);
      const result = lastResult;
      await addedLatencyMs(proxied, direct, call, WARM_UP_ROUNDS);
      rows.push(row(call, seen, result, await addedLatencyMs(proxied, direct, call, TIMED_ROUNDS)));
    }
    terminal.print(formatTable(HEAD, rows));
    terminal.print(LEGEND);
  } catch (error) {
    await closeAll(opened, 0);
    throw error;
  }
  return flags.has("once") ? end(opened) : keepServing(terminal, opened, proxyAddress);
}

async function end(opened: Closable): Promise<number> {
  await closeAll({ servers: [], conns: opened.conns }, 0);
  await closeAll({ servers: opened.servers, conns: [] }, GRACE_MS);
  return EXIT_OK;
}

async function keepServing(
  terminal: Terminal,
  opened: { servers: Server[]; conns: ClientConn[] },
  proxyAddress: string,
): Promise<number> {
  const signals = new SignalWatch(terminal);
  terminal.print(`\nThe proxy goes on serving. Ctrl-C ends it.${howToCall(proxyAddress)}`);
  // The proxy first: its calls go to the backends.
  const servers = [...opened.servers].reverse();
  return signals.serve({ servers, conns: opened.conns }, GRACE_MS);
}

/** A message is a zero byte, four bytes of length, and the text in JSON. */
function howToCall(proxyAddress: string): string {
  const socket = proxyAddress.startsWith("unix:")
    ? `--unix-socket ${proxyAddress.slice("unix:".length)} http://localhost`
    : `http://${proxyAddress}`;
  return ` A call by hand:

  printf '\\0\\0\\0\\0\\7"hello"' | curl -s --http2-prior-knowledge --data-binary @- -o - -D - \\
    -H 'content-type: application/grpc' -H 'te: trailers' ${socket}/${DEMO_SERVICE}/Upper`;
}

/** Looks at the first message, tells the backends how long it is, and sends the call to both. */
function peekingDirector(
  primary: ClientConn,
  secondary: ClientConn,
  tell: (result: CallResult) => void,
): StreamDirector {
  return async (ctx, _fullMethodName, peeker) => {
    const message = await peeker.peek();
    const metadata = ctx.metadata.clone();
    metadata.set(PEEKED_HEADER, String(message.length));
    const outgoing = ctx.withMetadata(metadata);
    return new StreamParameters(
      { conn: primary, ctx: outgoing },
      [{ conn: secondary, ctx: outgoing, need: "optional", onError: () => undefined }],
      tell,
    );
  };
}

const HEAD = ["method", "status", "messages", "bytes", "headers", "trailers", "added latency"];

const LEGEND = `
messages and bytes: from the client > from the primary, as the proxy counted them.
status in brackets: the secondary's, which the client is not told.
added latency: median of ${TIMED_ROUNDS} calls through the proxy minus median of ${TIMED_ROUNDS} direct ones, all in this process.`;

function row(
  call: DemoCall,
  seen: Seen,
  result: CallResult | undefined,
  latencyMs: number,
): string[][] {
  const { primary, secondaries } = result ?? {};
  const mirrored = secondaries?.map(({ status }) => `(${statusName(status)})`) ?? [];
  return [
    [call.method, call.kind],
    [seen.status, ...mirrored],
    [`${primary?.requestMessages ?? 0} > ${primary?.responseMessages ?? 0}`],
    [`${primary?.requestBytes ?? 0} > ${primary?.responseBytes ?? 0}`],
    fieldLines(seen.header),
    fieldLines(seen.trailer),
    [`${latencyMs.toFixed(2)} ms`],
  ];
}

function fieldLines(metadata: Metadata): string[] {
  const lines = [...metadata].map(([name, value]) => `${name}: ${value.toString()}`);
  return lines.length === 0 ? ["-"] : lines;
}
