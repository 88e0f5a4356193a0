// A backend as a process: `--kind lean` (h2c and, with a certificate, TLS), `--kind grpc-js` (h2c),
// or `--kind uneven`, ten backends of different speed (h2c).

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
import { unevenBackends } from "./pace.ts";

const args = childArguments();
followParent();
const kind = requiredArgument(args, "kind");
if (kind === "grpc-js") announce(await startGrpcJsBackend());
else announce(kind === "uneven" ? await startUneven() : await startLean());

/** Nothing of the backend may be in the subject's way. */
function unlimited() {
  return {
    maxConcurrentStreams: 100_000,
    streamWindowBytes: 4_194_304,
    connectionWindowBytes: 67_108_864,
    address: { host: "127.0.0.1", port: 0 },
  };
}

async function startUneven(): Promise<Announcement> {
  const transport = fastTransport();
  const listeners = unevenBackends({ callCount: 0 }).map((events) =>
    transport.listen(unlimited(), events),
  );
  const ports = (await Promise.all(listeners)).map(({ address }) => portOf(address));
  const [port = 0] = ports;
  return { port, ports };
}

async function startLean(): Promise<Announcement> {
  const transport = fastTransport();
  const events = leanBackend({ callCount: 0 });
  const limits = unlimited();
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
