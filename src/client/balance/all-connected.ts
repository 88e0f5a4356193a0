// The common part of balancers that keep a connection to every address.

import type { Picker, SubchannelView } from "./balancer.ts";

/** Nothing is ready: every call waits. */
export const NOTHING_READY: Picker = { pick: () => undefined };

/** Connects those that are idle. @returns those that are ready */
export function connectAll(subchannels: readonly SubchannelView[]): readonly SubchannelView[] {
  for (const each of subchannels) if (each.state === "idle") each.connect();
  return subchannels.filter(({ state }) => state === "ready");
}
