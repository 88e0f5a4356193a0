// Deals connections out to the workers: each to the worker with the fewest open ones.
//
// node:cluster's own dealing gives a connection to whichever worker is free at that moment. Under
// load that is often the same one: the shares of two workers in 100 connections were 17 to 94 %.
// SO_REUSEPORT deals by chance: 44 to 60 %, from Node 22 on. The price of counting is 15 us per
// connection (181 to 186 us of CPU time of all processes for one that lives for one byte each way,
// 60 in a process alone).
//
// 1. Nothing of a connection is read here. A worker says that it takes one before it reads anything
//    of it, and this process keeps its handle until then. So a connection can be dealt again when
//    its worker dies, refuses or loses it (a process without free descriptors does).
// 2. A worker is given one connection at a time, since Node sends no second handle before the first
//    has come. The others wait here, and count as open ones of that worker.
// 3. A worker that does not answer for `STUCK_MS` gets nothing more until it answers.
// 4. While nobody takes connections, up to `MAX_HELD_CONNECTIONS` wait. One more is closed.

import type { HeldConnection } from "../transport/held-connections.ts";
import type { DealAnswer } from "./worker-messages.ts";

/** How long a worker may leave a connection without an answer, in milliseconds. */
const STUCK_MS = 1_000;
/** Each costs a file descriptor of this process. */
const MAX_HELD_CONNECTIONS = 4_096;

/** Sends to one worker. */
export interface Receiver {
  give(listener: number, connection: HeldConnection): void;
  /** Asks for an answer, for which `Hand.onProbed` is called. */
  probe(): void;
}

interface Held {
  /** The number of the address to which it came. */
  readonly listener: number;
  readonly connection: HeldConnection;
}

export class Dealer {
  /** Those who take connections, first the one that got its last one longest ago. */
  readonly #hands = new Set<Hand>();
  /** Nobody takes these yet. */
  #waiting: Held[] = [];
  #heldCount = 0;
  #isClosed = false;
  readonly #onTooMany: (error: Error) => void;

  /** @param onTooMany told of each connection that was closed because too many wait */
  constructor(onTooMany: (error: Error) => void) {
    this.#onTooMany = onTooMany;
  }

  deal(listener: number, connection: HeldConnection): void {
    // A client that has gone is found out by its worker.
    connection.on("error", () => {});
    if (this.#heldCount >= MAX_HELD_CONNECTIONS) {
      connection.destroy();
      this.#onTooMany(
        new Error(`${MAX_HELD_CONNECTIONS} connections wait for a worker, and more are closed`),
      );
      return;
    }
    this.#heldCount++;
    this.place({ listener, connection });
  }

  /** A worker takes connections from now on. */
  add(receiver: Receiver): Hand {
    const hand = new Hand(receiver, this);
    this.#hands.add(hand);
    this.placeWaiting();
    return hand;
  }

  /** Of a hand alone. */
  remove(hand: Hand): void {
    this.#hands.delete(hand);
  }

  /** Of a hand alone: a held connection has to go to another one. */
  place(held: Held): void {
    if (this.#isClosed) {
      this.release(held);
      return;
    }
    const hand = this.#choose();
    if (hand === undefined) {
      this.#waiting.push(held);
      return;
    }
    this.#hands.delete(hand);
    this.#hands.add(hand);
    hand.give(held);
  }

  /** Of a hand alone: it can be given connections again. */
  placeWaiting(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const held of waiting) this.place(held);
  }

  /** Of a hand alone: a worker has the connection, or it is not needed any more. */
  release({ connection }: Held): void {
    this.#heldCount--;
    connection.destroy();
  }

  /** Closes the connections that no worker has. */
  close(): void {
    this.#isClosed = true;
    this.placeWaiting();
    for (const hand of [...this.#hands]) hand.leave();
  }

  #choose(): Hand | undefined {
    let chosen: Hand | undefined;
    for (const hand of this.#hands) {
      if (hand.isStuck) continue;
      if (chosen === undefined || hand.openCount < chosen.openCount) chosen = hand;
    }
    return chosen;
  }
}

/** A worker that is dealt to. */
export class Hand {
  /** Connections that it was given and that have not closed, those that wait here included. */
  openCount = 0;
  /** It has not answered for too long. */
  isStuck = false;
  readonly #receiver: Receiver;
  readonly #dealer: Dealer;
  /** The first one is on its way to the worker. */
  #queue: Held[] = [];
  #timer: NodeJS.Timeout | undefined;
  /** Was on its way when the worker was asked. */
  #probed: Held | undefined;

  constructor(receiver: Receiver, dealer: Dealer) {
    this.#receiver = receiver;
    this.#dealer = dealer;
  }

  give(held: Held): void {
    this.openCount++;
    this.#queue.push(held);
    if (this.#queue.length === 1) this.#send(held);
  }

  onAnswer({ taken, closed }: DealAnswer): void {
    this.openCount -= closed;
    if (taken === undefined) return;
    if (!taken) this.leave();
    const held = this.#endSending();
    if (held !== undefined && taken) this.#dealer.release(held);
    else if (held !== undefined) this.#placeElsewhere([held]);
    this.#next();
  }

  /** The worker has answered. */
  onProbed(): void {
    const [first] = this.#queue;
    if (first === undefined || first !== this.#probed) return;
    this.#endSending();
    this.#placeElsewhere([first]);
    this.#next();
  }

  /** Gives no more connections to a worker that is about to close. */
  leave(): void {
    this.#dealer.remove(this);
    this.#placeElsewhere(this.#queue.splice(1));
  }

  /** The worker is gone, and everything that it said has been heard. */
  end(): void {
    clearTimeout(this.#timer);
    this.#dealer.remove(this);
    this.#placeElsewhere(this.#queue.splice(0));
  }

  #send({ listener, connection }: Held): void {
    this.#timer = setTimeout(this.#onStuck, STUCK_MS);
    this.#receiver.give(listener, connection);
  }

  #endSending(): Held | undefined {
    clearTimeout(this.#timer);
    this.#probed = undefined;
    return this.#queue.shift();
  }

  #next(): void {
    const [next] = this.#queue;
    if (next !== undefined) this.#send(next);
    if (!this.isStuck) return;
    this.isStuck = false;
    this.#dealer.placeWaiting();
  }

  readonly #onStuck = (): void => {
    this.isStuck = true;
    this.#probed = this.#queue[0];
    this.#receiver.probe();
    this.#placeElsewhere(this.#queue.splice(1));
  };

  #placeElsewhere(held: readonly Held[]): void {
    this.openCount -= held.length;
    for (const each of held) this.#dealer.place(each);
  }
}
