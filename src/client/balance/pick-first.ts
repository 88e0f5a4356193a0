// The balancer "pickFirst" (gRFC A61): the first address that can be reached gets every call.

import type { Balancer, BalancerHost, Picker, SubchannelView } from "./balancer.ts";

/** RFC 8305 §8: the recommended Connection Attempt Delay, in milliseconds. */
const CONNECTION_ATTEMPT_DELAY_MS = 250;

/** Every call goes to `only`. */
export class OnlyPicker implements Picker {
  readonly only: SubchannelView;

  constructor(only: SubchannelView) {
    this.only = only;
  }

  pick(): SubchannelView {
    return this.only;
  }
}

/**
 * Tries the addresses in turn when a call wants one, each 250 ms after the one before or when that
 * has failed (RFC 8305 "Happy Eyeballs"). Then it stays with the first address that is ready.
 */
export class PickFirst implements Balancer, Picker {
  readonly #host: BalancerHost;
  /** The addresses in the order in which they are tried. */
  #order: readonly SubchannelView[] = [];
  #selected: OnlyPicker | undefined;
  /** Addresses are being tried. */
  #isTrying = false;
  /** The address that was tried last. */
  #latest: SubchannelView | undefined;
  #cancelDelay: (() => void) | undefined;

  constructor(host: BalancerHost) {
    this.#host = host;
  }

  update(subchannels: readonly SubchannelView[]): Picker {
    this.#order = interleaved(subchannels);
    const selected = this.#selected?.only;
    if (selected?.state === "ready" && subchannels.includes(selected))
      return this.#select(selected);
    this.#selected = undefined;
    const ready = this.#order.find(({ state }) => state === "ready");
    if (ready !== undefined) return this.#select(ready);
    if (this.#isTrying) this.#goOn();
    return this;
  }

  /** No address is ready, and a call wants one. */
  pick(): undefined {
    this.connect();
  }

  connect(): void {
    if (this.#isTrying || this.#selected !== undefined) return;
    this.#isTrying = true;
    this.#latest = undefined;
    this.#goOn();
  }

  close(): void {
    this.#stopTrying();
  }

  /** All other addresses, the former one included, are not wanted. */
  #select(chosen: SubchannelView): Picker {
    this.#stopTrying();
    if (this.#selected?.only !== chosen) this.#selected = new OnlyPicker(chosen);
    for (const each of this.#order) {
      if (each !== chosen && each.state !== "idle") each.disconnect();
    }
    return this.#selected;
  }

  #stopTrying(): void {
    this.#isTrying = false;
    this.#cancelDelay?.();
    this.#cancelDelay = undefined;
  }

  /** Tries the next address, unless the latest one still has time. */
  #goOn(): void {
    const isTried = this.#latest?.state === "connecting" && this.#order.includes(this.#latest);
    if (!isTried) this.#tryNext();
    else if (this.#cancelDelay === undefined && this.#order.some(isIdle)) this.#wait();
  }

  #tryNext(): void {
    this.#cancelDelay?.();
    this.#cancelDelay = undefined;
    const [next, another] = this.#order.filter(isIdle);
    if (next === undefined) {
      // All addresses have been tried. Those that are still connecting are waited for.
      this.#isTrying = this.#order.some(({ state }) => state === "connecting");
      return;
    }
    this.#latest = next;
    if (another !== undefined) this.#wait();
    next.connect();
  }

  /** There is another address: one of the list, or one that has come to it meanwhile. */
  #wait(): void {
    this.#cancelDelay = this.#host.after(CONNECTION_ATTEMPT_DELAY_MS, () => this.#tryNext());
  }
}

function isIdle({ state }: SubchannelView): boolean {
  return state === "idle";
}

/**
 * The addresses in turns of their IP families, beginning with the family of the first (RFC 8305
 * §4). If one family leads nowhere, every other attempt uses another.
 */
function interleaved(subchannels: readonly SubchannelView[]): readonly SubchannelView[] {
  const families = new Map<string, SubchannelView[]>();
  for (const each of subchannels) {
    const { address } = each;
    const family = address.startsWith("[") ? "ipv6" : address.startsWith("unix:") ? "unix" : "ipv4";
    const others = families.get(family);
    if (others === undefined) families.set(family, [each]);
    else others.push(each);
  }
  if (families.size < 2) return subchannels;
  const order: SubchannelView[] = [];
  for (let turn = 0; order.length < subchannels.length; turn++) {
    for (const family of families.values()) {
      const each = family[turn];
      if (each !== undefined) order.push(each);
    }
  }
  return order;
}
