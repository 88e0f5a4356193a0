import type { Socket } from "node:net";
import { describe, expect, it } from "vitest";
import { StallWatch } from "../../src/transport/stall-watch.ts";
import { FakeClock } from "../support/clock.ts";

const TIMEOUT_MS = 8_000;

/** A socket whose system takes bytes when the test says so. */
class SlowSocket {
  readonly below = { bytesWritten: 0, writeQueueSize: 0 };
  readonly writableLength = 0;
  readonly bytesWritten = 0;
  readonly _handle: object;

  constructor(withTls: boolean) {
    this._handle = withTls ? { _parent: this.below } : this.below;
  }

  give(bytes: number): void {
    this.below.bytesWritten += bytes;
    this.below.writeQueueSize += bytes;
  }

  take(bytes: number): void {
    this.below.writeQueueSize -= bytes;
  }
}

function watched(withTls: boolean) {
  const clock = new FakeClock();
  const socket = new SlowSocket(withTls);
  let stalls = 0;
  const session = { maySend: false, onStalled: () => void stalls++ };
  const watch = new StallWatch(TIMEOUT_MS, clock, socket as unknown as Socket, session);
  socket.give(100);
  watch.begin();
  return { clock, socket, session, watch, stalls: () => stalls };
}

describe.each([
  ["plain", false],
  ["TLS", true],
])("the watch of a %s socket", (_kind, withTls) => {
  it("finds a peer that takes nothing", () => {
    const { clock, stalls } = watched(withTls);
    clock.advance(TIMEOUT_MS);
    expect(stalls()).toBe(0);
    clock.advance(TIMEOUT_MS / 8 + 4);
    expect(stalls()).toBe(1);
  });

  it("leaves one that takes a byte within the time, for as long as it does", () => {
    const { clock, socket, stalls } = watched(withTls);
    for (let taken = 0; taken < 50; taken++) {
      clock.advance((TIMEOUT_MS * 7) / 8);
      socket.take(1);
    }
    expect(stalls()).toBe(0);
    clock.advance((TIMEOUT_MS * 9) / 8 + 4);
    expect(stalls()).toBe(1);
  });

  it("counts what is given as nothing that was taken", () => {
    const { clock, socket, stalls } = watched(withTls);
    for (let given = 0; given < 20; given++) {
      clock.advance(TIMEOUT_MS / 8);
      socket.give(10);
    }
    expect(stalls()).toBe(1);
  });

  it("forgets what it has seen when it is told to pause", () => {
    const { clock, watch, stalls } = watched(withTls);
    clock.advance((TIMEOUT_MS * 7) / 8);
    watch.pause();
    expect(clock.timerCount).toBe(0);
    clock.advance(TIMEOUT_MS);
    watch.begin();
    clock.advance((TIMEOUT_MS * 7) / 8 + 4);
    expect(stalls()).toBe(0);
    clock.advance(TIMEOUT_MS / 8);
    expect(stalls()).toBe(1);
  });

  it("sleeps when nothing waits, and begins anew", () => {
    const { clock, socket, watch, stalls } = watched(withTls);
    clock.advance(TIMEOUT_MS / 2);
    socket.take(100);
    clock.advance(TIMEOUT_MS * 10);
    expect(stalls()).toBe(0);
    socket.give(1);
    watch.begin();
    clock.advance((TIMEOUT_MS * 10) / 8);
    expect(stalls()).toBe(1);
  });
});
