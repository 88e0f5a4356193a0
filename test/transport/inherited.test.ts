// What a socket that the process was started with has to be. test/cli/inherited.test.ts starts
// processes with sockets.

import { closeSync, openSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { findInherited } from "../../src/transport/inherited.ts";
import { closeAtEnd, socketPath } from "../support/cleanup.ts";
import { Inheritable } from "../support/inheritable.ts";

const PID = 4_711;

function systemd(name: string, env: Record<string, string>): Promise<unknown> {
  return findInherited({ systemd: name }, { env, pid: PID });
}

describe("findInherited", () => {
  it.runIf(process.platform === "linux")("finds out the path of a UNIX socket", async () => {
    const path = socketPath();
    const sockets = [path, "\0grpc-relay-test", undefined].map((each) => Inheritable.listen(each));
    const found = (await Promise.all(sockets)).map(({ fd }) => findInherited({ fd }));
    expect(await Promise.all(found)).toEqual([
      { fd: expect.any(Number), path },
      // Node 20 fills it up with zero octets, and Linux shows these as `@`.
      { fd: expect.any(Number), path: expect.stringMatching(/^\0grpc-relay-test@*$/) },
      { fd: expect.any(Number), path: undefined },
    ]);
  });

  it.each([
    ["a file", "/etc/hosts", "a file"],
    ["a folder", "/", "a folder"],
    ["a device", "/dev/null", "a descriptor of another kind"],
  ])("refuses %s", async (_, path, got) => {
    const fd = openSync(path, "r");
    closeAtEnd(() => closeSync(fd));
    await expect(findInherited({ fd })).rejects.toThrow(
      `fd:${fd}: expected a listening TCP or UNIX socket, got ${got}`,
    );
  });

  it("refuses a descriptor that is not open, and tells of systemd's other process", async () => {
    await expect(findInherited({ fd: 1_000_000 }, { env: {}, pid: PID })).rejects.toThrow(
      /^fd:1000000: expected a listening TCP or UNIX socket, got a descriptor that is not open \(EBADF.*\)$/,
    );
    const env = { LISTEN_PID: "17", LISTEN_FDS: "1" };
    await expect(findInherited({ fd: 1_000_000 }, { env, pid: PID })).rejects.toThrow(
      /not open \(EBADF.*\); systemd passed sockets to process 17, and this one is 4711$/,
    );
    const own = { LISTEN_PID: "4711", LISTEN_FDS: "1" };
    await expect(findInherited({ fd: 1_000_000 }, { env: own, pid: PID })).rejects.toThrow(/\)$/);
  });

  it.each<[string, Record<string, string>, string]>([
    [
      "nothing is passed",
      {},
      "expected LISTEN_FDS and LISTEN_PID from systemd, got a process without them",
    ],
    [
      "no process is named",
      { LISTEN_FDS: "1" },
      "expected LISTEN_FDS and LISTEN_PID from systemd, got a process without them",
    ],
    [
      "another process is named",
      { LISTEN_FDS: "1", LISTEN_PID: "17" },
      'expected LISTEN_PID 4711, which is this process, got "17": the unit has to start it without',
    ],
    [
      "the count is none",
      { LISTEN_FDS: "x", LISTEN_PID: "4711" },
      'expected a number in LISTEN_FDS, got "x"',
    ],
    [
      "names are missing",
      { LISTEN_FDS: "2", LISTEN_PID: "4711", LISTEN_FDNAMES: "a" },
      'expected 2 names in LISTEN_FDNAMES, got "a"',
    ],
    [
      "the name is another",
      { LISTEN_FDS: "2", LISTEN_PID: "4711", LISTEN_FDNAMES: "b:c" },
      'expected that name in LISTEN_FDNAMES, got "b:c"',
    ],
    [
      "the name is there twice",
      { LISTEN_FDS: "3", LISTEN_PID: "4711", LISTEN_FDNAMES: "a:b:a" },
      "expected one socket of that name, got fd:3 and fd:5",
    ],
    [
      "sockets have no names",
      { LISTEN_FDS: "2", LISTEN_PID: "4711" },
      'expected that name in LISTEN_FDNAMES, got "unknown:unknown"',
    ],
  ])("finds no name where %s", async (_, env, message) => {
    await expect(systemd("a", env)).rejects.toThrow(`systemd:a: ${message}`);
  });
});
