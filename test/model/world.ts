// One call in a world of its own: a client, the real server with the real relay, and a real conn
// for each backend. The server and its clock go on from run to run, so that a leak shows.

import { ClientConn } from "../../src/client/client-conn.ts";
import { resolveDialOptions } from "../../src/client/dial-options.ts";
import { failure, type GrpcError } from "../../src/grpc/error.ts";
import type { Status } from "../../src/grpc/status.ts";
import { callEnd, detachedEnd } from "../../src/observe/channels.ts";
import { type Destination, StreamParameters } from "../../src/proxy/director.ts";
import type { StreamPeeker } from "../../src/proxy/peeker.ts";
import type { CallResult } from "../../src/proxy/results.ts";
import { transparentHandler } from "../../src/proxy/transparent-handler.ts";
import { Server } from "../../src/server/server.ts";
import type {
  ClientSessionListener,
  ListenerEvents,
  ServerSessionListener,
} from "../../src/transport/transport.ts";
import type { HeaderList } from "../../src/wire/field.ts";
import { transportOf } from "../support/transport-of.ts";
import { ModelClock } from "./clock.ts";
import { DIRECTOR_STATUS, Expectation, FINALIZER_STATUS, OTHER_STATUS } from "./expectation.ts";
import { ModelSession, type ModelStream, Wires } from "./peers.ts";
import type { LegSetting, Setting } from "./setting.ts";

/** What each side takes of a stream before it gives credit: a message, and a part of the next. */
export const WINDOW_BYTES = 8;

/** The hops of the longest chain of promises: a handler that waits for a relay with a peek. */
const MICROTASKS = 10;

export function failed(status: number): GrpcError {
  return failure(status as Status, "the user's code failed", { reason: "HANDLER" });
}

export interface Deferred {
  readonly promise: Promise<void>;
  resolve(): void;
  reject(error: unknown): void;
}

function deferred(): Deferred {
  let [resolve, reject] = [(): void => {}, (_: unknown): void => {}];
  const promise = new Promise<void>((onDone, onFailed) => {
    resolve = onDone;
    reject = onFailed;
  });
  return { promise, resolve, reject };
}

const clock = new ModelClock();
let world: World | undefined;

const dialOptions = resolveDialOptions({
  clock,
  random: () => 0.5,
  idleTimeoutMs: Number.POSITIVE_INFINITY,
});

async function serverOf(
  isIntercepted: boolean,
): Promise<{ server: Server; events: ListenerEvents }> {
  let taken: ListenerEvents | undefined;
  const transport = transportOf("model", {
    listen: async (_, given) => {
      taken = given;
      return { address: { host: "model", port: 1 }, setTls: () => {}, close: async () => {} };
    },
  });
  const server = new Server({
    clock,
    transport,
    unknownServiceHandler: transparentHandler((_, __, peeker) => world!.direct(peeker)),
    interceptors: isIntercepted ? [(stream, _, next) => next(stream)] : [],
  });
  await server.listen("model:1");
  return { server, events: taken! };
}

/** Without and with an interceptor. */
let servers = [await serverOf(false), await serverOf(true)] as const;

async function renewServers(): Promise<void> {
  servers = [await serverOf(false), await serverOf(true)];
}

callEnd.subscribe(({ status }) => world?.callEnds.push(status));
detachedEnd.subscribe(({ status }) => world?.detachedEnds.push(status));

/** A backend: a conn, and the sessions that it made. */
export class Backend {
  readonly conn: ClientConn;
  readonly name: string;
  readonly sessions: ModelSession[] = [];
  /** How many streams were opened to it. */
  streamCount = 0;

  constructor(name: string, wires: Wires) {
    this.name = name;
    const connect = (listener: ClientSessionListener): ModelSession => {
      const session = new ModelSession("client", wires, WINDOW_BYTES, () => this.streamCount++);
      session.listener = listener;
      this.sessions.push(session);
      return session;
    };
    const address = { text: name, socket: { host: name, port: 1 }, weight: 1 };
    const source = { connect, reconnects: true };
    this.conn = ClientConn.create(
      {
        ...{ name, authority: name, addresses: [address] },
        ...{ resolver: undefined, reconnects: true, sourceOf: () => source },
      },
      dialOptions,
    );
  }

  /** The latest session that has not ended. */
  get session(): ModelSession | undefined {
    const last = this.sessions.at(-1);
    return last === undefined || last.closed ? undefined : last;
  }

  /** The latest stream on any session. */
  get stream(): ModelStream | undefined {
    for (let i = this.sessions.length - 1; i >= 0; i--) {
      const last = this.sessions[i]!.opened.at(-1);
      if (last !== undefined) return last;
    }
    return undefined;
  }

  get key(): string {
    const sessions = this.sessions.map(({ key, opened }) => {
      return `${key}(${opened.map((stream) => stream.key).join(";")})`;
    });
    return `${this.conn.state}${this.conn.waitingCount}[${sessions.join()}]`;
  }
}

export class World {
  readonly setting: Setting;
  readonly clock: ModelClock = clock;
  readonly wires: Wires = new Wires(clock);
  readonly expected: Expectation;
  readonly backends: readonly Backend[];
  readonly server: Server;
  /** The client's connection, and its call. */
  readonly session: ModelSession;
  stream: ModelStream | undefined;
  /** What the client has sent, one character for each byte. */
  request = "";
  /** What the primary has sent of the response that goes on. */
  response = "";
  director: Deferred | undefined;
  finalizer: Deferred | undefined;
  readonly callEnds: number[] = [];
  readonly detachedEnds: number[] = [];
  /** What each `onError` was told, by leg. */
  readonly told: number[][];
  readonly finalized: CallResult[] = [];
  /** What the finalizer was shown of the legs. */
  finalizedLegs = "";
  readonly #untold: ((expected: Expectation) => void)[] = [];
  readonly #hasPromises: boolean;

