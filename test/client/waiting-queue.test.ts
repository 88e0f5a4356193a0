import { describe, expect, it } from "vitest";
import { type Waiting, WaitingQueue } from "../../src/client/waiting-queue.ts";

class Caller implements Waiting {
  waitingAt = -1;
  readonly name: number;
  constructor(name: number) {
    this.name = name;
  }
}

/** Takes the one out that has waited longest. */
function shift(queue: WaitingQueue<Caller>): Caller | undefined {
  const caller = queue.peek();
  if (caller !== undefined) queue.remove(caller);
  return caller;
}

describe("WaitingQueue", () => {
  it("gives back in the order of arrival, without those that have left", () => {
    const queue = new WaitingQueue<Caller>();
    const [a, b, c] = [new Caller(1), new Caller(2), new Caller(3)] as const;
    for (const caller of [a, b, c]) queue.push(caller);
    expect(queue.remove(a)).toBe(true);
    expect(queue.remove(a)).toBe(false);
    expect([queue.size, queue.toArray().map(({ name }) => name)]).toEqual([2, [2, 3]]);
    expect([shift(queue), queue.remove(b), shift(queue), shift(queue)]).toEqual([
      b,
      false,
      c,
      undefined,
    ]);
    expect([a.waitingAt, b.waitingAt, c.waitingAt, queue.size]).toEqual([-1, -1, -1, 0]);
  });

  it("takes one that waited before in again, behind the others", () => {
    const queue = new WaitingQueue<Caller>();
    const [a, b] = [new Caller(1), new Caller(2)] as const;
    queue.push(a);
    queue.push(b);
    queue.remove(a);
    queue.push(a);
    expect([shift(queue), shift(queue)]).toEqual([b, a]);
  });

  it("does not take out what waits in another queue", () => {
    const [one, other] = [new WaitingQueue<Caller>(), new WaitingQueue<Caller>()];
    const [a, b] = [new Caller(1), new Caller(2)] as const;
    one.push(a);
    other.push(b);
    expect([one.remove(b), other.remove(a), one.size, other.size]).toEqual([false, false, 1, 1]);
  });

  it("makes room when it is full, wherever in the ring it begins", () => {
    for (let gone = 0; gone <= 32; gone++) {
      const queue = new WaitingQueue<Caller>();
      for (let i = 0; i < gone; i++) {
        queue.push(new Caller(-1));
        shift(queue);
      }
      const callers = Array.from({ length: 40 }, (_, i) => new Caller(i));
      for (const caller of callers) queue.push(caller);
      expect(queue.toArray()).toEqual(callers);
      expect(callers.map(() => shift(queue))).toEqual(callers);
    }
  });

  it("agrees with a list over many arrivals, departures and turns", () => {
    const queue = new WaitingQueue<Caller>();
    let model: Caller[] = [];
    let seed = 7;
    const random = (below: number): number => {
      seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
      return Math.floor((seed / 2 ** 32) * below);
    };
    // One that waits at the front for long lets the rest of the queue come and go behind it.
    const patient = new Caller(-1);
    queue.push(patient);
    model.push(patient);
    for (let step = 0; step < 20_000; step++) {
      const choice = random(5);
      if (choice < 2 && model.length < 200) {
        const caller = new Caller(step);
        queue.push(caller);
        model.push(caller);
      } else if (choice < 4) {
        const leaver = model[1 + random(model.length)];
        if (leaver !== undefined) {
          queue.remove(leaver);
          model = model.filter((caller) => caller !== leaver);
        }
      } else if (step > 10_000) {
        if (shift(queue) !== model.shift())
          expect.fail(`step ${step}: not the one that waited longest`);
      }
      if (queue.size !== model.length)
        expect.fail(`step ${step}: ${queue.size} for ${model.length}`);
    }
    expect(queue.toArray()).toEqual(model);
  });
});
