// The `engine` transport: our own HTTP/2 on node:net and node:tls sockets.

import type { Transport } from "../transport.ts";
import { connect } from "./connect.ts";
import { listen } from "./listen.ts";

/** Honours every option of `SessionOptions`. */
export function engineTransport(): Transport {
  return { name: "engine", connect, listen };
}
