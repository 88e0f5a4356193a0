// A client session that does what the test says, and a connection made of such.

import { ClientConn } from "../../src/client/client-conn.ts";
import { dial } from "../../src/client/dial.ts";
import { type DialOptions, resolveDialOptions } from "../../src/client/dial-options.ts";
import type { SessionSource } from "../../src/client/subchannel/session-source.ts";
import type { DialTarget } from "../../src/client/target.ts";
import { formatAddress } from "../../src/transport/address.ts";
import type {
  ClientSession,
  ClientSessionListener,
  Stream,
  StreamListener,
  StreamWatcher,
} from "../../src/transport/transport.ts";
import { FakeClock } from "./clock.ts";
import { transportOf } from "./transport-of.ts";

export class StubSession implements ClientSession {
  accepting = false;
  answered = false;
  openStreamCount = 0;
  nowMs = 0;
  peer = { remoteAddress: "stub", localAddress: "" } as ClientSession["peer"];
  drained = 0;
  /** The server's MAX_CONCURRENT_STREAMS. */
  streamLimit = 100;
  /** Its socket takes nothing. */
  isBlocked = false;
  /** Called when a stream is opened. */
  onOpenStream: (session: StubSession) => void = () => {};
  readonly opened: StreamListener[] = [];
  watcher: StreamWatcher | undefined;
  readonly #open = new Set<StreamListener>();
  readonly listener: ClientSessionListener;
  /** Where it leads. */
  readonly address: string;

  constructor(listener: ClientSessionListener, address = "") {
    this.listener = listener;
    this.address = address;
  }

  get availableStreamCount(): number {
    if (!this.accepting || this.isBlocked) return 0;
    return Math.max(0, this.streamLimit - this.openStreamCount);
  }

  get atStreamLimit(): boolean {
    return this.openStreamCount >= this.streamLimit;
  }

  /** The server's SETTINGS have come. */
  becomeReady(): void {
    this.accepting = true;
    this.listener.onAvailable();
  }

  /** One of its streams is over: the latest that has not ended yet. */
  endStream(): void {
    this.openStreamCount--;
    this.#ended(this.opened.findLast((listener) => this.#open.has(listener)));
    const isWatched = this.watcher !== undefined;
    if (isWatched || this.openStreamCount === this.streamLimit - 1) this.listener.onAvailable();
  }

  /** The stream of `listener` is over. */
  endStreamOf(listener: StreamListener): void {
    this.openStreamCount--;
    this.#ended(listener);
    this.listener.onAvailable();
  }

  #ended(listener: StreamListener | undefined): void {
    if (listener !== undefined && this.#open.delete(listener)) {
      this.watcher?.onStreamEnded(listener);
    }
  }

  watchStreams(watcher: StreamWatcher | undefined): void {
    this.watcher = watcher;
    for (const listener of this.#open) watcher?.onStreamOpened(listener);
  }

  closed(): void {
    this.accepting = false;
    this.openStreamCount = 0;
    this.listener.onClosed({ kind: "closed", code: 0, message: "stub closed" });
  }

  openStream(_headers: unknown, _end: boolean, listener: StreamListener): Stream {
    this.opened.push(listener);
    this.#open.add(listener);
    this.watcher?.onStreamOpened(listener);
    this.openStreamCount++;
    this.onOpenStream(this);
    const reset = (): void => {
      if (this.#open.has(listener) && this.openStreamCount > 0) this.openStreamCount--;
      this.#ended(listener);
    };
    const stream = { session: this, reset, queuedBytes: 0, sendData: () => 0, acknowledge() {} };
    return stream as unknown as Stream;
  }

  drain(): void {
    this.drained++;
    this.accepting = false;
  }

  destroy(): void {
    this.closed();
  }

  ping(_onAcknowledged: () => void): void {}
}

export interface StubConn {
  readonly conn: ClientConn;
  /** All that were made for it. */
  readonly sessions: StubSession[];
  readonly clock: FakeClock;
}

/**
 * A connection to a backend of stubs.
 * @param connect what each attempt begins with
 */
export function stubConn(
  options: DialOptions = {},
  connect?: (listener: ClientSessionListener) => void,
  target: DialTarget = "127.0.0.1:1",
): StubConn {
  const sessions: StubSession[] = [];
  const transport = transportOf("stub", {
    connect: ({ address }, listener) => {
      connect?.(listener);
      const session = new StubSession(listener, formatAddress(address));
      sessions.push(session);
      return session;
    },
  });
  const clock = new FakeClock();
  const own = { transport, clock, random: () => 0.5 };
  const conn = dial(target, { ...own, ...options });
  return { conn, sessions, clock };
}

/**
 * A connection over one stub that was handed over.
 * @param taken what the session does while it is taken
 */
export function stubConnOver(
  taken: (session: StubSession) => void = () => {},
  options: DialOptions = {},
): StubConn {
  const sessions: StubSession[] = [];
  const clock = new FakeClock();
  const source: SessionSource = {
    connect: (listener) => {
      const session = new StubSession(listener);
      sessions.push(session);
      taken(session);
      return session;
    },
    reconnects: false,
  };
  const address = { text: "(session)", socket: { path: "(session)" }, weight: 1 };
  const backend = {
    ...{ name: "(session)", authority: "localhost", addresses: [address], resolver: undefined },
    ...{ reconnects: false, sourceOf: () => source },
  };
  const conn = ClientConn.create(backend, resolveDialOptions({ clock, ...options }));
  return { conn, sessions, clock };
}
