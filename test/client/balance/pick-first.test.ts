// Which address "pickFirst" stays with, and in which order and time it tries them.

import { describe, expect, it } from "vitest";
import { PickFirst } from "../../../src/client/balance/pick-first.ts";
import { FakeAddresses } from "../../support/balancing.ts";

const of = (...addresses: string[]) =>
  new FakeAddresses((host) => new PickFirst(host), ...addresses);

describe("pickFirst", () => {
  it("connects nothing before a call wants it, and one address then, whatever comes", () => {
    const set = of("a:1", "b:1");
    expect([set.done(), set.pick()]).toEqual([[], undefined]);
    expect(set.done()).toEqual(["connect a:1"]);
    expect([set.pick(), set.done()]).toEqual([undefined, []]);
  });

  it("stays with the first that is ready", () => {
    const set = of("a:1", "b:1");
    set.pick();
    set.become("ready", "a:1");
    expect([set.pick(), set.pick(), set.delays]).toEqual(["a:1", "a:1", []]);
    set.balancer.connect?.();
    expect(set.done()).toEqual(["connect a:1"]);
  });

  it("tries the next at once when one has failed, and waits when all have", () => {
    const set = of("a:1", "b:1", "c:1");
    set.pick();
    set.become("transientFailure", "a:1");
    set.become("transientFailure", "b:1");
    expect(set.done()).toEqual(["connect a:1", "connect b:1", "connect c:1"]);
    set.become("transientFailure", "c:1");
    expect([set.pick(), set.delays, set.done()]).toEqual([undefined, [], []]);
    // The backoff of one is over: nobody wants it yet.
    set.become("idle", "b:1");
    expect(set.done()).toEqual([]);
    set.pick();
    expect(set.done()).toEqual(["connect b:1"]);
  });

  it("tries each at once where attempts fail at once", () => {
    const set = of("a:1", "b:1", "c:1");
    for (const each of set.all) each.outcome = "transientFailure";
    set.pick();
    expect(set.done()).toEqual(["connect a:1", "connect b:1", "connect c:1"]);
    set.become("idle", "a:1");
    set.pick();
    expect(set.done()).toEqual(["connect a:1"]);
  });

  it("tries the next 250 ms after the one before; the first that is ready is it, the others are let go", () => {
    const set = of("a:1", "b:1", "c:1");
    set.pick();
    expect(set.delays.map(({ ms }) => ms)).toEqual([250]);
    set.fire();
    expect(set.done()).toEqual(["connect a:1", "connect b:1"]);
    set.become("transientFailure", "a:1");
    // b still has time.
    expect([set.done(), set.delays.length]).toEqual([[], 1]);
    set.become("ready", "b:1");
    expect([set.pick(), set.done(), set.delays]).toEqual(["b:1", ["disconnect a:1"], []]);
  });

  it("has no delay behind the last address", () => {
    const set = of("a:1", "b:1");
    set.pick();
    set.fire();
    expect(set.delays).toEqual([]);
    set.become("transientFailure", "b:1");
    expect([set.pick(), set.done()]).toEqual([undefined, ["connect a:1", "connect b:1"]]);
    set.become("ready", "a:1");
    expect(set.pick()).toBe("a:1");
  });

  it("tries an address that comes during an attempt 250 ms later, once, and the next after it", () => {
    const set = of("a:1");
    set.pick();
    expect(set.delays).toEqual([]);
    set.list("a:1", "b:1");
    set.list("a:1", "b:1", "c:1");
    expect([set.done(), set.delays.map(({ ms }) => ms)]).toEqual([["connect a:1"], [250]]);
    set.fire();
    expect([set.done(), set.delays.length]).toEqual([["connect b:1"], 1]);
    set.become("ready", "b:1");
    expect([set.pick(), set.done(), set.delays]).toEqual(["b:1", ["disconnect a:1"], []]);
  });

  it("takes turns between the families, the first one's first", () => {
    const set = of("[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1", "unix:/s", "2.2.2.2:1");
    set.pick();
    for (let i = 0; i < 6; i++) set.fire();
    expect(set.done()).toEqual([
      "connect [::1]:1",
      "connect 1.1.1.1:1",
      "connect unix:/s",
      "connect [::2]:1",
      "connect 2.2.2.2:1",
      "connect [::3]:1",
    ]);
  });

  it("begins again from the first when it is lost and a call wants it", () => {
    const set = of("a:1", "b:1");
    set.get("a:1").outcome = "transientFailure";
    set.pick();
    set.become("ready", "b:1");
    expect(set.done()).toEqual(["connect a:1", "connect b:1", "disconnect a:1"]);
    set.become("idle", "b:1");
    expect(set.done()).toEqual([]);
    set.get("a:1").outcome = "connecting";
    set.pick();
    expect(set.done()).toEqual(["connect a:1"]);
  });

  it("stays with its address in a new list, and leaves it when it is not in it", () => {
    const set = of("a:1", "b:1");
    set.pick();
    set.become("ready", "a:1");
    set.done();
    set.list("c:1", "a:1");
    expect([set.pick(), set.done()]).toEqual(["a:1", []]);
    set.list("c:1");
    expect([set.pick(), set.done()]).toEqual([undefined, ["connect c:1"]]);
  });

  it("goes on when the address that it tries has left the list", () => {
    const set = of("a:1", "b:1");
    set.pick();
    set.list("b:1");
    expect(set.done()).toEqual(["connect a:1", "connect b:1"]);
  });

  it("forgets the delay when it is closed", () => {
    const set = of("a:1", "b:1");
    set.pick();
    set.balancer.close?.();
    expect(set.delays).toEqual([]);
  });
});
