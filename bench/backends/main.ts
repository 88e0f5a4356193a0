// A backend as a process: `--kind lean` (h2c and, with a certificate, TLS) or `--kind grpc-js`
// (h2c).

import { readFileSync } from "node:fs";
import type { SocketAddress } from "../../src/transport/transport.ts";
import {
  type Announcement,
  announce,
  childArguments,
  followParent,
  requiredArgument,
} from "../process/child.ts";
import { fastTransport } from "../transport.ts";
import { startGrpcJsBackend } from "./grpc-js.ts";
import { leanBackend } from "./lean.ts";

const args = childArguments();
followParent();
if (requiredArgument(args, "kind") === "grpc-js") announce(await startGrpcJsBackend());
else announce(await startLean());

async function startLean(): Promise<Announcement> {
  const transport = fastTransport();
  const events = leanBackend({ callCount: 0 });
  // Nothing of the backend may be in the subject's way.
  const limits = {
    maxConcurrentStreams: 100_000,
    streamWindowBytes: 4_194_304,
    connectionWindowBytes: 67_108_864,
    address: { host: "127.0.0.1", port: 0 },
  };
  const plain = await transport.listen(limits, events);
  const port = portOf(plain.address);
  const certPath = args.get("cert");
  const keyPath = args.get("key");
  if (certPath === undefined || keyPath === undefined) return { port };
  const tls = { cert: readFileSync(certPath), key: readFileSync(keyPath) };
  const encrypted = await transport.listen({ ...limits, tls }, events);
  return { port, tlsPort: portOf(encrypted.address) };
}

function portOf(address: SocketAddress): number {
  if ("port" in address) return address.port;
  throw new TypeError(`expected a TCP address, got ${address.path}`);
}
