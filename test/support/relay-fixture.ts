// A relay between scripted peers or real clients and backends, on real sockets. Everything that it
// opened is closed when the test ends. A call, stream or waiting call that is left over by then
// fails the test.

import { expect } from "vitest";
import type { ClientConn } from "../../src/client/client-conn.ts";
import { dial } from "../../src/client/dial.ts";
import type { DialOptions } from "../../src/client/dial-options.ts";
import { type StreamDirector, StreamParameters } from "../../src/proxy/director.ts";
import type { StreamPeeker } from "../../src/proxy/peeker.ts";
import { transparentHandler } from "../../src/proxy/transparent-handler.ts";
import { Server, type ServerOptions } from "../../src/server/server.ts";
import type { ServerListener } from "../../src/server/server-listener.ts";
import { formatAddress } from "../../src/transport/address.ts";
import type { SocketAddress } from "../../src/transport/transport.ts";
import { fieldValue, type HeaderList } from "../../src/wire/field.ts";
import { closeAtEnd } from "./cleanup.ts";
import { FakeClock } from "./clock.ts";
import type { TransportCombo } from "./combos.ts";
import { frames, message, request, trailersOnly } from "./frames.ts";
import { WAIT_LIMIT_MS } from "./patience.ts";
import {
  ScriptedClient,
  type ScriptedClientOptions,
  ScriptedServer,
  type ScriptedServerOptions,
} from "./scripted-endpoints.ts";
import type { ScriptedPeer } from "./scripted-peer.ts";

/** The method of relayed calls. */
export const PATH = "/test.Service/Method";

/** The value of `grpc-status`. */
export function statusOf(fields: HeaderList): number {
  return Number(fieldValue(fields, "grpc-status"));
}

