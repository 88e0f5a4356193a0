// A connection of stubs with a health check, and the servers' side of its watches.

import { expect } from "vitest";
import type { ClientStreamOptions } from "../../src/client/client-stream.ts";
import type { DialOptions } from "../../src/client/dial-options.ts";
import { HealthWatch } from "../../src/client/health/health-watch.ts";
import type { DialTarget } from "../../src/client/target.ts";
import type { StreamEnd } from "../../src/transport/transport.ts";
import { closeAtEnd } from "./cleanup.ts";
import { fieldsOf, message, response, trailersOnly } from "./frames.ts";
import { PATH } from "./relay-fixture.ts";
import { type StubConn, type StubSession, stubConn } from "./stub-session.ts";

export const A = "10.0.0.1:1";
export const B = "10.0.0.2:1";

export const SERVING = 1;
export const NOT_SERVING = 2;
const BACKOFF = { initialMs: 1_000, jitter: 0 };

const streamEnd = (kind: StreamEnd["kind"]): StreamEnd => ({
  ...{ kind, code: 2, unprocessed: false },
  ...{
    message: "10.0.0.1:1 reset stream 1: INTERNAL_ERROR",
    reason: "reset stream 1: INTERNAL_ERROR",
  },
});

/** What is done with one connection, and the watch on it. */
export class Watched {
  readonly session: StubSession;

  constructor(session: StubSession) {
    this.session = session;
  }

  /** All watches that were begun on it. */
  get watches(): readonly HealthWatch[] {
    return this.session.opened.filter((each) => each instanceof HealthWatch);
  }

  get watch(): HealthWatch {
    return this.watches.at(-1)!;
  }

  get isWatched(): boolean {
    return this.watches.some(({ isOpen }) => isOpen);
  }

  say(...statuses: number[]): void {
    this.bytes(Buffer.concat(statuses.map((status) => message(Buffer.from([8, status])))));
  }

  bytes(bytes: Buffer, endStream = false): void {
    this.watch.onHeaders(fieldsOf(response()), false);
    if (endStream) this.session.endStreamOf(this.watch);
    this.watch.onData(bytes, endStream);
  }

  /** The server ends the watch. */
  end(fields: Parameters<typeof fieldsOf>[0]): void {
    this.session.endStreamOf(this.watch);
    this.watch.onTrailers(fieldsOf(fields));
  }

  reset(kind: StreamEnd["kind"] = "reset"): void {
    this.session.endStreamOf(this.watch);
    this.watch.onReset(streamEnd(kind));
  }
}

export interface HealthScene extends StubConn {
  /** The changes of the connection, with their reasons. */
  readonly states: string[];
  /** The latest connection to the address. */
  at(address: string): Watched;
  /** Connects, and the servers at these addresses send their SETTINGS. */
  connect(...addresses: string[]): void;
  /** Makes a call. @returns where it went */
  call(options?: ClientStreamOptions): string | undefined;
  /** The latest call on the address ends with OK. */
  answer(address: string): void;
  /** The error of one more call. */
  failure(): Promise<unknown>;
}

export function checked(target: DialTarget = A, options: DialOptions = {}): HealthScene {
  const own = { healthCheck: {}, backoff: BACKOFF, random: () => 0.5 };
  const stub = stubConn({ ...own, ...options }, undefined, target);
  return scene(stub);
}

export function scene(stub: StubConn): HealthScene {
  const { conn, sessions, clock } = stub;
  const states: string[] = [];
  conn.onState((state, _error, reason) => states.push(`${state}: ${reason}`));
  closeAtEnd(async () => {
    for (const session of sessions) if (session.openStreamCount > 0) session.destroy();
    await conn.close();
    expect([clock.timerCount, conn.openStreamCount]).toEqual([0, 0]);
  });
  const at = (address: string): Watched =>
    new Watched(sessions.findLast((each) => each.address === address)!);
  return {
    ...{ ...stub, states, at },
    connect: (...addresses) => {
      conn.connect();
      for (const address of addresses) at(address).session.becomeReady();
    },
    call: (options_ = {}) => {
      const before = sessions.map(({ opened }) => opened.length);
      conn
        .newStream(PATH, options_)
        .trailer()
        .catch(() => undefined);
      return sessions.find(({ opened }, index) => opened.length !== (before[index] ?? 0))?.address;
    },
    answer: (address) => {
      const { session } = at(address);
      const listener = session.opened.findLast((each) => !(each instanceof HealthWatch))!;
      session.endStreamOf(listener);
      listener.onHeaders(fieldsOf(trailersOnly(0)), true);
    },
    failure: () =>
      conn
        .newStream(PATH)
        .trailer()
        .catch((thrown: unknown) => thrown),
  };
}
