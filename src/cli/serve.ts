// `grpc-relay serve`: one backend, mirrors, any number of listening sockets.

import {
  type CallOptions,
  type ClientConn,
  type ClientTlsOptions,
  type Destination,
  ErrorReason,
  GrpcError,
  Server,
  Status,
  type StreamDirector,
  StreamParameters,
  type TransportName,
  transparentHandler,
} from "../index.ts";
import { formatAddress } from "../transport/address.ts";
import { parseListenAddress } from "../transport/listen-address.ts";
import { selectTransport } from "../transport/select.ts";
import { checkFlag, messageOf, usageError } from "./command-error.ts";
import {
  backendConnectionFlags,
  backendConnectionOptions,
  clientConnectionFlags,
  clientConnectionOptions,
} from "./connection-flags.ts";
import { type Flag, type GivenFlags, MAX_MS, wholeNumber } from "./flags.ts";
import { listen } from "./listen.ts";
import { ListenTls } from "./listen-tls.ts";
import { RefusalLog } from "./refusal-log.ts";
import { BACKEND, ROUTE, RouteTable, readRoutes } from "./routes.ts";
import { sessionFlags, sessionOptions } from "./session-flags.ts";
import { closeAll, SignalWatch } from "./shutdown.ts";
import type { Terminal } from "./terminal.ts";
import { backendTlsFiles, backendTlsFlags, serverTlsFiles, serverTlsFlags } from "./tls-files.ts";
import { TlsWatch } from "./tls-watch.ts";
import { dialUpstream, type UpstreamRole } from "./upstream.ts";
import type { WorkerLink } from "./worker-link.ts";
import { serveWithWorkers } from "./workers.ts";

const LISTEN: Flag = {
  name: "listen",
  value: "ADDRESS",
  repeatable: true,
  text: "where to take calls",
};
const DEFAULT_GRACE_MS = 10_000;
/** More than any machine has cores for; a number beyond is a mistake. */
const MAX_WORKERS = 1_024;

export const serveFlags: readonly Flag[] = [
  LISTEN,
  BACKEND,
  ROUTE,
  {
    name: "secondary",
    value: "TARGET",
    repeatable: true,
    text: "gets a copy of every request; its answers and failures are dropped, no call waits\nfor it, and it is dropped when it is 1 MiB behind or 30 s late",
  },
  {
    name: "peek",
    text: "wait for the first request message (at most 4 MiB of it) before a call is passed\non, as a director that routes by payload does",
  },
  {
    name: "peek-timeout-ms",
    value: "MS",
    text: "how long --peek waits for that message, in milliseconds (default 60000); then the\ncall is passed on without it",
  },
  {
    name: "transport",
    value: "NAME",
    text: "HTTP/2 implementation: engine or node (default engine)",
  },
  {
    name: "workers",
    value: "N",
    text: "processes that serve, each with connections of its own (default: this one alone);\none that dies is started again, and SIGUSR2 replaces them one by one",
  },
  ...serverTlsFlags,
  ...backendTlsFlags,
  ...sessionFlags,
  ...clientConnectionFlags,
  ...backendConnectionFlags,
  {
    name: "max-call-ms",
    value: "MS",
    text: "deadline of calls that have none or a later one, in milliseconds (default none)",
  },
  {
    name: "grace-ms",
    value: "MS",
    text: `how long calls may go on after a signal, in milliseconds (default ${DEFAULT_GRACE_MS})`,
  },
];

