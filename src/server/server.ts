// The server: listening sockets, their sessions, and which handler a call goes to.

import { checkFunction, checkNumber, shown, tell } from "../check/check.ts";
import { type OptionTable, optionTable } from "../check/options.ts";
import { type Codec, checkCodec, newCodec } from "../grpc/codec.ts";
import { ErrorReason, GrpcError } from "../grpc/error.ts";
import { Status } from "../grpc/status.ts";
import { fromUserCode } from "../grpc/user-error.ts";
import { publishRefusal, refused } from "../observe/channels.ts";
import { currentScope } from "../observe/scope.ts";
import { type Clock, systemClock } from "../time/clock.ts";
import { Timer } from "../time/timer-wheel.ts";
import { checkAddress, parseAddress } from "../transport/address.ts";
import { resolveSessionOptions, SESSION_CHECKS } from "../transport/defaults.ts";
import { attachServer, checkServer, type HandedOverServer } from "../transport/handed-over.ts";
import { checkTransport, selectTransport, type TransportName } from "../transport/select.ts";
import { SERVER_TLS_OPTIONS, type ServerTlsOptions } from "../transport/tls.ts";
import type {
  Listener,
  ListenerEvents,
  ServerSessionListener,
  Session,
  SessionOptions,
  SocketAddress,
  Stream,
  StreamListener,
  Transport,
} from "../transport/transport.ts";
import { ErrorCode } from "../wire/error-code.ts";
import { type AttachOptions, claimOf } from "./attach-options.ts";
import { isTold, publishEnd, publishStart } from "./call-events.ts";
import {
  answerDirectly,
  chainInterceptors,
  type DirectHandler,
  type StreamHandler,
  type StreamInterceptor,
} from "./interceptor.ts";
import { Leftovers } from "./leftovers.ts";
import { answerLargeRequest, RefusedRequest } from "./refused-request.ts";
import { ServiceRegistry } from "./registry.ts";
import { RecentHeads, RequestHead } from "./request-head.ts";
import { type CallOwner, ServerCall } from "./server-call.ts";
import { ServerStream } from "./server-stream.ts";

export interface ServerOptions extends SessionOptions {
  /** Which HTTP/2 implementation listening sockets use; attached servers have that of `node:http2`. @default "engine" */
  readonly transport?: TransportName | Transport;
  /** Makes listening sockets TLS (ALPN `h2`). @default plain HTTP/2 with prior knowledge */
  readonly tls?: ServerTlsOptions;
  /** What local handlers read and write; proxied calls stay bytes. @default newCodec() */
  readonly codec?: Codec;
  /** Answers calls of methods that are not registered: usually `transparentHandler(director)`. @default UNIMPLEMENTED */
  readonly unknownServiceHandler?: StreamHandler;
  /** Run before every handler, the first one outermost. @default none */
  readonly interceptors?: readonly StreamInterceptor[];
  /** Largest request message that a local handler reads, in bytes; proxied calls have no limit of their own. @default 4_194_304 */
  readonly maxRequestMessageBytes?: number;
  /**
   * Told of connections that failed before they were sessions (TLS handshake, no `h2`) and of listening sockets that failed.
   * @default ignored
   */
  readonly onConnectionError?: (error: Error) => void;
}

export interface ListenSettings {
  /** @default the server's */
  readonly transport?: TransportName | Transport;
  /** @default the server's */
  readonly tls?: ServerTlsOptions;
}

const NO_HEAD = new RequestHead([]);

/** After the grace, the statuses of calls that were cut off get this long to reach their clients. */
const LAST_WORDS_MS = 100;

export class Server implements CallOwner {
  readonly clock: Clock;
  /** @internal */
  readonly leftovers: Leftovers = new Leftovers();
  readonly #options: ServerOptions;
  readonly #transport: Transport;
  readonly #codec: Codec;
  readonly #maxRequestMessageBytes: number;
  readonly #interceptors: readonly StreamInterceptor[];
  readonly #registry = new ServiceRegistry();
  readonly #listeners = new Set<{ close(): Promise<void> }>();
  readonly #sessions = new Set<Session>();
  #firstCall: ServerCall | undefined;
  #openCallCount = 0;
  readonly #heads = new RecentHeads();
  #closing:
    | { readonly timer: Timer; finished: () => void; readonly done: Promise<void> }
    | undefined;

