// `dial`: from a target name to a ClientConn.

import { resolveSessionOptions } from "../transport/defaults.ts";
import { selectTransport } from "../transport/select.ts";
import type { ConnectOptions } from "../transport/transport.ts";
import { ClientConn } from "./client-conn.ts";
import { type DialOptions, resolveDialOptions } from "./dial-options.ts";
import { DialledSource } from "./subchannel/dialled-source.ts";
import { parseTarget } from "./target.ts";

/**
 * A connection to a backend. It connects when the first call needs it, again when it was lost, and
 * after a failure with backoff (grpc/grpc doc/connection-backoff.md). Meanwhile calls fail with
 * UNAVAILABLE, or wait with `waitForReady`.
 * @param target `HOST:PORT`, `[IPV6]:PORT` or `unix:PATH`, also behind `dns:`, `ipv4:`, `ipv6:` or
 * `passthrough:`
 * @throws {TypeError | RangeError} naming what was expected and what came
 */
export function dial(target: string, options: DialOptions = {}): ClientConn {
  const parsed = parseTarget(target);
  const resolved = resolveDialOptions(options);
  const transport = selectTransport(options.transport);
  resolveSessionOptions(options);
  const connectOptions: ConnectOptions = { ...options, address: parsed.address };
  const source = new DialledSource(transport, connectOptions);
  return ClientConn.create(parsed, resolved, source);
}