export async function serve(
  flags: GivenFlags,
  terminal: Terminal,
  args: readonly string[],
): Promise<number> {
  const addresses = flags
    .required(LISTEN)
    .map((text) => checkFlag("listen", () => parseListenAddress(text)));
  const routes = readRoutes(flags);
  const graceMs = wholeNumber(flags, "grace-ms", 0, MAX_MS) ?? DEFAULT_GRACE_MS;
  const maxCallMs = wholeNumber(flags, "max-call-ms", 1, MAX_MS);
  const peekTimeoutMs = wholeNumber(flags, "peek-timeout-ms", 1, MAX_MS);
  const workers = wholeNumber(flags, "workers", 1, MAX_WORKERS);
  const transport = checkFlag("transport", () => transportName(flags.one("transport")));
  requireTransport(transport);
  const session = sessionOptions(flags);
  const clientConnections = clientConnectionOptions(flags);
  const backendConnections = backendConnectionOptions(flags);
  const listenTls = serverTlsFiles(flags);
  const backendTls = backendTlsFiles(flags);
  const { worker } = terminal;
  if (workers !== undefined && worker === undefined) {
    return serveWithWorkers({ count: workers, addresses, args, graceMs }, terminal);
  }
  const tls = listenTls && new ListenTls(await listenTls.read(), await ticketSecret(worker));
  let upstreamTls = await backendTls?.read();

  const conns: ClientConn[] = [];
  const upstream = (role: UpstreamRole, targets: readonly string[]): ClientConn => {
    const dialOptions = {
      ...{ ...session, ...backendConnections, transport },
      // Asked at each connect, so that certificates can change.
      ...(upstreamTls && { tls: () => upstreamTls ?? {} }),
    };
    const conn = checkFlag(role, () => dialUpstream(role, targets, dialOptions, terminal));
    conns.push(conn);
    return conn;
  };
  const servers: Server[] = [];
  const refusals = new RefusalLog(terminal);
  const signals = new SignalWatch(terminal);
  const watches: { end(): void }[] = [];
  const end = (): void => {
    signals.end();
    refusals.end();
    for (const watch of watches) watch.end();
  };
  try {
    const primaries = routes.map(({ path, targets }) => {
      const role = path === undefined ? "backend" : "route";
      return [path, upstream(role, targets)] as const;
    });
    const secondaries = flags.all("secondary").map((target) => upstream("secondary", [target]));
    const callOptions = maxCallMs === undefined ? undefined : { timeoutMs: maxCallMs };
    const table = new RouteTable(
      primaries.map(([path, conn]) => [path, parameters(conn, secondaries, callOptions)] as const),
    );
    const server = new Server({
      ...session,
      ...clientConnections,
      transport,
      unknownServiceHandler: transparentHandler(
        director(table, flags.has("peek")),
        peekTimeoutMs === undefined ? {} : { peekTimeoutMs },
      ),
      onConnectionError: refusals.onConnectionError,
      ...(tls === undefined ? {} : { tls: tls.options }),
    });
    servers.push(server);
    for (const [number, address] of addresses.entries()) {
      const listener =
        worker === undefined
          ? await listen(address, () => server.listen(address))
          : await server.listen(address, { source: worker.source(number) });
      tls?.add(listener);
      // The process that holds the sockets says it once for all workers.
      if (worker === undefined) terminal.print(`listening on ${formatAddress(listener.address)}`);
    }
    if (listenTls !== undefined && tls !== undefined) {
      watches.push(new TlsWatch(listenTls, terminal, tls.replaceMaterial));
      if (worker !== undefined) {
        watches.push({ end: worker.onTicketSecret(tls.replaceTicketSecret) });
      }
    }
    if (backendTls !== undefined) {
      const apply = (material: ClientTlsOptions): void => {
        upstreamTls = material;
      };
      watches.push(new TlsWatch(backendTls, terminal, apply));
    }
    for (const conn of conns) conn.connect();
    terminal.serving();
  } catch (error) {
    await closeAll({ servers, conns }, 0);
    end();
    throw error;
  }
  try {
    return await signals.serve({ servers, conns }, graceMs);
  } finally {
    end();
  }
}

/** The first message of the process that forked a worker. */
function ticketSecret(worker: WorkerLink | undefined): Promise<string> | undefined {
  return worker && new Promise((resolve) => worker.onTicketSecret(resolve));
}

function parameters(
  primary: ClientConn,
  secondaries: readonly ClientConn[],
  callOptions: CallOptions | undefined,
): StreamParameters {
  const mirrors = secondaries.map((conn): Destination => ({ conn, need: "detached" }));
  return new StreamParameters({ conn: primary }, mirrors, undefined, callOptions);
}

function director(routes: RouteTable<StreamParameters>, peek: boolean): StreamDirector {
  const find = (fullMethodName: string): StreamParameters => {
    const params = routes.find(fullMethodName);
    if (params !== undefined) return params;
    throw new GrpcError(Status.UNIMPLEMENTED, `no route for ${fullMethodName}`, {
      reason: ErrorReason.UNIMPLEMENTED,
    });
  };
  if (!peek) return (_ctx, fullMethodName) => find(fullMethodName);
  return async (_ctx, fullMethodName, peeker) => {
    const params = find(fullMethodName);
    // Its content is of no interest, nor whether it can be read: no message, one above the limit or
    // one in an unknown compression is passed on as well. A call that has ended meanwhile gets its
    // own error from the relay.
    await peeker.peek().catch(() => undefined);
    return params;
  };
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