  /** @throws {TypeError | RangeError} naming the option, what was expected and what came */
  constructor(options: ServerOptions = {}) {
    SERVER_OPTIONS.check(options);
    this.#options = options;
    this.clock = options.clock ?? systemClock;
    this.#transport = selectTransport(options.transport);
    resolveSessionOptions(options);
    this.#codec = options.codec ?? newCodec();
    this.#interceptors = options.interceptors ?? [];
    this.#maxRequestMessageBytes = options.maxRequestMessageBytes ?? 4_194_304;
  }

  /** Calls under way. */
  get openCallCount(): number {
    return this.#openCallCount;
  }

  /** Connections that stand. */
  get sessionCount(): number {
    return this.#sessions.size;
  }

  /**
   * Registers the handlers of a service. Methods that are left out go to the unknown-service handler.
   * @throws {Error} when the service is registered already
   * @throws {TypeError} for names that no path can have, and for a service without methods
   */
  register(serviceName: string, handlers: Readonly<Record<string, StreamHandler>>): void {
    this.#registry.register(serviceName, handlers);
  }

  /**
   * Listens on `HOST:PORT`, `[IPV6]:PORT` or `unix:PATH`; port 0 lets the system choose. May be called several times.
   * @returns where it listens, with the port that the system chose
   * @throws the system's error (`EADDRINUSE`, ...) when it cannot, and `TypeError` for an address that is none and settings that
   * are unknown or wrong
   */
  async listen(
    address: string | SocketAddress,
    settings: ListenSettings = {},
  ): Promise<SocketAddress> {
    LISTEN_SETTINGS.check(settings);
    if (this.#closing !== undefined) throw new Error("the server is closed");
    const transport =
      settings.transport === undefined ? this.#transport : selectTransport(settings.transport);
    const tls = settings.tls ?? this.#options.tls;
    const listener: Listener = await transport.listen(
      {
        ...this.#options,
        address: typeof address === "string" ? parseAddress(address) : checkAddress(address),
        ...(tls === undefined ? {} : { tls }),
      },
      this.#events(),
    );
    this.#listeners.add(listener);
    if (this.#closing !== undefined) await listener.close();
    return listener.address;
  }

  /**
   * Answers the requests of a server made by `http2.createServer` or `http2.createSecureServer`
   * that are gRPC, or that `match` takes. All others go to the server's own handlers, HTTP/1 too;
   * it makes no difference whether these were added before or after. The server listens and is
   * closed by whoever made it; `close` here only ends the calls, and drains the connections that
   * had any.
   * @throws {TypeError} for a server that does not speak HTTP/2, and on a `Server` that was made
   * for another transport than `"node"`
   */
  attach(http2Server: HandedOverServer, options: AttachOptions = {}): void {
    if (this.#closing !== undefined) throw new Error("the server is closed");
    checkServer(http2Server);
    const claim = claimOf(options);
    const { transport } = this.#options;
    if (transport !== undefined && this.#transport.name !== "node") {
      throw new TypeError(
        `attach: expected a Server without the option transport or with "node", because the requests of http2Server are read by node:http2, got ${JSON.stringify(this.#transport.name)}; listen takes a transport for one socket`,
      );
    }
    const detach = attachServer(http2Server, this.#options, claim, this.#events());
    this.#listeners.add({
      close: () => {
        detach();
        return Promise.resolve();
      },
    });
  }

  #events(): ListenerEvents {
    return {
      onSession: (session) => this.#onSession(session),
      onError: (error, peer) => {
        if (peer !== undefined && refused.hasSubscribers) {
          const rule = ruleOf(error, peer);
          refused.publish({ scope: "connection", side: "downstream", peer, rule, cause: error });
        }
        const { onConnectionError } = this.#options;
        if (onConnectionError !== undefined) {
          tell("onConnectionError", () => onConnectionError(error));
        }
      },
    };
  }

  #onSession(session: Session): ServerSessionListener {
    this.#sessions.add(session);
    // A connection may have been on its way when the server was closed.
    if (this.#cut) session.destroy(ErrorCode.NO_ERROR, "the server is shutting down");
    else if (this.#closing !== undefined) session.drain();
    let head = NO_HEAD;
    return {
      onStream: (stream, headers, endStream) => {
        if (head.headers !== headers) head = this.#heads.of(headers);
        return this.#onStream(stream, head, endStream);
      },
      onLargeRequest: (stream, refusal) => answerLargeRequest(stream, refusal.rule),
      onGoAway: () => {},
      onRefused: (refusal) => publishRefusal("downstream", session.peer.remoteAddress, refusal),
      onClosed: () => {
        this.#sessions.delete(session);
        if (this.#sessions.size === 0) this.#closing?.finished();
      },
    };
  }

  // One call.

  #onStream(stream: Stream, head: RequestHead, endStream: boolean): StreamListener {
    const refusal = head.refusal();
    if (refusal !== undefined) {
      if (refused.hasSubscribers) {
        const { remoteAddress: peer } = stream.session.peer;
        const { id: streamId } = stream;
        refused.publish({ scope: "stream", side: "downstream", peer, streamId, rule: refusal });
      }
      const request = new RefusedRequest(stream, this.clock);
      request.answer(refusal, endStream, head.httpMethod === "HEAD");
      return request;
    }
    const timeoutMs = head.timeoutMs();
    const call = new ServerCall(stream, head, this, timeoutMs ?? Number.POSITIVE_INFINITY);
    // A request without messages may end with its headers; no data event follows then.
    call.requestEnded = endStream;
    this.#addCall(call);
    if (isTold()) {
      currentScope().runInAsyncScope(this.#beginTold, this, call, timeoutMs);
    } else {
      this.#begin(call, timeoutMs);
    }
    return call;
  }

  #beginTold(call: ServerCall, timeoutMs: number | undefined): void {
    publishStart(call);
    // Now, for whoever was told may have entered a context for the call.
    call.scope = currentScope();
    this.#begin(call, timeoutMs);
  }

  #begin(call: ServerCall, timeoutMs: number | undefined): void {
    if (timeoutMs === undefined) call.finishError(malformedTimeout(call.head.timeout ?? ""));
    else this.#dispatch(call);
  }

  #dispatch(call: ServerCall): void {
    const registered = this.#registry.lookUp(call.method);
    const handler: DirectHandler | undefined = registered ?? this.#options.unknownServiceHandler;
    if (handler === undefined || isMalformedPath(call.method)) {
      call.finishError(this.#unimplemented(call.method));
      return;
    }
    if (this.#interceptors.length === 0) {
      const direct = handler[answerDirectly];
      if (direct !== undefined) {
        direct(call);
        return;
      }
      this.#run(handler, call);
      return;
    }
    const info = { fullMethod: call.method, registered: registered !== undefined };
    this.#run(chainInterceptors(this.#interceptors, info, handler), call);
  }

  /**
   * In a scope of the call: what user code enters there (`AsyncLocalStorage.enterWith`) is not for
   * the next call on the socket.
   */
  #run(handler: StreamHandler, call: ServerCall): void {
    const scope = call.scope ?? currentScope();
    scope.runInAsyncScope(this.#runHandler, this, handler, call);
  }

  #runHandler(handler: StreamHandler, call: ServerCall): void {
    const stream = ServerStream.create(call, {
      codec: this.#codec,
      maxRequestMessageBytes: this.#maxRequestMessageBytes,
    });
    let pending: void | Promise<void>;
    try {
      pending = handler(stream);
    } catch (error) {
      stream.finish(fromUserCode("handler", error), false);
      return;
    }
    if (pending === undefined) stream.finish(undefined, false);
    else {
      Promise.resolve(pending).then(
        () => stream.finish(undefined, true),
        (error: unknown) => stream.finish(fromUserCode("handler", error), true),
      );
    }
  }

