// Finds the listening sockets that the process was started with, and says why one cannot be used.

import { fstatSync, type Stats } from "node:fs";
import { readFile, readlink } from "node:fs/promises";
import { formatListenAddress, type InheritedSocket } from "./listen-address.ts";
import type { OpenDescriptor } from "./transport.ts";

/** What systemd says by the environment (sd_listen_fds(3)). */
interface Activation {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Of this process. */
  readonly pid: number;
}

/** The first one that systemd passes: SD_LISTEN_FDS_START. */
const FIRST_PASSED = 3;

/** @throws {Error} when there is no such socket, saying what was expected and what came */
export async function findInherited(
  socket: InheritedSocket,
  activation: Activation = process,
): Promise<OpenDescriptor> {
  const fd = "fd" in socket ? socket.fd : passedDescriptor(socket.systemd, activation);
  const got = unusableKind(fd);
  if (got !== undefined) throw unusable(socket, `${got}${elsewhere(activation)}`);
  return { fd, path: await unixPath(fd) };
}

/** The error of a descriptor on which `listen` failed. */
export function cannotListen({ fd }: OpenDescriptor, error: Error): Error {
  const isUsed = "code" in error && error.code === "EEXIST";
  const got = isUsed
    ? "one that this process uses already"
    : `a socket that cannot listen, such as a connection (${error.message})`;
  return unusable({ fd }, got, error);
}

function unusable(socket: InheritedSocket, got: string, cause?: Error): Error {
  return new Error(
    `${formatListenAddress(socket)}: expected a listening TCP or UNIX socket, got ${got}`,
    cause === undefined ? undefined : { cause },
  );
}

function passedDescriptor(name: string, { env, pid }: Activation): number {
  const fail = (expected: string, got: string): Error =>
    new Error(`systemd:${name}: expected ${expected}, got ${got}`);
  const { LISTEN_FDS: count, LISTEN_PID: forPid, LISTEN_FDNAMES: joined } = env;
  if (count === undefined || forPid === undefined) {
    throw fail("LISTEN_FDS and LISTEN_PID from systemd", "a process without them");
  }
  if (forPid !== String(pid)) {
    throw fail(
      `LISTEN_PID ${pid}, which is this process`,
      `${JSON.stringify(forPid)}: the unit has to start it without another process in between, such as npx`,
    );
  }
  if (!/^[0-9]{1,5}$/.test(count)) {
    throw fail("a number in LISTEN_FDS", JSON.stringify(count));
  }
  // So it is for sd_listen_fds_with_names.
  const names = joined?.split(":") ?? Array.from({ length: Number(count) }, () => "unknown");
  if (names.length !== Number(count)) {
    throw fail(`${count} names in LISTEN_FDNAMES`, JSON.stringify(joined));
  }
  const found = names.flatMap((each, at) => (each === name ? [FIRST_PASSED + at] : []));
  const [fd, ...more] = found;
  if (fd === undefined) throw fail("that name in LISTEN_FDNAMES", JSON.stringify(names.join(":")));
  if (more.length === 0) return fd;
  throw fail("one socket of that name", found.map((each) => `fd:${each}`).join(" and "));
}

/** A socket that systemd passed to a parent of this process has not come here. */
function elsewhere({ env, pid }: Activation): string {
  const { LISTEN_PID: forPid } = env;
  return forPid === undefined || forPid === String(pid)
    ? ""
    : `; systemd passed sockets to process ${forPid}, and this one is ${pid}`;
}

/** `undefined` for a socket. */
function unusableKind(fd: number): string | undefined {
  let file: Stats;
  try {
    file = fstatSync(fd);
  } catch (error) {
    return `a descriptor that is not open (${error instanceof Error ? error.message : error})`;
  }
  if (file.isSocket()) return undefined;
  if (file.isFile()) return "a file";
  if (file.isFIFO()) return "a pipe";
  if (file.isDirectory()) return "a folder";
  return "a descriptor of another kind";
}

/** Node does not tell it. Linux has no row for a socket of another network namespace. */
async function unixPath(fd: number): Promise<string | undefined> {
  try {
    const inode = /^socket:\[([0-9]+)\]$/.exec(await readlink(`/proc/self/fd/${fd}`))?.[1];
    for (const line of (await readFile("/proc/self/net/unix", "utf8")).split("\n")) {
      // Num, RefCount, Protocol, Flags, Type, St, Inode, Path
      const row = /^(?:\S+ +){6}([0-9]+)(?: (.*))?$/.exec(line);
      // An abstract name begins with a zero octet.
      if (row !== null && row[1] === inode) return (row[2] ?? "").replace(/^@/, "\0");
    }
  } catch {
    // No Linux.
  }
  return undefined;
}
