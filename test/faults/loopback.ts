// The address that everything of the suite listens on. A round takes a free port for its relay, and
// that port may have been another test's a moment ago. A client of that test that still tries to
// connect again must not become a client of ours.

import { platform } from "node:process";

/** On Linux all of 127.0.0.0/8 is this machine. */
export const LOOPBACK: string =
  platform === "linux"
    ? `127.${64 + ((process.pid >> 16) & 63)}.${(process.pid >> 8) & 255}.${1 + (process.pid % 253)}`
    : "127.0.0.1";
