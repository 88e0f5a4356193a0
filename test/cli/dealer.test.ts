// Who gets a connection: by counts, with workers that are simulated.

import { Socket } from "node:net";
import { describe, expect, it, vi } from "vitest";
import { Dealer, type Hand, type Receiver } from "../../src/cli/dealer.ts";
import { closeAtEnd } from "../support/cleanup.ts";

class FakeWorker implements Receiver {
  readonly given: Socket[] = [];
  probeCount = 0;
  readonly hand: Hand;

  constructor(dealer: Dealer) {
    this.hand = dealer.add(this);
  }

  give(_listener: number, connection: Socket): void {
    this.given.push(connection);
  }

  probe(): void {
    this.probeCount++;
  }

  take(closed = 0): void {
    this.hand.onAnswer({ taken: true, closed });
  }
}

function newDealer(): { dealer: Dealer; errors: Error[]; deal(): Socket } {
  const errors: Error[] = [];
  const dealer = new Dealer((error) => errors.push(error));
  const deal = (): Socket => {
    const socket = new Socket();
    dealer.deal(0, socket);
    return socket;
  };
  return { dealer, errors, deal };
}

function useFakeTimers(): void {
  vi.useFakeTimers();
  closeAtEnd(() => vi.useRealTimers());
}

describe("Dealer", () => {
  it("gives half of 100 connections to each of two workers, however fast they take them", () => {
    const { dealer, deal } = newDealer();
    const [fast, slow] = [new FakeWorker(dealer), new FakeWorker(dealer)];
    for (let i = 0; i < 100; i++) {
      deal();
      if (fast.hand.openCount > fast.given.length - 1) fast.take();
    }
    expect([fast.hand.openCount, slow.hand.openCount]).toEqual([50, 50]);
    expect(slow.given).toHaveLength(1);
  });

  it("gives the next ones to the worker whose connections have closed", () => {
    const { dealer, deal } = newDealer();
    const [first, second] = [new FakeWorker(dealer), new FakeWorker(dealer)];
    for (let i = 0; i < 4; i++) {
      deal();
      for (const worker of [first, second]) if (worker.given.length > i / 2) worker.take();
    }
    second.hand.onAnswer({ closed: 2 });
    const before = second.given.length;
    for (let i = 0; i < 2; i++) {
      deal();
      second.take();
    }
    expect(second.given.length - before).toBe(2);
    expect([first.hand.openCount, second.hand.openCount]).toEqual([2, 2]);
  });

  it("keeps its handle until the worker has taken the connection", () => {
    const { dealer, deal } = newDealer();
    const worker = new FakeWorker(dealer);
    const socket = deal();
    expect(socket.destroyed).toBe(false);
    worker.take();
    expect(socket.destroyed).toBe(true);
  });

  it("deals again what a worker that died, refused or closes had not taken", () => {
    const { dealer, deal } = newDealer();
    const first = new FakeWorker(dealer);
    const sockets = [deal(), deal(), deal()];
    const second = new FakeWorker(dealer);
    first.hand.end();
    expect(second.given).toEqual([sockets[0]]);
    second.take();
    second.hand.onAnswer({ taken: false, closed: 0 });
    const third = new FakeWorker(dealer);
    expect(third.given).toHaveLength(1);
    expect(third.given[0]).toBe(sockets[2]);
    third.hand.leave();
    const fourth = new FakeWorker(dealer);
    expect(fourth.given).toHaveLength(1);
    expect(fourth.given[0]).toBe(sockets[1]);
    expect(sockets.map((socket) => socket.destroyed)).toEqual([true, false, false]);
  });

  it("gives nothing more to a worker that does not answer, until it does", () => {
    useFakeTimers();
    const { dealer, deal } = newDealer();
    const stuck = new FakeWorker(dealer);
    const sockets = [deal(), deal()];
    vi.advanceTimersByTime(1_000);
    expect(stuck.probeCount).toBe(1);
    const other = new FakeWorker(dealer);
    expect(other.given).toEqual([sockets[1]]);
    other.take();
    expect(deal()).toBe(other.given[1]);
    stuck.take();
    deal();
    expect(stuck.given).toHaveLength(2);
    other.hand.end();
    stuck.hand.end();
  });

  it("deals a connection again that a worker answers to have lost", () => {
    useFakeTimers();
    const { dealer, deal } = newDealer();
    const worker = new FakeWorker(dealer);
    const socket = deal();
    vi.advanceTimersByTime(1_000);
    worker.hand.onProbed();
    expect(worker.given).toEqual([socket, socket]);
    worker.take();
    // An answer that comes late is about no other connection.
    deal();
    worker.hand.onProbed();
    expect(worker.given).toHaveLength(3);
    worker.hand.end();
  });

  it("holds a bounded number while nobody takes any, and closes those at its end", () => {
    const { dealer, errors, deal } = newDealer();
    const sockets = Array.from({ length: 4_096 }, deal);
    expect(errors).toEqual([]);
    expect(deal().destroyed).toBe(true);
    expect(errors.map(({ message }) => message)).toEqual([
      "4096 connections wait for a worker, and more are closed",
    ]);
    expect(sockets.some((socket) => socket.destroyed)).toBe(false);
    dealer.close();
    expect(sockets.every((socket) => socket.destroyed)).toBe(true);
  });
});
