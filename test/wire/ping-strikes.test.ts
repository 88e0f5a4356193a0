import { describe, expect, it } from "vitest";
import { PingStrikes } from "../../src/wire/ping-strikes.ts";

describe("the PINGs of a client", () => {
  it("may come at the interval for ever", () => {
    const pings = new PingStrikes(10_000);
    for (let nowMs = 5; nowMs < 1_000_000; nowMs += 10_000)
      expect(pings.take(nowMs, 0)).toBe(false);
  });

  it("are too many when the third one comes too soon after the last in time (gRFC A8)", () => {
    const pings = new PingStrikes(10_000);
    expect(pings.take(0, 0)).toBe(false);
    expect(pings.take(9_998, 0)).toBe(false);
    expect(pings.take(9_999, 0)).toBe(false);
    expect(pings.take(10_000, 0)).toBe(false);
    expect(pings.take(19_999, 0)).toBe(true);
    expect(pings.take(19_999, 0)).toBe(true);
  });

  it("are forgotten when HEADERS or DATA is sent", () => {
    const pings = new PingStrikes(10_000);
    for (let sent = 0; sent < 10; sent++) {
      for (let i = 0; i < 3; i++) expect(pings.take(sent, sent)).toBe(false);
    }
    expect(pings.take(9, 9)).toBe(true);
  });
});
