// Addresses as a balancer sees them, moved by the test, and a host whose time the test moves.

import type {
  Balancer,
  BalancerFactory,
  BalancerHost,
  Picker,
  PickInfo,
  SubchannelView,
} from "../../src/client/balance/balancer.ts";
import type { ConnState } from "../../src/observe/channels.ts";

export class FakeAddress implements SubchannelView {
  readonly address: string;
  state: ConnState = "idle";
  inFlight = 0;
  weight: number;
  /** The state that a connection attempt leads to at once. */
  outcome: ConnState = "connecting";
  readonly #set: FakeAddresses;

  constructor(set: FakeAddresses, address: string, weight: number) {
    this.#set = set;
    this.address = address;
    this.weight = weight;
  }

  connect(): void {
    if (this.state !== "idle") return;
    this.#set.log.push(`connect ${this.address}`);
    this.become(this.outcome);
  }

  disconnect(): void {
    this.#set.log.push(`disconnect ${this.address}`);
    this.become("idle");
  }

  become(state: ConnState): void {
    this.state = state;
    this.#set.changed();
  }
}

/** A balancer and its addresses. It gets them as a connection gives them. */
export class FakeAddresses implements BalancerHost {
  readonly log: string[] = [];
  readonly balancer: Balancer;
  all: FakeAddress[] = [];
  picker: Picker | undefined;
  /** The results of `random`, in order; then 0. */
  draws: number[] = [];
  delays: { ms: number; callback: () => void }[] = [];
  refreshCount = 0;
  #life: "quiet" | "updating" | "stale" = "quiet";

  constructor(make: BalancerFactory, ...addresses: string[]) {
    this.balancer = make(this);
    this.list(...addresses);
  }

  /** Takes this list, as `ADDRESS` or `ADDRESS*WEIGHT`. */
  list(...addresses: string[]): void {
    this.all = addresses.map((text) => {
      const [address = "", weight = "1"] = text.split("*");
      const known = this.all.find((each) => each.address === address);
      if (known !== undefined) known.weight = Number(weight);
      return known ?? new FakeAddress(this, address, Number(weight));
    });
    this.changed();
  }

  changed(): void {
    if (this.#life !== "quiet") this.#life = "stale";
    else {
      do {
        this.#life = "updating";
        this.picker = this.balancer.update(this.all);
      } while (this.#isStale());
      this.#life = "quiet";
    }
  }

  #isStale(): boolean {
    return this.#life === "stale";
  }

  get(address: string): FakeAddress {
    const found = this.all.find((each) => each.address === address);
    if (found === undefined) throw new Error(`no ${address}`);
    return found;
  }

  become(state: ConnState, ...addresses: string[]): void {
    for (const address of addresses) this.get(address).become(state);
  }

  /** Picks for a call, and returns the address. */
  pick(call: Partial<PickInfo> = {}): string | undefined {
    const picked = this.picker?.pick({ method: "/a.B/C", hashKey: undefined, ...call });
    return picked === undefined ? undefined : (picked as SubchannelView).address;
  }

  /** The actions since the last call of this method. */
  done(): string[] {
    return this.log.splice(0);
  }

  after(ms: number, callback: () => void): () => void {
    const delay = { ms, callback };
    this.delays.push(delay);
    return () => {
      this.delays = this.delays.filter((each) => each !== delay);
    };
  }

  /** Ends all delays. */
  fire(): void {
    for (const { callback } of this.delays.splice(0)) callback();
  }

  random(): number {
    return this.draws.shift() ?? 0;
  }

  refresh(): void {
    this.refreshCount++;
  }
}