  /** Worded as grpc-go does. */
  #unimplemented(method: string): GrpcError {
    const options = { reason: ErrorReason.UNIMPLEMENTED } as const;
    if (isMalformedPath(method)) {
      return new GrpcError(
        Status.UNIMPLEMENTED,
        `malformed method name: ${JSON.stringify(method)}`,
        {
          reason: ErrorReason.INVALID_PATH,
          source: "downstream",
        },
      );
    }
    const slash = method.lastIndexOf("/");
    const service = method.slice(1, slash);
    return this.#registry.hasService(service)
      ? new GrpcError(
          Status.UNIMPLEMENTED,
          `unknown method ${method.slice(slash + 1)} for service ${service}`,
          options,
        )
      : new GrpcError(Status.UNIMPLEMENTED, `unknown service ${service}`, options);
  }

  #addCall(call: ServerCall): void {
    this.#openCallCount++;
    const first = this.#firstCall;
    call.next = first;
    if (first !== undefined) first.previous = call;
    this.#firstCall = call;
  }

  /** @internal */
  onCallEnd(call: ServerCall): void {
    this.#openCallCount--;
    const { previous, next } = call;
    if (previous === undefined) this.#firstCall = next;
    else previous.next = next;
    if (next !== undefined) next.previous = previous;
    call.previous = undefined;
    call.next = undefined;
    publishEnd(call);
  }

  // The end.

  /**
   * Stops listening and lets calls finish for up to `graceMs` milliseconds; calls that are still open then are ended with UNAVAILABLE.
   * Clients are told by GOAWAY to open no new calls here. Resolves when every connection is closed.
   * Calling it again with a shorter grace shortens it. Detached destinations of calls that are over are not waited for, but ended.
   * @default graceMs 0
   */
  close(graceMs = 0): Promise<void> {
    checkNumber("graceMs", graceMs, 0);
    if (this.#closing === undefined) this.#startClosing();
    const closing = this.#closing;
    if (closing === undefined) return Promise.resolve();
    if (graceMs === 0) this.#cutOff();
    else if (graceMs !== Number.POSITIVE_INFINITY) this.clock.schedule(closing.timer, graceMs);
    return closing.done;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #startClosing(): void {
    let finished = (): void => {};
    const sessionsClosed = new Promise<void>((resolve) => {
      finished = resolve;
    });
    const timer = new Timer({ onTimer: () => this.#onCloseTimer() });
    const listenersClosed = Promise.all([...this.#listeners].map((listener) => listener.close()));
    this.#closing = {
      timer,
      finished,
      done: Promise.all([sessionsClosed, listenersClosed]).then(() => {
        this.clock.cancel(timer);
        this.leftovers.end(shuttingDown());
      }),
    };
    for (const session of [...this.#sessions]) session.drain();
    if (this.#sessions.size === 0) finished();
  }

  #cut = false;

  #onCloseTimer(): void {
    if (!this.#cut) this.#cutOff();
    else {
      for (const session of [...this.#sessions]) {
        session.destroy(ErrorCode.NO_ERROR, "the server is shutting down");
      }
    }
  }

  #cutOff(): void {
    this.#cut = true;
    const reason = shuttingDown();
    // All of them first: the end of one may be the end of another, and with it of a walk along the list.
    const calls: ServerCall[] = [];
    for (let call = this.#firstCall; call !== undefined; call = call.next) calls.push(call);
    for (const call of calls) call.cancel(reason);
    this.leftovers.end(reason);
    const timer = this.#closing?.timer;
    if (timer !== undefined && this.#sessions.size > 0) this.clock.schedule(timer, LAST_WORDS_MS);
  }
}

function shuttingDown(): GrpcError {
  return new GrpcError(Status.UNAVAILABLE, "the server is shutting down", {
    reason: ErrorReason.SHUTDOWN,
  });
}

const SERVER_OPTIONS: OptionTable = optionTable<ServerOptions>("options of Server", {
  ...SESSION_CHECKS,
  transport: checkTransport,
  tls: SERVER_TLS_OPTIONS,
  codec: checkCodec,
  unknownServiceHandler: checkFunction,
  interceptors: checkInterceptors,
  maxRequestMessageBytes: (name, value) => checkNumber(name, value, 0),
  onConnectionError: checkFunction,
});

const LISTEN_SETTINGS: OptionTable = optionTable<ListenSettings>("settings of listen", {
  transport: checkTransport,
  tls: SERVER_TLS_OPTIONS,
});

function checkInterceptors(name: string, interceptors: unknown): void {
  if (!Array.isArray(interceptors)) {
    throw new TypeError(`${name}: expected an array, got ${shown(interceptors)}`);
  }
  for (const interceptor of interceptors) {
    if (typeof interceptor === "function") continue;
    throw new TypeError(`${name}: expected functions, got ${shown(interceptor)}`);
  }
}

function isMalformedPath(path: string): boolean {
  return path.charCodeAt(0) !== SLASH || !path.includes("/", 1);
}

const SLASH = 0x2f;

function malformedTimeout(text: string): GrpcError {
  return new GrpcError(
    Status.INTERNAL,
    `malformed grpc-timeout: expected 1 to 8 digits and one of H M S m u n, got ${JSON.stringify(text)}`,
    { reason: ErrorReason.INVALID_TIMEOUT, source: "downstream" },
  );
}

/** What a connection failed of before it was a session, without its peer. */
function ruleOf(error: Error, peer: string): string {
  const { message } = error;
  return message.startsWith(`${peer} `) ? message.slice(peer.length + 1) : message;
}
