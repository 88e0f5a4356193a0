import { beforeEach, describe, expect, it } from "vitest";
import { SilenceWatch } from "../../src/transport/silence-watch.ts";

/** Between two PINGs without HEADERS or DATA from the peer. */
const PING_INTERVAL_MS = 300_000;

describe("a SilenceWatch", () => {
  let watch: SilenceWatch;
  let nowMs: number;
  let readBytes: number;

  beforeEach(() => {
    watch = new SilenceWatch();
    nowMs = 77;
    readBytes = 100;
  });

  const send = (): void => watch.sent(readBytes, nowMs);
  const look = (isAwaited = true): string => watch.check(readBytes, isAwaited, nowMs);
  const later = (ms: number, isAwaited = true): string => {
    nowMs += ms;
    return look(isAwaited);
  };
  /** The peer sends HEADERS or DATA. */
  const answer = (): void => {
    readBytes += 10;
    watch.heard(readBytes);
  };

  it("has nothing to do while nothing was sent, or what was is answered", () => {
    expect(look()).toBe("answered");
    send();
    answer();
    expect(later(1_000_000)).toBe("answered");
  });

  it("asks once when nothing was read for 5 s after something was sent, and gives up 5 s later", () => {
    send();
    expect(later(4_999)).toBe("waiting");
    expect(later(1)).toBe("ping");
    expect(later(4_999)).toBe("waiting");
    expect(later(1)).toBe("dead");
  });

  it("counts from the first of several that were sent", () => {
    send();
    for (let i = 0; i < 4; i++) {
      expect(later(1_000)).toBe("waiting");
      send();
    }
    expect(later(1_000)).toBe("ping");
  });

  it("counts from what was read last, while the answer itself is due", () => {
    send();
    nowMs += 3_000;
    readBytes += 13;
    expect(look()).toBe("waiting");
    expect(later(4_999)).toBe("waiting");
    expect(later(1)).toBe("ping");
  });

  it("does not take for the answer what was read before, and told later", () => {
    readBytes += 10;
    send();
    watch.heard(readBytes);
    expect(later(5_000)).toBe("ping");
  });

  it("asks again only after 5 minutes while no HEADERS or DATA come", () => {
    send();
    expect(later(5_000)).toBe("ping");
    readBytes += 17;
    expect(look()).toBe("waiting");
    expect(later(PING_INTERVAL_MS - 1)).toBe("waiting");
    expect(later(1)).toBe("ping");
    expect(later(5_000)).toBe("dead");
  });

  it("may ask at once after HEADERS or DATA were read", () => {
    send();
    expect(later(5_000)).toBe("ping");
    readBytes += 17;
    look();
    answer();
    send();
    expect(later(5_000)).toBe("ping");
  });

  it("takes any sign of life for the answer that nobody waits for any more", () => {
    send();
    expect(later(5_000, false)).toBe("ping");
    readBytes += 17;
    expect(look(false)).toBe("answered");
    expect(later(PING_INTERVAL_MS, false)).toBe("answered");
  });

  it("counts the 5 minutes over what was sent and answered meanwhile without HEADERS or DATA", () => {
    send();
    later(5_000, false);
    readBytes += 17;
    look(false);
    send();
    expect(later(PING_INTERVAL_MS - 1)).toBe("waiting");
    expect(later(1)).toBe("ping");
  });
});
