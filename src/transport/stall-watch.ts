// Finds a connection whose socket takes nothing although something waits for the peer: the peer, or
// its system, reads no more. The watch must not know HTTP/2.

import type { Socket } from "node:net";
import type { Clock } from "../time/clock.ts";
import { Timer, type TimerOwner } from "../time/timer-wheel.ts";

/**
 * So many looks in a row have to find that nothing was taken. They are counted, and not the time
 * between the first and the last: a process that stood still must not blame its peers.
 *
 * A system takes bytes in steps. Linux says that a socket is writable when a third of its send
 * buffer is free, so a slow reader makes progress here only with each third.
 */
const LOOKS = 8;

/** The rule that the peer broke, for `grpc-relay:refused`. */
export const TOOK_NOTHING = "took nothing of what waits for it";

/** The parts of a session that its watch uses. */
interface StallableSession {
  /** Bytes wait for the socket, or may wait: the watch goes on. */
  readonly maySend: boolean;
  /** Nothing was taken for the whole time. */
  onStalled(): void;
}

/**
 * Checks one socket, from `begin` on for as long as its session may have something to send. Nothing
 * is done per read or write while the timer runs.
 */
export class StallWatch implements TimerOwner {
  private readonly lookMs: number;
  private readonly clock: Clock;
  private readonly socket: Socket;
  private readonly session: StallableSession;
  private readonly timer = new Timer(this);
  private takenBytes = -1;
  private looks = 0;
  private isOver = false;

  /** @param timeoutMs Infinity for never */
  constructor(timeoutMs: number, clock: Clock, socket: Socket, session: StallableSession) {
    this.lookMs = timeoutMs / LOOKS;
    this.clock = clock;
    this.socket = socket;
    this.session = session;
  }

  /** Something may be waiting from now on. */
  begin(): void {
    if (this.timer.scheduled || this.isOver || this.lookMs === Number.POSITIVE_INFINITY) return;
    this.clock.schedule(this.timer, this.lookMs);
  }

  /** Nothing may be waiting any more, until `begin`. */
  pause(): void {
    this.looks = 0;
    this.clock.cancel(this.timer);
  }

  /** The session is over. */
  stop(): void {
    this.isOver = true;
    this.clock.cancel(this.timer);
  }

  onTimer(): void {
    const { waiting, taken } = progressOf(this.socket);
    if (waiting > 0 && taken === this.takenBytes) this.looks++;
    else this.looks = 0;
    this.takenBytes = taken;
    if (this.looks >= LOOKS) {
      this.stop();
      this.session.onStalled();
    } else if (waiting > 0 || this.session.maySend) {
      this.begin();
    }
  }
}

/** The object of Node below a socket. With TLS it lies on the one of the TCP socket. */
interface Handle {
  readonly _parent?: unknown;
  readonly bytesWritten?: unknown;
  readonly writeQueueSize?: unknown;
}

interface Progress {
  /** Bytes that the system has not taken. */
  readonly waiting: number;
  /** Bytes that it has taken so far. */
  readonly taken: number;
}

/**
 * Node does not document the handle. Without it only whole writes count as progress, and writes of
 * node:http2 are not seen.
 */
function progressOf(socket: Socket & { readonly _handle?: unknown }): Progress {
  let handle = handleOf(socket._handle);
  for (let below = handleOf(handle?._parent); below !== undefined; ) {
    handle = below;
    below = handleOf(below._parent);
  }
  const { bytesWritten, writeQueueSize } = handle ?? {};
  if (typeof bytesWritten === "number" && typeof writeQueueSize === "number") {
    return { waiting: writeQueueSize, taken: bytesWritten - writeQueueSize };
  }
  const waiting = socket.writableLength;
  return { waiting, taken: socket.bytesWritten - waiting };
}

function handleOf(value: unknown): Handle | undefined {
  return typeof value === "object" && value !== null ? value : undefined;
}
