// Which transport the harness's own ends use. The checks speak through node:http2, so that a fault
// of the relay's engine cannot hide itself; load and lean backend use the fastest one there is.

import { engineTransport } from "../src/transport/engine/index.ts";
import { nodeTransport } from "../src/transport/node/index.ts";
import type { Transport } from "../src/transport/transport.ts";

export function independentTransport(): Transport {
  return nodeTransport();
}

export function fastTransport(): Transport {
  return engineTransport();
}
