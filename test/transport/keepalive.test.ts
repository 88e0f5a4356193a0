import { beforeEach, describe, expect, it } from "vitest";
import {
  Keepalive,
  type KeepaliveOptions,
  resolveKeepalive,
  resolveServerKeepalive,
  SILENCE_MS,
} from "../../src/transport/keepalive.ts";

/** The interval by default. */
const INTERVAL_MS = 310_000;
/** What the strictest server permits by default: a PING in 5 minutes while calls are open. */
const PERMITTED_MS = 300_000;

describe("a Keepalive", () => {
  let keepalive: Keepalive;
  let nowMs: number;
  let lastReadMs: number;
  let openStreams: number;

  const make = (options?: KeepaliveOptions): void => {
    keepalive = new Keepalive(resolveKeepalive(options));
  };

  beforeEach(() => {
    make();
    nowMs = 77;
    lastReadMs = 70;
    openStreams = 1;
  });

  const send = (): void => keepalive.sent(nowMs);
  const look = (): string => keepalive.look(lastReadMs, openStreams, nowMs);
  const later = (ms: number): string => {
    nowMs += ms;
    return look();
  };
  const leftMs = (): number => keepalive.nextMs - nowMs;
  /** The peer sends something that is neither HEADERS nor DATA. */
  const read = (): void => {
    lastReadMs = nowMs;
  };
  const acknowledge = (): void => {
    read();
    keepalive.acknowledged(nowMs);
  };
  /** The peer sends HEADERS or DATA. */
  const answer = (): void => {
    read();
    keepalive.heard();
  };

  describe("while an answer is due", () => {
    it("asks once when nothing was read for 5 s after something was sent, and gives up 5 s later", () => {
      expect(SILENCE_MS).toBe(5_000);
      send();
      expect(look()).toBe("wait");
      expect(leftMs()).toBe(5_000);
      expect(later(4_999)).toBe("wait");
      expect(later(1)).toBe("ping");
      expect(leftMs()).toBe(5_000);
      expect(later(4_999)).toBe("wait");
      expect(later(1)).toBe("dead");
    });

    it("counts from the first of several that were sent", () => {
      send();
      for (let i = 0; i < 4; i++) {
        expect(later(1_000)).toBe("wait");
        send();
      }
      expect(later(1_000)).toBe("ping");
    });

    it("counts from what was read last, while the answer itself is due", () => {
      send();
      nowMs += 3_000;
      read();
      expect(look()).toBe("wait");
      expect(later(4_999)).toBe("wait");
      expect(later(1)).toBe("ping");
    });

    it("counts the answer's time from when the PING is on its way, and from what is read", () => {
      send();
      expect(later(5_000)).toBe("ping");
      nowMs += 3_000;
      keepalive.asked(nowMs);
      expect(later(4_999)).toBe("wait");
      read();
      expect(later(4_999)).toBe("wait");
      expect(leftMs()).toBe(5_001);
      expect(later(5_001)).toBe("dead");
    });

    it("does not ask before the interval has passed since the last answer", () => {
      send();
      expect(later(5_000)).toBe("ping");
      nowMs += 40;
      acknowledge();
      expect(look()).toBe("wait");
      expect(leftMs()).toBe(INTERVAL_MS);
      expect(later(INTERVAL_MS - 1)).toBe("wait");
      expect(later(1)).toBe("ping");
      expect(later(5_000)).toBe("dead");
    });

    it("never asks again while the answer to a PING is due itself", () => {
      send();
      expect(later(5_000)).toBe("ping");
      for (let i = 0; i < 100; i++) {
        nowMs += 4_000;
        answer();
        send();
        expect(look()).toBe("wait");
      }
    });

    it("may ask at once after HEADERS or DATA were read", () => {
      send();
      expect(later(5_000)).toBe("ping");
      acknowledge();
      answer();
      send();
      expect(later(5_000)).toBe("ping");
    });

    it("takes any sign of life for the answer that nobody waits for any more", () => {
      openStreams = 0;
      send();
      expect(later(5_000)).toBe("ping");
      nowMs += 1;
      acknowledge();
      expect(look()).toBe("wait");
      expect(keepalive.isDue).toBe(false);
      expect(leftMs()).toBe(Number.POSITIVE_INFINITY);
    });

    it("asks for what nobody waits for once only: servers permit no second one without calls", () => {
      openStreams = 0;
      send();
      expect(later(5_000)).toBe("ping");
      acknowledge();
      send();
      expect(look()).toBe("wait");
      expect([keepalive.isDue, leftMs()]).toEqual([false, Number.POSITIVE_INFINITY]);
      openStreams = 1;
      send();
      expect(look()).toBe("wait");
      expect(leftMs()).toBe(INTERVAL_MS);
    });

    it("gives a call that begins after the PING no less time than one that began before", () => {
      make({ intervalMs: 60_000 });
      nowMs += 60_000;
      send();
      expect(look()).toBe("ping");
      expect(later(9_999)).toBe("wait");
      expect(later(1)).toBe("dead");
    });

    it("gives up after the time that is allowed without it, if that is shorter", () => {
      make({ intervalMs: 60_000 });
      expect(later(60_000)).toBe("ping");
      nowMs += 17_000;
      send();
      expect(later(2_999)).toBe("wait");
      expect(later(1)).toBe("dead");
    });

    it("takes the timeout that it is given for the answer's", () => {
      make({ timeoutMs: 30_000 });
      send();
      expect(later(5_000)).toBe("ping");
      expect(later(29_999)).toBe("wait");
      expect(later(1)).toBe("dead");
    });
  });

  describe("while no answer is due", () => {
    it("has nothing to do without streams", () => {
      openStreams = 0;
      expect(later(100_000_000)).toBe("wait");
      expect(leftMs()).toBe(Number.POSITIVE_INFINITY);
    });

    it("asks when nothing was read for the interval, and gives up after the timeout", () => {
      read();
      expect(look()).toBe("wait");
      expect(leftMs()).toBe(INTERVAL_MS);
      expect(later(INTERVAL_MS - 1)).toBe("wait");
      expect(later(1)).toBe("ping");
      expect(later(19_999)).toBe("wait");
      expect(later(1)).toBe("dead");
    });

    it("counts from what was read last", () => {
      make({ intervalMs: 10_000 });
      nowMs += 9_000;
      read();
      expect(later(9_999)).toBe("wait");
      expect(later(1)).toBe("ping");
    });

    it("asks at once for a stream that is opened when nothing was read for longer", () => {
      openStreams = 0;
      expect(later(INTERVAL_MS)).toBe("wait");
      openStreams = 1;
      send();
      expect(look()).toBe("ping");
    });

    it("asks without streams, too, if it is told to", () => {
      make({ intervalMs: 10_000, timeoutMs: 1_000, withoutCalls: true });
      openStreams = 0;
      read();
      expect(later(10_000)).toBe("ping");
      acknowledge();
      expect(later(9_999)).toBe("wait");
      expect(later(1)).toBe("ping");
      expect(later(1_000)).toBe("dead");
    });

    it("never asks with an interval of Infinity, but when an answer is due it does", () => {
      make({ intervalMs: Number.POSITIVE_INFINITY });
      expect(later(1e9)).toBe("wait");
      expect(leftMs()).toBe(Number.POSITIVE_INFINITY);
      send();
      expect(later(5_000)).toBe("ping");
      acknowledge();
      expect(look()).toBe("wait");
      expect(leftMs()).toBe(INTERVAL_MS);
    });

    it("never gives up with a timeout of Infinity", () => {
      make({ intervalMs: 10_000, timeoutMs: Number.POSITIVE_INFINITY });
      send();
      expect(later(5_000)).toBe("ping");
      expect(later(1e9)).toBe("wait");
      expect(leftMs()).toBe(Number.POSITIVE_INFINITY);
    });
  });

  /** As gRFC A8 wants servers to count: more than two strikes end the connection. */
  class Enforcement {
    strikes = 0;
    #lastValidMs = Number.NEGATIVE_INFINITY;

    receivePing(atMs: number, streams: number): void {
      const permittedMs = streams > 0 ? PERMITTED_MS : 7_200_000;
      if (this.#lastValidMs + permittedMs <= atMs) this.#lastValidMs = atMs;
      else this.strikes++;
    }

    sendMessage(): void {
      this.strikes = 0;
      this.#lastValidMs = Number.NEGATIVE_INFINITY;
    }
  }

  it.each([
    ["idle streams", 0, 0],
    ["uploads that are never answered", 1, 0],
    ["calls that are given up after a second", 1, 0.9],
    ["messages both ways", 0.1, 0.5],
  ])("gets no strike by default from the strictest server: %s", (_, sends, ends) => {
    const server = new Enforcement();
    let seed = 1;
    const random = (): number => {
      seed = (seed * 16_807) % 2_147_483_647;
      return seed / 2_147_483_647;
    };
    const answers = sends < 1;
    let pings = 0;
    for (let second = 0; second < 50_000; second++) {
      nowMs += 1_000;
      openStreams = random() < ends ? 0 : 1;
      if (openStreams > 0 && random() < sends) send();
      if (answers && openStreams > 0 && random() < sends / 3) {
        server.sendMessage();
        answer();
      }
      if (look() !== "ping") continue;
      pings++;
      server.receivePing(nowMs + 20, openStreams);
      nowMs += 40;
      acknowledge();
      expect(server.strikes).toBe(0);
    }
    expect(pings).toBeGreaterThan(0);
  });
});

describe("the options of keepalive", () => {
  it("have defaults that the strictest default server permits", () => {
    expect(resolveKeepalive()).toEqual({
      intervalMs: INTERVAL_MS,
      timeoutMs: 20_000,
      answerMs: 5_000,
      withoutCalls: false,
    });
  });

  it.each([
    [{ intervalMs: 999 }, "keepalive.intervalMs: expected a number from 1000 up, got 999"],
    [{ intervalMs: Number.NaN }, "keepalive.intervalMs: expected a number from 1000 up, got NaN"],
    [{ timeoutMs: 0 }, "keepalive.timeoutMs: expected a number from 1 up, got 0"],
  ])("refuse %o", (options, message) => {
    expect(() => resolveKeepalive(options)).toThrow(new RangeError(message));
  });

  it("refuse what is no boolean, and unknown ones", () => {
    const wrong: object = { withoutCalls: "true" };
    expect(() => resolveKeepalive(wrong)).toThrow(
      new TypeError('keepalive.withoutCalls: expected true or false, got "true"'),
    );
    const unknown: object = { interval: 5 };
    expect(() => resolveKeepalive(unknown)).toThrow("did you mean intervalMs?");
  });
});

describe("the options of a server's keepalive", () => {
  it("have the defaults of gRFC A9, and permit every PING", () => {
    expect(resolveServerKeepalive()).toEqual({
      keepalive: {
        intervalMs: 7_200_000,
        timeoutMs: 20_000,
        answerMs: 20_000,
        withoutCalls: true,
      },
      minPingIntervalMs: 0,
    });
  });

  it.each([
    [{ intervalMs: 999 }, "keepalive.intervalMs: expected a number from 1000 up, got 999"],
    [{ timeoutMs: 0 }, "keepalive.timeoutMs: expected a number from 1 up, got 0"],
    [{ minPingIntervalMs: -1 }, "keepalive.minPingIntervalMs: expected a number from 0 up, got -1"],
  ])("refuse %o", (options, message) => {
    expect(() => resolveServerKeepalive(options)).toThrow(new RangeError(message));
  });
});
