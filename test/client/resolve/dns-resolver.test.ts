// When a host name is looked up, and what is made of the answers.

import type { LookupAddress } from "node:dns";
import { describe, expect, it } from "vitest";
import { DnsResolver } from "../../../src/client/resolve/dns-resolver.ts";
import { ConnectionBackoff } from "../../../src/client/subchannel/connection-backoff.ts";
import type { ClientTlsOptions } from "../../../src/transport/tls.ts";
import { FakeClock } from "../../support/clock.ts";
import { answerLookups } from "../../support/lookup.ts";
import { eventually } from "../../support/relay-fixture.ts";

type Callback = (error: Error | null, answer?: unknown, family?: number) => void;

function setUp(options: Pick<ClientTlsOptions, "family" | "hints"> = {}) {
  const clock = new FakeClock();
  const asked: { host: string; options: object; answer: Callback }[] = [];
  const log: unknown[] = [];
  const lookup = (host: string, given: object, answer: Callback): void => {
    asked.push({ host, options: given, answer });
  };
  const resolver = new DnsResolver({
    ...{ host: "orders.test", port: 50_051, minIntervalMs: 30_000, clock },
    tls: { ...options, lookup: lookup as NonNullable<ClientTlsOptions["lookup"]> },
    waits: new ConnectionBackoff({}, () => 0.5),
  });
  const listener = {
    onAddresses: (addresses: unknown) => log.push(addresses),
    onError: (error: unknown) => log.push(error),
  };
  const answer = (given: unknown): void => {
    const { answer: callback } = asked.at(-1)!;
    if (given instanceof Error) callback(given);
    else callback(null, given);
  };
  return { resolver, listener, clock, asked, log, answer };
}

const v4 = (...addresses: string[]): LookupAddress[] =>
  addresses.map((address) => ({ address, family: 4 }));

describe("DnsResolver", () => {
  it("asks for all addresses of the name, and gives each its port", () => {
    const { resolver, listener, asked, log, answer } = setUp({ family: 4, hints: 32 });
    resolver.start(listener);
    expect(asked).toMatchObject([
      { host: "orders.test", options: { all: true, family: 4, hints: 32 } },
    ]);
    answer([...v4("10.0.0.1", "10.0.0.2"), { address: "2001:db8::1", family: 6 }]);
    expect(log).toEqual([["10.0.0.1:50051", "10.0.0.2:50051", "[2001:db8::1]:50051"]]);
  });

  it("asks the system when the user has no lookup of his own", async () => {
    answerLookups(["10.0.0.7"]);
    const clock = new FakeClock();
    const log: unknown[] = [];
    const resolver = new DnsResolver({
      ...{ host: "orders.test", port: 1, minIntervalMs: 0, clock, tls: undefined },
      waits: new ConnectionBackoff(),
    });
    resolver.start({
      onAddresses: (given) => log.push(given),
      onError: (error) => log.push(error),
    });
    await eventually("there is an answer", () => log.length > 0);
    expect(log).toEqual([["10.0.0.7:1"]]);
  });

  it("takes one address from a lookup that does not know `all`, once", () => {
    const { resolver, listener, asked, log } = setUp();
    resolver.start(listener);
    asked[0]?.answer(null, "10.0.0.1", 4);
    asked[0]?.answer(null, "10.0.0.2", 4);
    expect(log).toEqual([["10.0.0.1:50051"]]);
  });

  it("asks again when it is told to, and not before the least time since the last answer", () => {
    const { resolver, listener, clock, asked, log, answer } = setUp();
    resolver.start(listener);
    resolver.resolveNow();
    expect(asked).toHaveLength(1);
    answer(v4("10.0.0.1"));
    clock.advance(10_000);
    resolver.resolveNow();
    clock.advance(10_000);
    resolver.resolveNow();
    clock.advance(9_996);
    expect(asked).toHaveLength(1);
    clock.advance(8);
    expect(asked).toHaveLength(2);
    answer(v4("10.0.0.2"));
    expect([log.length, clock.timerCount]).toEqual([2, 0]);
    clock.advance(30_000);
    resolver.resolveNow();
    expect(asked).toHaveLength(3);
    answer(v4("10.0.0.2"));
  });

  it("tries again after a failure with backoff, whoever asks, and starts over after an answer", () => {
    const { resolver, listener, clock, asked, log, answer } = setUp();
    const error = Object.assign(new Error("getaddrinfo EAI_AGAIN orders.test"), {
      code: "EAI_AGAIN",
    });
    resolver.start(listener);
    for (const [count, waitMs] of [1_000, 1_600, 2_560].entries()) {
      answer(error);
      resolver.resolveNow();
      clock.advance(waitMs - 4);
      expect(asked).toHaveLength(count + 1);
      clock.advance(8);
      expect(asked).toHaveLength(count + 2);
    }
    expect(log).toEqual([error, error, error]);
    answer(v4("10.0.0.1"));
    clock.advance(30_000);
    resolver.resolveNow();
    answer(error);
    clock.advance(1_004);
    expect(asked).toHaveLength(6);
  });

  it.each([[[]], [undefined], [null], [[{}, 5]], [{ address: 5 }]])(
    "takes %j for a name that is not known",
    (given) => {
      const { resolver, listener, log, answer } = setUp();
      resolver.start(listener);
      answer(given);
      expect(log).toMatchObject([{ code: "ENOTFOUND", hostname: "orders.test" }]);
      resolver.close();
    },
  );

  it("takes what a lookup throws for its answer", () => {
    const log: unknown[] = [];
    const thrown = new TypeError("no such thing");
    const clock = new FakeClock();
    const resolver = new DnsResolver({
      ...{ host: "orders.test", port: 1, minIntervalMs: 0, clock },
      tls: {
        lookup: () => {
          throw thrown;
        },
      },
      waits: new ConnectionBackoff(),
    });
    resolver.start({
      onAddresses: (given) => log.push(given),
      onError: (error) => log.push(error),
    });
    expect(log).toEqual([thrown]);
    resolver.close();
    expect(clock.timerCount).toBe(0);
  });

  it("takes a tls function that gives a promise for a failure, and lets the promise go", () => {
    const log: unknown[] = [];
    const clock = new FakeClock();
    const resolver = new DnsResolver({
      ...{ host: "orders.test", port: 1, minIntervalMs: 0, clock },
      tls: (() => Promise.reject(new Error("no"))) as never,
      waits: new ConnectionBackoff(),
    });
    resolver.start({
      onAddresses: (given) => log.push(given),
      onError: (error) => log.push(error.message),
    });
    expect(log).toEqual([expect.stringContaining("one that returns a promise")]);
    resolver.close();
  });

  it("says nothing when it is closed", () => {
    const { resolver, listener, clock, log, asked, answer } = setUp();
    resolver.start(listener);
    resolver.close();
    answer(v4("10.0.0.1"));
    expect([log, clock.timerCount]).toEqual([[], 0]);
    asked.length = 0;
  });
});
