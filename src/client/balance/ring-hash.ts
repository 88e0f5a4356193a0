// The balancer "ringHash" (gRFC A42): calls with the same key go to the same address as long as it
// is there.

import { NOTHING_READY } from "./all-connected.ts";
import type { Balancer, BalancerHost, Picker, PickInfo, SubchannelView } from "./balancer.ts";

/**
 * Points on the ring for each unit of weight. The number for one address does not depend on the
 * others. So an address that leaves gives up its own keys, and moves no others. With 128 the shares
 * of ten equal addresses lie within about 10 % of each other.
 */
const POINTS_PER_WEIGHT = 128;
/** Large weights are divided by a power of two, to stay below this number. */
const MAX_POINTS = 65_536;

/** Addresses on a ring: each at many points, where its name hashes to. */
interface Ring {
  /** In rising order. */
  readonly hashes: Uint32Array;
  /** The place in the list of the address at each point. */
  readonly owners: Uint32Array;
}

/**
 * A key belongs to the address at the next point of the ring. While that address is not ready it is
 * connected, and the call goes to the next one on the ring. A call without a key goes anywhere.
 */
export class RingHash implements Balancer {
  readonly #host: BalancerHost;
  #subchannels: readonly SubchannelView[] = [];
  /** The addresses and weights that `#ring` was made of. */
  #plan = "";
  #ring: Ring = { hashes: new Uint32Array(0), owners: new Uint32Array(0) };

  constructor(host: BalancerHost) {
    this.#host = host;
  }

  update(subchannels: readonly SubchannelView[]): Picker {
    this.#subchannels = subchannels;
    const plan = subchannels.map(({ address, weight }) => `${address} ${weight}`).join("\n");
    if (plan !== this.#plan) {
      this.#plan = plan;
      this.#ring = makeRing(subchannels);
    }
    const picker = new RingPicker(this.#host, this.#ring, subchannels);
    return picker.leadsNowhere ? NOTHING_READY : picker;
  }

  connect(): void {
    this.#subchannels.find(({ state }) => state === "idle")?.connect();
  }
}

/** Walks a ring on which some address is ready, or may become ready. */
class RingPicker implements Picker {
  readonly leadsNowhere: boolean;
  readonly #host: BalancerHost;
  readonly #ring: Ring;
  readonly #subchannels: readonly SubchannelView[];
  readonly #isAnyReady: boolean;

  constructor(host: BalancerHost, ring: Ring, subchannels: readonly SubchannelView[]) {
    this.#host = host;
    this.#ring = ring;
    this.#subchannels = subchannels;
    this.#isAnyReady = subchannels.some(({ state }) => state === "ready");
    this.leadsNowhere = !this.#isAnyReady && !subchannels.some(isReachable);
  }

  pick({ hashKey }: PickInfo): SubchannelView | undefined {
    const { hashes, owners } = this.#ring;
    const hash = hashKey === undefined ? this.#host.random() * 0x1_0000_0000 : hashOf(hashKey);
    const start = firstAtOrAbove(hashes, hash);
    let isAsked = false;
    for (let step = 0; step < owners.length; step++) {
      // Each point of the ring has an owner, and each owner is in the list.
      const owner = owners[(start + step) % owners.length] as number;
      const each = this.#subchannels[owner] as SubchannelView;
      if (each.state === "ready") return each;
      // One at a time: the addresses behind it on the ring are for the case that it fails.
      if (isAsked || !isReachable(each)) continue;
      isAsked = true;
      each.connect();
      if (!this.#isAnyReady) break;
    }
    return undefined;
  }
}

/** The address is being connected, or can be connected. */
function isReachable({ state }: SubchannelView): boolean {
  return state === "idle" || state === "connecting";
}

function makeRing(subchannels: readonly SubchannelView[]): Ring {
  let scale = POINTS_PER_WEIGHT;
  const total = subchannels.reduce((sum, { weight }) => sum + weight, 0);
  while (total * scale > MAX_POINTS) scale /= 2;
  // Hash and owner in one number: a sort of numbers, and equal hashes in the order of the list.
  const points: number[] = [];
  subchannels.forEach(({ address, weight }, owner) => {
    const count = Math.max(1, Math.round(weight * scale));
    for (let i = 0; i < count; i++) points.push(hashOf(`${address}_${i}`) * 0x10_0000 + owner);
  });
  const sorted = Float64Array.from(points).sort();
  return {
    hashes: Uint32Array.from(sorted, (point) => Math.floor(point / 0x10_0000)),
    owners: Uint32Array.from(sorted, (point) => point % 0x10_0000),
  };
}

/** The first point at or above `hash`. After the last point the first one follows. */
function firstAtOrAbove(hashes: Uint32Array, hash: number): number {
  let low = 0;
  let high = hashes.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    // It lies below `hashes.length`.
    if ((hashes[middle] as number) < hash) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** 32 bits, spread evenly: FNV-1a over UTF-16, and a last mix, for FNV alone leaves runs. */
function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) {
    hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
