// The header of the PROXY protocol, by its text: what is taken, what is refused, and every cut.

import { describe, expect, it } from "vitest";
import { parseProxyHeader } from "../../src/transport/proxy-protocol.ts";

const SIGNATURE = "0d0a0d0a000d0a515549540a";

function v2(command: number, family: number, body: string, length = body.length / 2): Buffer {
  const head = Buffer.from([command, family, length >> 8, length & 0xff]);
  return Buffer.concat([Buffer.from(SIGNATURE, "hex"), head, Buffer.from(body, "hex")]);
}

const INET = "c0000201c00002021267c383";
const unix = (path: string): string => Buffer.from(path.padEnd(108, "\0")).toString("hex");
const V6 = "20010db8000000000000000000000001";

const ip = (host: string, port: number) => ({ host, port });
const from4 = { source: ip("192.0.2.1", 4711), destination: ip("192.0.2.2", 50_051) };

const TAKEN: readonly (readonly [string, Buffer, unknown])[] = [
  ["TCP4", Buffer.from("PROXY TCP4 192.0.2.1 192.0.2.2 4711 50051\r\n"), from4],
  [
    "TCP6",
    Buffer.from("PROXY TCP6 2001:db8::1 ::1 65535 0\r\n"),
    { source: ip("2001:db8::1", 65_535), destination: ip("::1", 0) },
  ],
  [
    "the longest line",
    Buffer.from(`PROXY TCP6 ${`${"ffff:".repeat(7)}ffff `.repeat(2)}65535 65535\r\n`),
    {
      source: ip(`${"ffff:".repeat(7)}ffff`, 65_535),
      destination: ip(`${"ffff:".repeat(7)}ffff`, 65_535),
    },
  ],
  ["UNKNOWN", Buffer.from("PROXY UNKNOWN\r\n"), undefined],
  ["UNKNOWN with anything", Buffer.from("PROXY UNKNOWN ffff ffff 1 2 3\r\n"), undefined],
  ["version 2 of IPv4", v2(0x21, 0x11, INET), from4],
  ["version 2 of datagrams", v2(0x21, 0x12, INET), from4],
  ["version 2 with TLVs", v2(0x21, 0x11, `${INET}010002abcd`), from4],
  [
    "version 2 of IPv6",
    v2(0x21, 0x21, `${V6}${"0".repeat(32)}1267c383`),
    { source: ip("2001:db8::1", 4711), destination: ip("::", 50_051) },
  ],
  [
    "version 2 of UNIX sockets",
    v2(0x21, 0x31, unix("/a") + unix("x".repeat(108))),
    { source: { path: "/a" }, destination: { path: "x".repeat(108) } },
  ],
  ["LOCAL", v2(0x20, 0x00, ""), undefined],
  ["LOCAL with addresses", v2(0x20, 0x11, INET), undefined],
  ["an unspecified family", v2(0x21, 0x00, "030004a9b8c7d6"), undefined],
];

describe("parseProxyHeader", () => {
  it.each(TAKEN)("takes %s, however it is cut, and nothing behind it", (_, header, addresses) => {
    const whole = { length: header.length, addresses };
    for (let end = 0; end < header.length; end++) {
      expect(parseProxyHeader(header.subarray(0, end))).toBeUndefined();
    }
    expect(parseProxyHeader(header)).toEqual(whole);
    expect(parseProxyHeader(Buffer.concat([header, Buffer.from("PRI * HTTP")]))).toEqual(whole);
  });

  it.each<[string, Buffer, string]>([
    ["HTTP/2", Buffer.from("PRI * HTTP/2.0\r\n"), 'expected a PROXY header, got "PRI * HTTP/2.0'],
    ["TLS", Buffer.from([0x16, 3, 1]), "expected a PROXY header"],
    ["another signature", Buffer.from("\r\n\r\nX"), "expected a PROXY header"],
    ["a line without an end", Buffer.from(`PROXY UNKNOWN${" ".repeat(94)}`), "within 107 bytes"],
    ["a family that is none", Buffer.from("PROXY UDP4 1.1.1.1 1.1.1.1 1 1\r\n"), "TCP4 or TCP6"],
    ["a line that lacks all", Buffer.from("PROXY \r\n"), "TCP4 or TCP6"],
    ["a line that lacks addresses", Buffer.from("PROXY TCP4\r\n"), "two addresses"],
    ["a line that lacks one", Buffer.from("PROXY TCP4 1.1.1.1\r\n"), "two addresses"],
    ["a line that lacks ports", Buffer.from("PROXY TCP4 1.1.1.1 1.1.1.1\r\n"), "two ports"],
    ["a line that lacks a port", Buffer.from("PROXY TCP4 1.1.1.1 1.1.1.1 1\r\n"), "two ports"],
    ["more than that", Buffer.from("PROXY TCP4 1.1.1.1 1.1.1.1 1 1 1\r\n"), "two ports"],
    ["addresses of another family", Buffer.from("PROXY TCP6 1.1.1.1 ::1 1 1\r\n"), "TCP6"],
    ["a second one of another", Buffer.from("PROXY TCP6 ::1 1.1.1.1 1 1\r\n"), "TCP6"],
    ["a port with a zero in front", Buffer.from("PROXY TCP4 1.1.1.1 1.1.1.1 01 1\r\n"), "ports"],
    ["a port above all", Buffer.from("PROXY TCP4 1.1.1.1 1.1.1.1 1 65536\r\n"), "ports"],
    ["another version", v2(0x31, 0x11, INET), "version 2 and LOCAL or PROXY"],
    ["another command", v2(0x22, 0x11, INET), "got 0x22"],
    ["another family", v2(0x21, 0x41, INET), "family 4"],
    ["addresses cut short", v2(0x21, 0x11, INET.slice(2)), "11 bytes of family 1"],
    ["more than 16 KiB", v2(0x21, 0x11, "", 16_369), "at most 16384 bytes, got 16385"],
  ])("refuses %s", (_, bytes, message) => {
    expect(() => parseProxyHeader(bytes)).toThrow(message);
  });

  it("takes 16 KiB, and no more than that from anybody", () => {
    const header = v2(0x21, 0x11, INET.padEnd(2 * 16_368, "0"));
    expect(parseProxyHeader(header)?.length).toBe(16_384);
    expect(parseProxyHeader(header.subarray(0, -1))).toBeUndefined();
  });
});
