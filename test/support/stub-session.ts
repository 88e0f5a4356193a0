// A client session that does what the test says, and a connection made of such.

import { ClientConn } from "../../src/client/client-conn.ts";
import { dial } from "../../src/client/dial.ts";
import { type DialOptions, resolveDialOptions } from "../../src/client/dial-options.ts";
import type {
  ClientSession,
  ClientSessionListener,
  Stream,
  StreamListener,
} from "../../src/transport/transport.ts";
import { FakeClock } from "./clock.ts";
import { transportOf } from "./transport-of.ts";

export class StubSession implements ClientSession {
  availableStreamCount = 0;
  accepting = false;
  answered = false;
  openStreamCount = 0;
  nowMs = 0;
  peer = { remoteAddress: "stub", localAddress: "" } as ClientSession["peer"];
  drained = 0;
  readonly opened: StreamListener[] = [];
  readonly listener: ClientSessionListener;

  constructor(listener: ClientSessionListener) {
    this.listener = listener;
  }

  /** The server's SETTINGS have come. */
  becomeReady(): void {
    this.availableStreamCount = 100;
    this.accepting = true;
    this.listener.onAvailable();
  }

  closed(): void {
    this.listener.onClosed({ kind: "closed", code: 0, message: "stub closed" });
  }

  openStream(_headers: unknown, _end: boolean, listener: StreamListener): Stream {
    this.opened.push(listener);
    const stream = { session: this, reset: () => {}, queuedBytes: 0, sendData: () => 0 };
    return stream as unknown as Stream;
  }

  drain(): void {
    this.drained++;
  }

  destroy(): void {
    this.closed();
  }

  ping(): void {}
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
): StubConn {
  const sessions: StubSession[] = [];
  const transport = transportOf("stub", {
    connect: (_options, listener) => {
      connect?.(listener);
      const session = new StubSession(listener);
      sessions.push(session);
      return session;
    },
  });
  const clock = new FakeClock();
  const conn = dial("127.0.0.1:1", { transport, clock, random: () => 0.5, ...options });
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
  const name = { name: "(session)", authority: "localhost" };
  const conn = ClientConn.create(name, resolveDialOptions({ clock, ...options }), {
    connect: (listener) => {
      const session = new StubSession(listener);
      sessions.push(session);
      taken(session);
      return session;
    },
    reconnects: false,
  });
  return { conn, sessions, clock };
}
