import { describe, expect, it } from "vitest";
import { systemClock } from "../../src/time/clock.ts";
import { resolveHandshakeTimeout, resolveSessionOptions } from "../../src/transport/defaults.ts";
import type { SessionOptions } from "../../src/transport/transport.ts";
import { FakeClock } from "../support/clock.ts";

describe("resolveSessionOptions", () => {
  it("fills in the documented defaults", () => {
    expect(resolveSessionOptions({})).toEqual({
      maxConcurrentStreams: 1_000,
      streamWindowBytes: 131_072,
      connectionWindowBytes: 4_194_304,
      maxHeaderListBytes: 65_536,
      headerTableBytes: 4_096,
      headerTimeoutMs: 10_000,
      settingsTimeoutMs: 60_000,
      stallTimeoutMs: 60_000,
      streamStallTimeoutMs: Number.POSITIVE_INFINITY,
      clock: systemClock,
    });
  });

  it("keeps what is given, 0 too", () => {
    const options = {
      maxConcurrentStreams: 0,
      streamWindowBytes: 1,
      connectionWindowBytes: 65_535,
      maxHeaderListBytes: 1,
      headerTableBytes: 0,
      headerTimeoutMs: 1,
      settingsTimeoutMs: 1,
      stallTimeoutMs: Number.POSITIVE_INFINITY,
      streamStallTimeoutMs: 1,
      clock: new FakeClock(),
    };
    expect(resolveSessionOptions(options)).toEqual(options);
  });

  it("leaves out what is not an option of the session", () => {
    const options = { address: { host: "h", port: 1 }, streamWindowBytes: 5 };
    expect(resolveSessionOptions(options)).not.toHaveProperty("address");
  });

  it.each<[keyof SessionOptions, number]>([
    ["maxConcurrentStreams", -1],
    ["maxConcurrentStreams", 2 ** 32],
    ["streamWindowBytes", 0],
    ["streamWindowBytes", 2 ** 31],
    ["connectionWindowBytes", 65_534],
    ["connectionWindowBytes", 2 ** 31],
    ["maxHeaderListBytes", 0],
    ["maxHeaderListBytes", 2 ** 32],
    ["headerTableBytes", -1],
    ["headerTableBytes", 2 ** 32],
    ["settingsTimeoutMs", 0],
    ["settingsTimeoutMs", 2 ** 31],
    ["streamWindowBytes", 1.5],
    ["streamWindowBytes", Number.NaN],
    ["streamWindowBytes", Number.POSITIVE_INFINITY],
  ])("refuses %s of %d, naming both", (name, value) => {
    expect(() => resolveSessionOptions({ [name]: value })).toThrow(RangeError);
    expect(() => resolveSessionOptions({ [name]: value })).toThrow(
      new RegExp(`^${name}: expected an integer from \\d+ to \\d+, got ${value}$`),
    );
  });

  it("refuses a number in text", () => {
    const options = { streamWindowBytes: "100" as unknown as number };
    expect(() => resolveSessionOptions(options)).toThrow('got "100"');
  });
});

describe("resolveHandshakeTimeout", () => {
  it("fills in the documented default", () => {
    expect(resolveHandshakeTimeout({})).toBe(10_000);
    expect(resolveHandshakeTimeout({ handshakeTimeoutMs: 1 })).toBe(1);
  });

  it.each([0, 1.5, 2 ** 31, Number.POSITIVE_INFINITY])("refuses %d, naming both", (value) => {
    expect(() => resolveHandshakeTimeout({ handshakeTimeoutMs: value })).toThrow(
      new RangeError(`handshakeTimeoutMs: expected an integer from 1 to 2147483647, got ${value}`),
    );
  });
});
