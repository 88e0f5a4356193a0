// The transports of the harness's own ends. The checks speak through node:http2, so that a fault of
// the relay's engine cannot hide itself. Load and lean backend use the fastest transport.

import { engineTransport } from "../src/transport/engine/index.ts";
import { nodeTransport } from "../src/transport/node/index.ts";
import type { Transport } from "../src/transport/transport.ts";

export function independentTransport(): Transport {
  return nodeTransport();
}

export function fastTransport(): Transport {
  return engineTransport();
}
