// The network of the in-memory transport: a queue of deliveries, so that a test decides when the
// other side gets each.

import { formatAddress } from "../../src/transport/address.ts";
import type { SocketAddress } from "../../src/transport/transport.ts";
import type { MemorySession } from "./memory-session.ts";

/** More deliveries than this at once mean that two sides answer each other for ever. */
const LIVELOCK_COUNT = 1_000_000;

export interface MemoryNetworkOptions {
  /**
   * Nothing moves before `deliver` or `step`.
   * @default false: everything is delivered in the next microtask
   */
  readonly manual?: boolean;
}

/** The listener at an address. */
export interface MemoryAcceptor {
  accept(client: MemorySession): void;
}

export class MemoryNetwork {
  readonly #manual: boolean;
  readonly #queue: (() => void)[] = [];
  readonly #acceptors = new Map<string, MemoryAcceptor>();
  readonly #silent = new Set<string>();
  /** Sessions that have not ended, both ends of each connection. */
  readonly sessions: Set<MemorySession> = new Set();
  #nextPort = 40_000;
  #scheduled = false;

  constructor(options: MemoryNetworkOptions = {}) {
    this.#manual = options.manual ?? false;
  }

  /** Deliveries that wait. */
  get pendingCount(): number {
    return this.#queue.length;
  }

  post(delivery: () => void): void {
    this.#queue.push(delivery);
    if (this.#manual || this.#scheduled) return;
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#scheduled = false;
      this.deliver();
    });
  }

  /** The oldest delivery alone; `false` when there is none. */
  step(): boolean {
    const delivery = this.#queue.shift();
    if (delivery === undefined) return false;
    delivery();
    return true;
  }

  /**
   * Delivers until nothing is left, further deliveries that these cause included. Returns how many
   * there were.
   */
  deliver(): number {
    for (let count = 0; ; count++) {
      if (!this.step()) return count;
      if (count === LIVELOCK_COUNT) throw new Error(`still not quiet after ${count} deliveries`);
    }
  }

  /** Breaks the connection of `session` now. Everything under way on it is lost. */
  cut(session: MemorySession): void {
    session.cut();
  }

  /** Makes `address` swallow connection attempts: it neither accepts nor refuses them. */
  silence(address: SocketAddress): void {
    this.#silent.add(formatAddress(address));
  }

  listen(address: SocketAddress, acceptor: MemoryAcceptor): SocketAddress {
    const bound =
      "port" in address && address.port === 0 ? { ...address, port: this.freePort() } : address;
    const key = formatAddress(bound);
    if (this.#acceptors.has(key)) {
      throw Object.assign(new Error(`listen EADDRINUSE: address already in use ${key}`), {
        code: "EADDRINUSE",
      });
    }
    this.#acceptors.set(key, acceptor);
    return bound;
  }

  unlisten(address: SocketAddress): void {
    this.#acceptors.delete(formatAddress(address));
  }

  acceptorOf(address: SocketAddress): MemoryAcceptor | "silent" | undefined {
    const key = formatAddress(address);
    return this.#silent.has(key) ? "silent" : this.#acceptors.get(key);
  }

  freePort(): number {
    return this.#nextPort++;
  }
}