  constructor(setting: Setting) {
    this.setting = setting;
    const { server, events } = servers[setting.intercepted === true ? 1 : 0];
    this.server = server;
    const letters = ["p", "s", "t", "u"];
    this.backends = setting.legs.flatMap(({ fallback }, index) => {
      const names = [letters[index]!];
      if (fallback === true) names.push(`${letters[index]}2`);
      return names.map((name) => new Backend(name, this.wires));
    });
    const { director, finalizer, intercepted } = setting;
    this.#hasPromises = director !== "sync" || finalizer === "async" || intercepted === true;
    this.told = setting.legs.map(() => []);
    this.expected = new Expectation(setting, this);
    this.session = new ModelSession("server", this.wires, WINDOW_BYTES);
    this.session.listener = events.onSession(this.session);
    world = this;
  }

  /** Everything that peers and users know, and that timers may still do. */
  get key(): string {
    const backends = this.backends.map((backend) => backend.key).join();
    const told = this.told.join(";");
    return `${this.stream?.key}#${this.session.closed}#${backends}#${this.clock.outline()}#${told}#${this.expected.key}`;
  }

  // What the expectation may look at.

  nowMs(): number {
    return clock.nowMs();
  }

  isFailing(backend: number): boolean {
    return this.backends[backend]!.conn.state === "transientFailure";
  }

  isLeft(backend: number): boolean {
    const { conn } = this.backends[backend]!;
    return conn.waitingCount + conn.openStreamCount === 0;
  }

  streamCount(backend: number): number {
    return this.backends[backend]!.streamCount;
  }

  acceptedBytes(backend: number): number {
    return this.backends[backend]!.stream?.acceptedBytes ?? 0;
  }

  queuedResponseBytes(): number {
    return this.stream?.queuedBytes ?? 0;
  }

  // The user's code.

  direct(peeker: StreamPeeker): StreamParameters | Promise<StreamParameters> {
    const { director } = this.setting;
    if (director === "sync") return this.parameters();
    if (director === "peek") return peeker.peek().then(() => this.parameters());
    this.director = deferred();
    return this.director.promise.then(() => this.parameters());
  }

  private parameters(): StreamParameters {
    let next = 0;
    const [primary, ...secondaries] = this.setting.legs.map((leg, index) => {
      const { conn } = this.backends[next++]!;
      const fallbacks = leg.fallback === true ? [this.backends[next++]!.conn] : undefined;
      return this.destination(leg, index, conn, fallbacks);
    });
    const { finalizer } = this.setting;
    const run = finalizer === "none" ? undefined : (result: CallResult) => this.finalize(result);
    return new StreamParameters(primary!, secondaries, run);
  }

  private destination(
    { need, onError, ownMessage, timeoutMs, maxLagBytes, waitForReady }: LegSetting,
    index: number,
    conn: ClientConn,
    fallbacks: ClientConn[] | undefined,
  ): Destination {
    const callOptions = {
      ...(timeoutMs === undefined ? {} : { timeoutMs }),
      ...(waitForReady === undefined ? {} : { waitForReady }),
    };
    return {
      conn,
      callOptions,
      ...(index === 0 ? {} : { need }),
      ...(fallbacks === undefined ? {} : { fallbacks }),
      ...(ownMessage === true ? { message: Buffer.from("!") } : {}),
      ...(maxLagBytes === undefined ? {} : { maxLagBytes }),
      ...(onError === "none"
        ? {}
        : {
            onError: (error: GrpcError) => {
              this.told[index]!.push(error.status);
              if (onError === "keep") return error;
              return onError === "other" ? failed(OTHER_STATUS) : undefined;
            },
          }),
    };
  }

  private finalize(result: CallResult): void | Promise<void> {
    this.finalized.push(result);
    const legs = [result.primary, ...result.secondaries];
    this.finalizedLegs = legs.map(({ ended, status }) => (ended ? status : "-")).join();
    const { finalizer } = this.setting;
    if (finalizer === "throws") throw failed(FINALIZER_STATUS);
    if (finalizer === "sync") return undefined;
    this.finalizer = deferred();
    return this.finalizer.promise;
  }

  refuse(): void {
    this.director!.reject(failed(DIRECTOR_STATUS));
  }

  failFinalizer(): void {
    this.finalizer!.reject(failed(FINALIZER_STATUS));
  }

  /** Tells the expectation of an event, when the code has done all that follows from it. */
  tell(said: (expected: Expectation) => void): void {
    this.#untold.push(said);
  }

  /** Lets everything happen that the last event has caused. */
  async settle(): Promise<void> {
    this.wires.deliver();
    if (this.#hasPromises) for (let i = 0; i < MICROTASKS; i++) await undefined;
    this.wires.deliver();
    for (const said of this.#untold) said(this.expected);
    this.#untold.length = 0;
    this.expected.settle();
  }

  /** Lets everything happen that follows from the end of all connections. */
  async settleLast(): Promise<void> {
    this.wires.deliver();
    for (let i = 0; i < MICROTASKS; i++) await undefined;
    this.wires.deliver();
  }

  /** A run has failed. What it has left must not fail the next. */
  async giveUp(): Promise<void> {
    clock.clear();
    this.director?.resolve();
    this.finalizer?.resolve();
    await this.settleLast();
    clock.clear();
    await renewServers();
  }

  openRequest(headers: HeaderList, endStream: boolean): void {
    const stream = this.session.add(undefined);
    this.stream = stream;
    stream.remoteEnded = endStream;
    const listener = this.session.listener as ServerSessionListener;
    stream.listener = listener.onStream(stream, headers, endStream);
  }
}
