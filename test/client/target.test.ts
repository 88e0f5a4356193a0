import { describe, expect, it } from "vitest";
import { dial } from "../../src/client/dial.ts";
import { parseTarget } from "../../src/client/target.ts";

const list = (...texts: string[]) => ({
  kind: "list",
  addresses: texts.map((text) => expect.objectContaining({ text, weight: 1 })),
});
const dns = (host: string, port: number) => ({ kind: "dns", host, port });

describe("parseTarget", () => {
  it.each<[string, object, string, string]>([
    ["127.0.0.1:50051", list("127.0.0.1:50051"), "127.0.0.1:50051", "127.0.0.1:50051"],
    ["[::1]:80", list("[::1]:80"), "[::1]:80", "[::1]:80"],
    ["dns:///[::1]:80", list("[::1]:80"), "[::1]:80", "[::1]:80"],
    ["ipv4:192.0.2.1:80", list("192.0.2.1:80"), "192.0.2.1:80", "192.0.2.1:80"],
    [
      "ipv4:///192.0.2.1:80,192.0.2.2:81,192.0.2.3:80",
      list("192.0.2.1:80", "192.0.2.2:81", "192.0.2.3:80"),
      "192.0.2.1:80,192.0.2.2:81,192.0.2.3:80",
      "192.0.2.1:80",
    ],
    ["ipv6:[2001:db8::1]:80", list("[2001:db8::1]:80"), "[2001:db8::1]:80", "[2001:db8::1]:80"],
    [
      "ipv6:[2001:db8::1]:80,[::1]:80",
      list("[2001:db8::1]:80", "[::1]:80"),
      "[2001:db8::1]:80,[::1]:80",
      "[2001:db8::1]:80",
    ],
    [
      "passthrough:///backend.test:80",
      list("backend.test:80"),
      "backend.test:80",
      "backend.test:80",
    ],
    ["unix:/run/s", list("unix:/run/s"), "unix:/run/s", "localhost"],
    ["unix:relative/s", list("unix:relative/s"), "unix:relative/s", "localhost"],
    ["unix:///run/s", list("unix:/run/s"), "unix:/run/s", "localhost"],
  ])("reads %s as addresses", (target, where, name, authority) => {
    expect(parseTarget(target)).toEqual({ where, name, authority });
  });

  it.each([
    ["backend.test:80", 80],
    ["dns:backend.test:80", 80],
    ["dns:///backend.test:80", 80],
    ["dns://backend.test:80", 80],
    ["backend.test:65535", 65535],
  ])("reads %s as a name to be looked up, for which certificates are", (target, port) => {
    const name = `backend.test:${port}`;
    const where = dns("backend.test", port);
    const serverName = "backend.test";
    expect(parseTarget(target)).toEqual({ where, name, authority: name, serverName });
  });

  it("reads an array of addresses, each once, with the first as authority", () => {
    const given = [
      { address: "a.test:1" },
      { address: "[::1]:2", weight: 2.5 },
      "a.test:1",
      "unix:/s",
    ];
    expect(parseTarget(given)).toMatchObject({
      name: "a.test:1,[::1]:2,unix:/s",
      authority: "a.test:1",
      where: { kind: "list", addresses: [{ weight: 1 }, { weight: 2.5 }, { weight: 1 }] },
    });
    expect(parseTarget(["unix:/s", "a.test:1"])).toMatchObject({ authority: "localhost" });
  });

  it.each([
    [undefined, { name: "(resolver)", authority: "localhost" }],
    ["orders", { name: "orders", authority: "orders", serverName: "orders" }],
    ["orders:80", { name: "orders:80", authority: "orders:80", serverName: "orders" }],
  ])("takes a resolver of the name %s", (name, expected) => {
    const resolver = { ...(name === undefined ? {} : { name }), start: () => {} };
    expect(parseTarget(resolver)).toEqual({ ...expected, where: { kind: "resolver", resolver } });
  });

  it.each<[unknown, ErrorConstructor, string]>([
    [[], TypeError, "target: addresses: expected at least one, got none"],
    [["a"], TypeError, "target: expected HOST:PORT"],
    [["a:0"], TypeError, 'target: expected a port from 1 to 65535, got 0: "a:0"'],
    [
      [5],
      TypeError,
      "target: address: expected HOST:PORT or { address: HOST:PORT, weight }, got 5",
    ],
    [
      [{ address: "a:1", weight: 0 }],
      RangeError,
      "target: weight of an address: expected a number",
    ],
    [[{ address: "a:1", weight: 1e7 }], RangeError, "at most 1000000, got 10000000"],
    [[{ address: "a:1", weigth: 1 }], TypeError, "did you mean weight?"],
    [{ name: "a b", start: () => {} }, TypeError, "name of the resolver: expected HOST"],
    [{ start: 5 }, TypeError, "or a Resolver, got an object"],
    [null, TypeError, "or a Resolver, got null"],
    ["ipv4:backend.test:80", TypeError, 'expected an ipv4 address, got "backend.test:80"'],
    ["ipv4:192.0.2.1:80,[::1]:80", TypeError, 'expected an ipv4 address, got "[::1]:80"'],
    ["ipv6:unix:/s", TypeError, 'expected an ipv6 address, got "unix:/s"'],
    ["ipv4:192.0.2.1:80,", TypeError, "expected HOST:PORT"],
  ])("refuses %j", (target, type, message) => {
    expect(() => parseTarget(target as string)).toThrow(type);
    expect(() => parseTarget(target as string)).toThrow(message);
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
    [{ maxInFlightPerAddress: 0 }, "maxInFlightPerAddress: expected an integer from 1 up"],
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