/** Waits until `check` holds. It looks again in every turn of the event loop. */
export async function eventually(what: string, check: () => boolean): Promise<void> {
  const failure = new Error();
  const startedMs = performance.now();
  while (!check()) {
    if (performance.now() - startedMs > WAIT_LIMIT_MS) {
      failure.message = `waited in vain until ${what}`;
      throw failure;
    }
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** Waits for `promise`, moving `clock` on meanwhile if it is a fake one. */
async function pumped(promise: Promise<void>, clock: unknown): Promise<void> {
  let done = false;
  const settled = promise.finally(() => {
    done = true;
  });
  await eventually("it is closed", () => {
    if (clock instanceof FakeClock) clock.advance(100);
    return done;
  });
  await settled;
}

/** A connection to a backend that leaves nothing open. */
export function dialTo(
  combo: TransportCombo,
  address: SocketAddress | string,
  options: DialOptions = {},
): ClientConn {
  const target = typeof address === "string" ? address : formatAddress(address);
  // No idle timeout, so that a clock of the test has only the timers of calls.
  const idleTimeoutMs = Number.POSITIVE_INFINITY;
  return watchConn(dial(target, { transport: combo.client, idleTimeoutMs, ...options }));
}

/** `conn`, closed at the end of the test, when no stream may be left on it. */
export function watchConn(conn: ClientConn): ClientConn {
  closeAtEnd(async () => {
    try {
      await eventually(
        `no stream is left to ${conn.target} (${conn.openStreamCount} open, ${conn.waitingCount} waiting)`,
        () => conn.openStreamCount === 0 && conn.waitingCount === 0,
      );
    } finally {
      await pumped(conn.close(), conn.clock);
    }
  });
  return conn;
}

export interface Listening {
  readonly server: Server;
  readonly listener: ServerListener;
  /** The address of `listener`. */
  readonly address: SocketAddress;
}

/** A server on a free port that leaves no call open. */
export async function listen(
  combo: TransportCombo,
  options: ServerOptions = {},
  address: SocketAddress | string = "127.0.0.1:0",
): Promise<Listening> {
  const server = watchServer(new Server({ transport: combo.server, ...options }));
  const listener = await server.listen(address);
  return { server, listener, address: listener.address };
}

/** `server`, closed at the end of the test, when no call may be left on it. */
export function watchServer(server: Server): Server {
  closeAtEnd(async () => {
    try {
      await eventually("no call is left", () => server.openCallCount === 0);
    } finally {
      await pumped(server.close(), server.clock);
    }
  });
  return server;
}

/** A server that relays all calls as `director` says. */
export function listenRelay(
  combo: TransportCombo,
  director: StreamDirector,
  options: ServerOptions & { readonly maxPeekBytes?: number } = {},
): Promise<Listening> {
  const { maxPeekBytes, ...rest } = options;
  const unknownServiceHandler = transparentHandler(
    director,
    maxPeekBytes === undefined ? {} : { maxPeekBytes },
  );
  return listen(combo, { unknownServiceHandler, ...rest });
}

export interface ScriptedBackend {
  readonly scripted: ScriptedServer;
  readonly conn: ClientConn;
  /** The backend's end of the connection. The first call or `connectTo` makes the connection. */
  peer(): Promise<ScriptedPeer>;
}

/** A scripted backend and a connection to it, not yet made. */
export async function scriptedBackend(
  combo: TransportCombo,
  options: ScriptedServerOptions = {},
  dialOptions: DialOptions = {},
): Promise<ScriptedBackend> {
  const scripted = await ScriptedServer.listen({ refillWindows: true, ...options });
  const conn = dialTo(combo, scripted.address, dialOptions);
  return { scripted, conn, peer: () => scripted.connection() };
}

export interface ScriptedRelayOptions {
  /** @default everything to the backend */
  readonly director?: (conn: ClientConn) => StreamDirector;
  readonly server?: ServerOptions & { readonly maxPeekBytes?: number };
  readonly dial?: DialOptions;
  readonly backend?: ScriptedServerOptions;
  readonly client?: ScriptedClientOptions;
  /** The clock of server and connection. @default the clock of the process */
  readonly clock?: FakeClock;
}

export interface ScriptedRelay {
  readonly server: Server;
  readonly address: SocketAddress;
  readonly conn: ClientConn;
  readonly scripted: ScriptedServer;
  /** Plays the backend. */
  readonly backend: ScriptedPeer;
  /** Plays the client. */
  readonly client: ScriptedPeer;
}

/** client <-> relay <-> backend, both ends scripted, both connections standing. */
export async function scriptedRelay(
  combo: TransportCombo,
  options: ScriptedRelayOptions = {},
): Promise<ScriptedRelay> {
  const clock = options.clock === undefined ? {} : { clock: options.clock };
  const upstream = await scriptedBackend(combo, options.backend, { ...options.dial, ...clock });
  const { conn } = upstream;
  const director = options.director?.(conn) ?? (() => new StreamParameters({ conn }));
  const { server, address } = await listenRelay(combo, director, { ...options.server, ...clock });
  conn.connect();
  const [backend, client] = await Promise.all([
    upstream.peer(),
    ScriptedClient.connect(address, { refillWindows: true, ...options.client }),
  ]);
  await eventually("the connection to the backend is ready", () => conn.state === "ready");
  return { server, address, conn, scripted: upstream.scripted, backend, client };
}

/** The backends of a relay: the first is the primary, and all others are secondaries. */
export interface FanOut {
  readonly server: Server;
  readonly client: ScriptedPeer;
  readonly backends: readonly ScriptedBackend[];
  /** Play the backends. */
  readonly peers: readonly ScriptedPeer[];
}

export interface FanOutOptions {
  /** One for each backend. */
  readonly backends: readonly ScriptedServerOptions[];
  /** The answer of the director. `conns` are the connections to the backends. */
  readonly params: (
    conns: readonly ClientConn[],
    peeker: StreamPeeker,
  ) => ReturnType<StreamDirector>;
  /** The clock of server and connections. @default the clock of the process */
  readonly clock?: FakeClock;
}

/** client <-> relay <-> several backends, all ends scripted, all connections standing. */
export async function fanOutRelay(combo: TransportCombo, options: FanOutOptions): Promise<FanOut> {
  const clock = options.clock === undefined ? {} : { clock: options.clock };
  const backends: ScriptedBackend[] = [];
  for (const each of options.backends) backends.push(await scriptedBackend(combo, each, clock));
  const conns = backends.map(({ conn }) => conn);
  const director: StreamDirector = (_ctx, _method, peeker) => options.params(conns, peeker);
  const { server, address } = await listenRelay(combo, director, clock);
  const peers: ScriptedPeer[] = [];
  for (const backend of backends) peers.push(await connectTo(backend));
  const client = await ScriptedClient.connect(address, { refillWindows: true });
  return { server, client, backends, peers };
}

/** The message of a call, as it is on the wire. */
export const ABC: Buffer = message("abc");

/** Begins a call of one message. It sends the whole request, unless `complete` is false. */
export function sendCall(client: ScriptedPeer, complete = true, streamId = 1): void {
  const data = frames.data(streamId, ABC);
  client.send(frames.headers(streamId, request(PATH)), complete ? data.end() : data);
}

/**
 * Waits until `backend` has everything that `sendCall` sent. Returns the id of the stream there.
 */
export async function expectCall(backend: ScriptedPeer, complete = true): Promise<number> {
  const { streamId } = await backend.expectRequest(PATH);
  expect(
    complete ? await backend.expectBody(streamId) : await backend.expectBytes(streamId, ABC.length),
  ).toEqual(ABC);
  return streamId;
}

/** Ends the call at `backend` by headers alone. */
export function answerCall(
  backend: ScriptedPeer,
  streamId: number,
  status = 0,
  text?: string,
): void {
  backend.send(frames.headers(streamId, trailersOnly(status, text), { endStream: true }));
}

/** Connects and waits until calls can be made. */
export async function connectTo(backend: ScriptedBackend): Promise<ScriptedPeer> {
  backend.conn.connect();
  const peer = await backend.peer();
  await eventually("the connection is ready", () => backend.conn.state === "ready");
  return peer;
}
