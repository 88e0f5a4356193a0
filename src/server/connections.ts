// The listening sockets of a server, and its open connections from all sources.

import { tell } from "../check/check.ts";
import { publishRefusal, refused } from "../observe/channels.ts";
import type {
  Admission,
  ListenerEvents,
  ReachedLimit,
  Refusal,
  ServerSessionListener,
  Session,
  Stream,
  StreamListener,
} from "../transport/transport.ts";
import { ErrorCode } from "../wire/error-code.ts";
import type { HeaderList } from "../wire/field.ts";
import type { ConnectionLifetime } from "./connection-lifetime.ts";
import type { Dispatcher } from "./dispatcher.ts";
import { answerLargeRequest } from "./refused-request.ts";
import { RequestHead } from "./request-head.ts";

/** Brings connections until it is closed: a listening socket, or a server that was handed over. */
interface ConnectionSource {
  close(): Promise<void>;
}

interface ConnectionsOptions {
  /** Takes the requests. */
  readonly dispatcher: Dispatcher;
  /** Drains or destroys a connection that comes too late. */
  readonly onSession: (session: Session) => void;
  readonly onConnectionError: ((error: Error) => void) | undefined;
  readonly admission?: Admission | undefined;
  /** Left out when nothing bounds the life of a connection. */
  readonly lifetimeOf?: ((session: Session) => ConnectionLifetime) | undefined;
}

export class Connections implements ListenerEvents {
  readonly admission: Admission | undefined;
  readonly #options: ConnectionsOptions;
  readonly #sources = new Set<ConnectionSource>();
  readonly #sessions = new Set<Session>();
  /** Called when the last connection has closed. */
  #onNoneLeft: () => void = () => {};

  constructor(options: ConnectionsOptions) {
    this.#options = options;
    this.admission = options.admission;
  }

  get count(): number {
    return this.#sessions.size;
  }

  add(source: ConnectionSource): void {
    this.#sources.add(source);
  }

  /** The source was closed on its own. */
  remove(source: ConnectionSource): void {
    this.#sources.delete(source);
  }

  onSession(session: Session): ServerSessionListener {
    const { dispatcher, lifetimeOf } = this.#options;
    if (lifetimeOf === undefined) return this.onAttachedSession(session);
    this.#take(session);
    return new BoundedListener(session, dispatcher, this, lifetimeOf(session));
  }

  /**
   * For a connection of a server that was handed over: that server bounds its connections itself.
   */
  onAttachedSession(session: Session): ServerSessionListener {
    this.#take(session);
    return new ConnectionListener(session, this.#options.dispatcher, this);
  }

  #take(session: Session): void {
    this.#sessions.add(session);
    this.#options.onSession(session);
  }

  onSessionClosed(session: Session): void {
    this.#sessions.delete(session);
    if (this.#sessions.size === 0) this.#onNoneLeft();
  }

  onError(error: Error, peer: string | undefined, limit?: ReachedLimit): void {
    if (peer !== undefined && refused.hasSubscribers) {
      const rule = ruleOf(error, peer);
      const told = { scope: "connection", side: "downstream", peer, rule, cause: error } as const;
      refused.publish(limit === undefined ? told : { ...told, limit });
    }
    const { onConnectionError } = this.#options;
    if (onConnectionError !== undefined) tell("onConnectionError", () => onConnectionError(error));
  }

  /** Stops listening and drains every connection. Resolves when none is left. */
  async end(): Promise<void> {
    const noneLeft = new Promise<void>((resolve) => {
      this.#onNoneLeft = resolve;
    });
    const closed = [...this.#sources].map((source) => source.close());
    for (const session of [...this.#sessions]) session.drain();
    if (this.#sessions.size === 0) this.#onNoneLeft();
    await Promise.all([noneLeft, ...closed]);
  }

  destroyAll(message: string): void {
    for (const session of [...this.#sessions]) session.destroy(ErrorCode.NO_ERROR, message);
  }
}

const NO_HEAD = new RequestHead([]);

/**
 * The listener of one connection: passes its requests on, and remembers the head of the last one.
 */
class ConnectionListener implements ServerSessionListener {
  private readonly session: Session;
  private readonly dispatcher: Dispatcher;
  private readonly connections: Connections;
  private head = NO_HEAD;

  constructor(session: Session, dispatcher: Dispatcher, connections: Connections) {
    this.session = session;
    this.dispatcher = dispatcher;
    this.connections = connections;
  }

  onStream(stream: Stream, headers: HeaderList, endStream: boolean): StreamListener {
    if (this.head.headers !== headers) this.head = this.dispatcher.headOf(headers);
    return this.dispatcher.onRequest(stream, this.head, endStream);
  }

  onLargeRequest(stream: Stream, refusal: Refusal): StreamListener | undefined {
    return answerLargeRequest(stream, refusal.rule);
  }

  /** GOAWAY of a client is about pushed streams, and there are none. */
  onGoAway(): void {}

  onRefused(refusal: Refusal): void {
    publishRefusal("downstream", this.session.peer.remoteAddress, refusal);
  }

  onClosed(): void {
    this.connections.onSessionClosed(this.session);
  }
}

/** The listener of a connection whose life is bounded. */
class BoundedListener extends ConnectionListener {
  private readonly lifetime: ConnectionLifetime;

  constructor(
    session: Session,
    dispatcher: Dispatcher,
    connections: Connections,
    lifetime: ConnectionLifetime,
  ) {
    super(session, dispatcher, connections);
    this.lifetime = lifetime;
  }

  override onStream(stream: Stream, headers: HeaderList, endStream: boolean): StreamListener {
    this.lifetime.streamCount++;
    return super.onStream(stream, headers, endStream);
  }

  override onClosed(): void {
    this.lifetime.end();
    super.onClosed();
  }
}

/** Why a connection failed before it was a session, without the name of its peer. */
function ruleOf(error: Error, peer: string): string {
  const { message } = error;
  return message.startsWith(`${peer} `) ? message.slice(peer.length + 1) : message;
}
