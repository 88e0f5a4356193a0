// The balancers by their names.

import type { BalancerFactory } from "./balancer.ts";
import { LeastRequest } from "./least-request.ts";
import { PickFirst } from "./pick-first.ts";
import { RingHash } from "./ring-hash.ts";
import { RoundRobin } from "./round-robin.ts";

/**
 * How calls are spread over the addresses of a backend.
 *
 * - `"pickFirst"`: all calls go to the first address that can be reached. Addresses are tried in
 *   order. The next one is tried 250 ms after the one before, or when that has failed (gRFC A61,
 *   RFC 8305).
 * - `"roundRobin"`: all addresses are connected, and calls take turns, by weight.
 * - `"leastRequest"`: all addresses are connected. Two are drawn, and the less busy one gets the
 *   call (gRFC A48).
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
