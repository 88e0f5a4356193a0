import { describe, expect, it } from "vitest";
import { Server } from "../../src/server/server.ts";
import {
  checkListenAddress,
  formatListenAddress,
  type InheritedSocket,
  parseListenAddress,
} from "../../src/transport/listen-address.ts";

describe("parseListenAddress", () => {
  it.each([
    ["fd:3", { fd: 3 }],
    ["fd:2147483647", { fd: 2_147_483_647 }],
    ["systemd:grpc.socket", { systemd: "grpc.socket" }],
    ["systemd:80", { systemd: "80" }],
    ["127.0.0.1:80", { host: "127.0.0.1", port: 80 }],
    ["unix:/run/fd:3", { path: "/run/fd:3" }],
  ])("reads %s", (text, address) => {
    expect(parseListenAddress(text)).toEqual(address);
    expect(formatListenAddress(parseListenAddress(text))).toBe(text);
  });

  it.each(["fd:", "fd:2", "fd:2147483648", "fd:99999999999", "fd:-3", "fd:3x", "fd:x"])(
    "refuses %j and says what it expected",
    (text) => {
      expect(() => parseListenAddress(text)).toThrow(
        `expected fd:N with a descriptor from 3 to 2147483647, got ${JSON.stringify(text)}`,
      );
    },
  );

  it.each(["systemd:", "systemd:a:b"])("refuses %j and says what it expected", (text) => {
    expect(() => parseListenAddress(text)).toThrow(
      `expected systemd:NAME with a name of LISTEN_FDNAMES, got ${JSON.stringify(text)}`,
    );
  });
});

it.each([{ fd: 3 }, { systemd: "a" }, { path: "/a" }, { host: "a", port: 0 }])(
  "the address %j may be listened on",
  (address) => {
    expect(checkListenAddress(address)).toBe(address);
  },
);

it.each<[unknown, string]>([
  [{ fd: 2 }, "got an object (Object)"],
  [{ fd: 3.5 }, "got an object (Object)"],
  [{ fd: "3" }, "got an object (Object)"],
  [{ systemd: "" }, "got an object (Object)"],
  [{ systemd: 3 }, "got an object (Object)"],
  [{ path: 3 }, "got an object (Object)"],
  [{ host: "a", port: 65_536 }, "got an object (Object)"],
  [{ host: 5, port: 1 }, "got an object (Object)"],
  [{ host: "a" }, "got an object (Object)"],
  [null, "got null"],
  [3, "got 3"],
])("the address %j is refused", async (address, got) => {
  await expect(new Server().listen(address as InheritedSocket)).rejects.toThrow(
    `address: expected HOST:PORT, [IPV6]:PORT, unix:PATH, fd:N, systemd:NAME, { host, port }, { path }, { fd } or { systemd }, ${got}`,
  );
});

it("nothing else may be in an address", async () => {
  const address = { fd: 3, port: 1 };
  await expect(new Server().listen(address)).rejects.toThrow('address: expected fd, got "port"');
});
