// The TLS handshakes under way on one listening socket. None outlives the socket or its time, and
// each failed one is reported with its peer.

import { Socket } from "node:net";
import type { Server, TLSSocket } from "node:tls";
import type { Clock } from "../time/clock.ts";
import { Timer, type TimerOwner } from "../time/timer-wheel.ts";
import { handshakeError } from "./error-text.ts";
import { remoteAddressOf } from "./peer-info.ts";
import type { ListenerEvents } from "./transport.ts";

/** A TLS socket with the socket below it, which Node does not document. */
type OverSocket = TLSSocket & { readonly _parent?: unknown };

/** The rule that a client broke which agreed on HTTP/2, or needed not to, and said no more. */
export const NO_HTTP2 = "did not begin to speak HTTP/2";

/** The code of the error that Node itself makes of a handshake without a word for too long. */
const TIMED_OUT = "ERR_TLS_HANDSHAKE_TIMEOUT";

export class Handshakes {
  readonly #timeoutMs: number;
  readonly #clock: Clock;
  readonly #events: ListenerEvents;
  readonly #underWay = new Set<Handshake>();
  readonly #ofSocket = new WeakMap<Socket, Handshake>();

  constructor(timeoutMs: number, clock: Clock, events: ListenerEvents) {
    this.#timeoutMs = timeoutMs;
    this.#clock = clock;
    this.#events = events;
  }

  /** Adds a connection that is about to begin its handshake. */
  add(socket: Socket): void {
    const endMs = this.#clock.nowMs() + this.#timeoutMs;
    const handshake = new Handshake(socket, endMs, () => this.#expire(handshake));
    this.#underWay.add(handshake);
    this.#ofSocket.set(socket, handshake);
    this.#clock.schedule(handshake.timer, this.#timeoutMs);
    // The socket closes together with the TLS socket on it, whichever is destroyed.
    socket.once("close", () => this.#leave(handshake));
  }

  /** @param server the server that makes the handshakes from now on */
  watch(server: Server): void {
    server.prependListener("secureConnection", (socket: OverSocket) => {
      const handshake = this.#below(socket);
      if (handshake !== undefined) this.#leave(handshake);
      // If the socket below is unknown, any of the sockets could be a session's by now.
      else for (const each of this.#underWay) this.#leave(each);
    });
    server.on("tlsClientError", (error: Error, socket: OverSocket) => {
      const handshake = this.#below(socket);
      const peer = handshake?.peer ?? remoteAddressOf(socket);
      // Node reports a handshake that took too long, but does not end its socket.
      socket.destroy();
      if (handshake !== undefined) {
        if (handshake.isTold) return;
        this.#fail(handshake);
      }
      if ("code" in error && error.code === TIMED_OUT) this.#tellLate(peer);
      else this.#events.onError(handshakeError(peer, error, socket.authorizationError), peer);
    });
  }

  /** How much of its time the client on `socket` has left, in milliseconds. */
  leftMs(socket: Socket): number {
    const handshake = this.#below(socket);
    return handshake === undefined ? this.#timeoutMs : handshake.endMs - this.#clock.nowMs();
  }

  /** Ends all handshakes, with the listening socket. */
  destroyAll(): void {
    for (const { socket } of this.#underWay) socket.destroy();
  }

  #below({ _parent }: Socket & { readonly _parent?: unknown }): Handshake | undefined {
    return _parent instanceof Socket ? this.#ofSocket.get(_parent) : undefined;
  }

  #leave(handshake: Handshake): void {
    this.#underWay.delete(handshake);
    this.#clock.cancel(handshake.timer);
  }

  #fail(handshake: Handshake): void {
    handshake.isTold = true;
    this.#leave(handshake);
  }

  #expire(handshake: Handshake): void {
    this.#fail(handshake);
    handshake.socket.destroy();
    this.#tellLate(handshake.peer);
  }

  #tellLate(peer: string): void {
    const limit = { name: "handshakeTimeoutMs", value: this.#timeoutMs };
    const text = `${peer} did not complete the TLS handshake within ${limit.value} ms`;
    this.#events.onError(Object.assign(new Error(text), { code: TIMED_OUT }), peer, limit);
  }
}

/** One connection, from its beginning until TLS stands on it. */
class Handshake implements TimerOwner {
  readonly socket: Socket;
  /** Read when the socket comes: a socket that its client has closed has forgotten its address. */
  readonly peer: string;
  readonly endMs: number;
  readonly timer: Timer = new Timer(this);
  readonly onTimer: () => void;
  /** Its failure was reported. */
  isTold = false;

  constructor(socket: Socket, endMs: number, onExpired: () => void) {
    this.socket = socket;
    this.peer = remoteAddressOf(socket);
    this.endMs = endMs;
    this.onTimer = onExpired;
  }
}
