// `grpc-relay serve`: one backend, mirrors, any number of listening sockets.

import { readFile } from "node:fs/promises";
import { createSecureContext } from "node:tls";
import {
  type ClientConn,
  type Destination,
  Server,
  type ServerTlsOptions,
  type StreamDirector,
  StreamParameters,
  type TransportName,
  transparentHandler,
} from "../index.ts";
import { parseAddress } from "../transport/address.ts";
import { selectTransport } from "../transport/select.ts";
import { opensslReason } from "../transport/tls.ts";
import { CommandError, checkFlag, messageOf, usageError } from "./command-error.ts";
import type { Flag, GivenFlags } from "./flags.ts";
import { listen } from "./listen.ts";
import { RefusalLog } from "./refusal-log.ts";
import { sessionFlags, sessionOptions } from "./session-flags.ts";
import { closeAll, SignalWatch } from "./shutdown.ts";
import type { Terminal } from "./terminal.ts";
import { dialUpstream, type UpstreamRole } from "./upstream.ts";

const LISTEN: Flag = {
  name: "listen",
  value: "ADDRESS",
  repeatable: true,
  text: "where to take calls",
};
const BACKEND: Flag = { name: "backend", value: "ADDRESS", text: "where to pass them on to" };
const DEFAULT_GRACE_MS = 10_000;

export const serveFlags: readonly Flag[] = [
  LISTEN,
  BACKEND,
  {
    name: "secondary",
    value: "ADDRESS",
    repeatable: true,
    text: "gets a copy of every request; its answers and failures are dropped, no call waits\nfor it, and it is dropped when it is 1 MiB behind or 30 s late",
  },
  {
    name: "peek",
    text: "wait for the first request message (at most 4 MiB of it) before a call is passed\non, as a director that routes by payload does",
  },
  {
    name: "transport",
    value: "NAME",
    text: "HTTP/2 implementation: engine or node (default engine)",
  },
  { name: "tls-cert", value: "FILE", text: "listen with TLS: certificate chain, PEM" },
  { name: "tls-key", value: "FILE", text: "and its private key, PEM" },
  ...sessionFlags,
  {
    name: "grace-ms",
    value: "MS",
    text: `how long calls may go on after a signal, in milliseconds (default ${DEFAULT_GRACE_MS})`,
  },
];

export async function serve(flags: GivenFlags, terminal: Terminal): Promise<number> {
  const addresses = flags
    .required(LISTEN)
    .map((text) => checkFlag("listen", () => parseAddress(text)));
  const [backend = ""] = flags.required(BACKEND);
  const graceMs = checkFlag("grace-ms", () => milliseconds(flags.one("grace-ms")));
  const transport = checkFlag("transport", () => transportName(flags.one("transport")));
  requireTransport(transport);
  const session = sessionOptions(flags);
  const tls = await readTls(flags);

  const conns: ClientConn[] = [];
  const upstream = (role: UpstreamRole, target: string): ClientConn => {
    const conn = checkFlag(role, () =>
      dialUpstream(role, target, { ...session, transport }, terminal),
    );
    conns.push(conn);
    return conn;
  };
  const servers: Server[] = [];
  const refusals = new RefusalLog(terminal);
  const signals = new SignalWatch(terminal);
  try {
    const primary = upstream("backend", backend);
    const secondaries = flags.all("secondary").map((target) => upstream("secondary", target));
    const server = new Server({
      ...session,
      transport,
      unknownServiceHandler: transparentHandler(director(primary, secondaries, flags.has("peek"))),
      onConnectionError: refusals.onConnectionError,
      ...(tls === undefined ? {} : { tls }),
    });
    servers.push(server);
    for (const address of addresses) {
      terminal.print(`listening on ${await listen(server, address)}`);
    }
    for (const conn of conns) conn.connect();
  } catch (error) {
    await closeAll({ servers, conns }, 0);
    signals.end();
    refusals.end();
    throw error;
  }
  try {
    return await signals.serve({ servers, conns }, graceMs);
  } finally {
    refusals.end();
  }
}

function director(
  primary: ClientConn,
  secondaries: readonly ClientConn[],
  peek: boolean,
): StreamDirector {
  const mirrors = secondaries.map((conn): Destination => ({ conn, need: "detached" }));
  const params = new StreamParameters({ conn: primary }, mirrors);
  if (!peek) return () => params;
  return async (_ctx, _fullMethodName, peeker) => {
    // What it holds is of no interest, nor whether it can be read: none, one above the limit or one
    // in an unknown compression is passed on as well. A call that has ended meanwhile gets its own
    // error from the relay.
    await peeker.peek().catch(() => undefined);
    return params;
  };
}

function milliseconds(text: string | undefined): number {
  if (text === undefined) return DEFAULT_GRACE_MS;
  if (/^[0-9]{1,9}$/.test(text)) return Number(text);
  throw new RangeError(`expected a whole number of milliseconds, got ${JSON.stringify(text)}`);
}

function transportName(text: string | undefined): TransportName {
  if (text !== undefined && text !== "node" && text !== "engine") {
    throw new TypeError(`expected engine or node, got ${JSON.stringify(text)}`);
  }
  return text ?? "engine";
}

function requireTransport(name: TransportName): void {
  try {
    selectTransport(name);
  } catch (error) {
    // Its message begins with `transport:`.
    throw usageError(`--${messageOf(error)}`, error);
  }
}

async function readTls(flags: GivenFlags): Promise<ServerTlsOptions | undefined> {
  const cert = flags.one("tls-cert");
  const key = flags.one("tls-key");
  if (cert === undefined && key === undefined) return undefined;
  if (cert === undefined || key === undefined) {
    const [given, missing] = cert === undefined ? ["key", "cert"] : ["cert", "key"];
    throw usageError(`expected --tls-${missing} FILE beside --tls-${given}, got none`);
  }
  const tls = { cert: await readPem("tls-cert", cert), key: await readPem("tls-key", key) };
  try {
    // Listening would do this, too, and blame the address.
    createSecureContext(tls);
  } catch (error) {
    throw new CommandError(
      `--tls-cert, --tls-key: expected a certificate chain and its private key, as PEM and not encrypted, got ${cert} and ${key}: ${opensslReason(error)}`,
      { cause: error },
    );
  }
  return tls;
}

async function readPem(flag: string, path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (error) {
    throw new CommandError(
      `--${flag}: expected a file that can be read, got ${path}: ${messageOf(error)}`,
      { cause: error },
    );
  }
}
