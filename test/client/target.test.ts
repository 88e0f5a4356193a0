import { describe, expect, it } from "vitest";
import { dial } from "../../src/client/dial.ts";
import { parseTarget } from "../../src/client/target.ts";

describe("parseTarget", () => {
  it.each([
    ["127.0.0.1:50051", { host: "127.0.0.1", port: 50051 }, "127.0.0.1:50051", "127.0.0.1:50051"],
    ["backend.test:80", { host: "backend.test", port: 80 }, "backend.test:80", "backend.test:80"],
    ["[::1]:80", { host: "::1", port: 80 }, "[::1]:80", "[::1]:80"],
    [
      "dns:backend.test:80",
      { host: "backend.test", port: 80 },
      "backend.test:80",
      "backend.test:80",
    ],
    [
      "dns:///backend.test:80",
      { host: "backend.test", port: 80 },
      "backend.test:80",
      "backend.test:80",
    ],
    [
      "dns://backend.test:80",
      { host: "backend.test", port: 80 },
      "backend.test:80",
      "backend.test:80",
    ],
    ["ipv4:192.0.2.1:80", { host: "192.0.2.1", port: 80 }, "192.0.2.1:80", "192.0.2.1:80"],
    [
      "ipv6:[2001:db8::1]:80",
      { host: "2001:db8::1", port: 80 },
      "[2001:db8::1]:80",
      "[2001:db8::1]:80",
    ],
    [
      "passthrough:///backend.test:80",
      { host: "backend.test", port: 80 },
      "backend.test:80",
      "backend.test:80",
    ],
    ["unix:/run/s", { path: "/run/s" }, "unix:/run/s", "localhost"],
    ["unix:relative/s", { path: "relative/s" }, "unix:relative/s", "localhost"],
    ["unix:///run/s", { path: "/run/s" }, "unix:/run/s", "localhost"],
    [
      "backend.test:65535",
      { host: "backend.test", port: 65535 },
      "backend.test:65535",
      "backend.test:65535",
    ],
  ])("reads %s", (target, address, name, authority) => {
    expect(parseTarget(target)).toEqual({ address, name, authority });
  });

  it.each([
    "",
    "backend.test",
    "backend.test:",
    "backend.test:http",
    "backend.test:0",
    "backend.test:65536",
    "backend.test:-1",
    ":80",
    "::1:80",
    "[]:80",
    "unix:",
    "dns:",
    "dns://8.8.8.8/backend.test:80",
    "xds:///service",
    "http://backend.test:80",
    "backend.test:80/path",
    "back end:80",
  ])("refuses %j with TypeError, naming what came", (target) => {
    expect(() => parseTarget(target)).toThrow(TypeError);
    expect(() => parseTarget(target)).toThrow(JSON.stringify(target));
  });
});

describe("dial", () => {
  it("connects to nothing before the first call", () => {
    expect(dial("backend.test:80").state).toBe("idle");
  });

  it.each([
    [{ maxWaitingCalls: -1 }, "maxWaitingCalls"],
    [{ maxWaitingCalls: 1.5 }, "maxWaitingCalls"],
    [{ maxConnectionsPerAddress: 0 }, "maxConnectionsPerAddress: expected an integer from 1 up"],
    [{ maxConnectionsPerAddress: 1.5 }, "maxConnectionsPerAddress"],
    [{ idleTimeoutMs: 0 }, "idleTimeoutMs: expected a number above 0"],
    [{ maxConnectionAgeMs: -1 }, "maxConnectionAgeMs: expected a number above 0"],
    [{ backoff: { initialMs: -1 } }, "backoff.initialMs"],
    [{ backoff: { initialMs: 10, maxMs: 5 } }, "backoff.maxMs"],
    [{ backoff: { multiplier: 0.5 } }, "backoff.multiplier"],
    [{ backoff: { jitter: 2 } }, "backoff.jitter"],
    [{ streamWindowBytes: -1 }, "streamWindowBytes"],
    [{ connectTimeoutMs: Number.NaN }, "connectTimeoutMs"],
    [{ connectTimeoutMs: -1 }, "connectTimeoutMs"],
  ])("throws RangeError naming the option for %o", (options, name) => {
    expect(() => dial("backend.test:80", options)).toThrow(RangeError);
    expect(() => dial("backend.test:80", options)).toThrow(name);
  });
});
