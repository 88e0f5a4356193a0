import { describe, expect, it } from "vitest";
import { formatAddress, parseAddress } from "../../src/transport/address.ts";

describe("parseAddress", () => {
  it.each([
    ["127.0.0.1:0", { host: "127.0.0.1", port: 0 }],
    ["localhost:50051", { host: "localhost", port: 50_051 }],
    ["backend.example:65535", { host: "backend.example", port: 65_535 }],
    ["h:00080", { host: "h", port: 80 }],
    ["[::1]:443", { host: "::1", port: 443 }],
    ["[fe80::1%eth0]:443", { host: "fe80::1%eth0", port: 443 }],
    ["unix:relative/path", { path: "relative/path" }],
    ["unix:/run/a.sock", { path: "/run/a.sock" }],
    ["unix:///run/a.sock", { path: "/run/a.sock" }],
    ["unix:/run/a:1", { path: "/run/a:1" }],
  ])("reads %s", (text, address) => {
    expect(parseAddress(text)).toEqual(address);
  });

  it.each([
    "",
    "localhost",
    ":50051",
    "localhost:",
    "localhost:65536",
    "localhost:100000",
    "localhost:-1",
    "localhost:1e3",
    "localhost:http",
    "localhost: 80",
    "::1:443",
    "[::1]",
    "[]:443",
    "[::1:443",
    "::1]:443",
    "a b:80",
    "dns:///host:80",
    "http://host:80",
    "unix:",
    "unix://",
  ])("refuses %j and says what it expected", (text) => {
    expect(() => parseAddress(text)).toThrow(TypeError);
    expect(() => parseAddress(text)).toThrow(`got ${JSON.stringify(text)}`);
  });
});

it.each([
  ["https://h:1", "leave out https://, and ask for TLS by the option tls"],
  ["GRPC://h:1", "leave out GRPC://"],
  [":50051", "name the host: 127.0.0.1:50051 for this machine, 0.0.0.0:50051 or [::]:50051 to"],
  ["50051", "name the host: 127.0.0.1:50051"],
  ["::1", "write an IPv6 address in brackets: [::1]:50051"],
  ["backend.example", "the port is missing: backend.example:PORT"],
])("an address that is written as others take it, %j, is told how to be written", (text, hint) => {
  expect(() => parseAddress(text)).toThrow(`got ${JSON.stringify(text)}: ${hint}`);
});

describe("formatAddress", () => {
  it.each(["127.0.0.1:0", "localhost:50051", "[::1]:443", "unix:/run/a.sock", "unix:relative"])(
    "writes %s as parseAddress reads it",
    (text) => {
      expect(formatAddress(parseAddress(text))).toBe(text);
    },
  );
});
