// The balancers by their names.

import type { BalancerFactory } from "./balancer.ts";
import { LeastRequest } from "./least-request.ts";
import { PickFirst } from "./pick-first.ts";
import { RingHash } from "./ring-hash.ts";
import { RoundRobin } from "./round-robin.ts";

/**
 * How calls are spread over the addresses of a backend.
 *
 * - `"pickFirst"`: all go to the first that can be reached. Addresses are tried in order, the next
 *   one 250 ms after the one before or when that has failed (gRFC A61, RFC 8305).
 * - `"roundRobin"`: all are connected, and calls take turns, by weight.
 * - `"leastRequest"`: all are connected, and the less busy of two that are drawn gets the call
 *   (gRFC A48).
 * - `"ringHash"`: calls with the same `hashKey` go to the same address as long as it is there (gRFC
 *   A42).
 */
export type BalancingName = "pickFirst" | "roundRobin" | "leastRequest" | "ringHash";

export const BALANCERS: Readonly<Record<BalancingName, BalancerFactory>> = {
  pickFirst: (host) => new PickFirst(host),
  roundRobin: (host) => new RoundRobin(host),
  leastRequest: (host) => new LeastRequest(host),
  ringHash: (host) => new RingHash(host),
};
