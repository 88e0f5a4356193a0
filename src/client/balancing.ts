// Runs the balancer of one connection. A defect of the balancer fails calls, but not the process.

import { checkNumber, shown, tell } from "../check/check.ts";
import { warn, warnOnce } from "../check/warn.ts";
import { GrpcError } from "../grpc/error.ts";
import type { Clock } from "../time/clock.ts";
import { Timer, type TimerOwner } from "../time/timer-wheel.ts";
import type {
  Balancer,
  BalancerFactory,
  BalancerHost,
  Picker,
  PickInfo,
  SubchannelView,
} from "./balance/balancer.ts";
import { OnlyPicker } from "./balance/pick-first.ts";
import { balancerError } from "./errors/upstream-error.ts";
import { Member } from "./member.ts";

/** The connection that the balancer belongs to. */
export interface BalancingOwner {
  readonly target: string;
  readonly clock: Clock;
  readonly views: readonly SubchannelView[];
  random(): number;
  onRefresh(): void;
}

/** `update` may cause further calls of itself, up to this many. */
const MAX_ROUNDS = 1_000;

const UNUSED: Picker = { pick: () => undefined };

/** Asks one balancer, and holds its latest picker. */
export class Balancing implements BalancerHost {
  readonly #owner: BalancingOwner;
  readonly #balancer: Balancer;
  readonly #delays = new Set<Delay>();
  readonly #call = new PickedCall();
  #picker: Picker = UNUSED;
  #life: "quiet" | "updating" | "stale" | "closed" = "quiet";

  /** @throws {TypeError} when `make` gives no balancer */
  constructor(make: BalancerFactory, owner: BalancingOwner) {
    this.#owner = owner;
    this.#balancer = make(this);
    if (typeof this.#balancer?.update === "function") return;
    throw new TypeError(
      `balancing: expected a function that gives a Balancer, got ${shown(this.#balancer)}`,
    );
  }

  /** The one address that all calls go to, if there is one. */
  get only(): Member | undefined {
    return this.#picker instanceof OnlyPicker ? Member.of(this.#picker.only) : undefined;
  }

  /**
   * Something has changed. While the balancer is told of another change, this does nothing: the
   * balancer is told again afterwards.
   * @returns false when nothing was done
   */
  update(): boolean {
    if (this.#life !== "quiet") {
      if (this.#life === "updating") this.#life = "stale";
      return false;
    }
    let rounds = 0;
    do {
      this.#life = "updating";
      this.#updateOnce();
      if (rounds++ === MAX_ROUNDS) {
        warn("callback", "a balancer changes the states in a circle", this.#owner.target);
        break;
      }
    } while (this.#isLife("stale"));
    // The balancer may have closed the connection.
    if (this.#isLife("closed")) return false;
    this.#life = "quiet";
    return true;
  }

  #isLife(life: "stale" | "closed"): boolean {
    return this.#life === life;
  }

  #updateOnce(): void {
    const { target, views } = this.#owner;
    try {
      const picker = this.#balancer.update(views);
      if (typeof picker?.pick !== "function") {
        throw new TypeError(`update: expected a Picker, got ${shown(picker)}`);
      }
      this.#picker = picker;
    } catch (thrown) {
      const text = "update of a balancer must not throw, and give a Picker";
      warnOnce("callback", "update of a balancer", text, thrown);
      if (this.#picker !== UNUSED) return;
      const error = balancerError(target, thrown);
      this.#picker = { pick: () => error };
    }
  }

  pick(call: PickInfo): Member | GrpcError | undefined {
    const outer = this.#call.begin(call);
    try {
      const picked = this.#picker.pick(this.#call);
      if (picked === undefined) return undefined;
      if (picked instanceof GrpcError) return picked;
      const member = Member.of(picked);
      if (member !== undefined) return member;
      throw new TypeError(
        `pick: expected a SubchannelView that update was given, got ${shown(picked)}`,
      );
    } catch (thrown) {
      if (thrown instanceof GrpcError) return thrown;
      const text = "pick of a balancer must not throw, and give a SubchannelView";
      warnOnce("callback", "pick of a balancer", text, thrown);
      return balancerError(this.#owner.target, thrown);
    } finally {
      this.#call.end(outer);
    }
  }

  /** A connection is wanted without a call. */
  connect(): void {
    tell("connect of a balancer", () => {
      if (this.#balancer.connect !== undefined) this.#balancer.connect();
      else for (const view of this.#owner.views) view.connect();
    });
  }

  close(): void {
    this.#life = "closed";
    tell("close of a balancer", () => this.#balancer.close?.());
    for (const delay of [...this.#delays]) delay.cancel();
  }

  after(delayMs: number, callback: () => void): () => void {
    checkNumber("delayMs", delayMs, 0);
    if (this.#life === "closed") return () => {};
    const delay = new Delay(this.#owner.clock, this.#delays, callback);
    this.#owner.clock.schedule(delay.timer, delayMs);
    return () => delay.cancel();
  }

  random(): number {
    return this.#owner.random();
  }

  refresh(): void {
    if (this.#life !== "closed") this.#owner.onRefresh();
  }
}

const NO_CALL: PickInfo = { method: "", hashKey: undefined };

/** A balancer's view of the call that it picks for; one object serves all calls. */
class PickedCall implements PickInfo {
  #call = NO_CALL;

  get method(): string {
    return this.#call.method;
  }

  get hashKey(): string | undefined {
    return this.#call.hashKey;
  }

  /** @returns the one for which it is being picked already, for `end` */
  begin(call: PickInfo): PickInfo {
    const outer = this.#call;
    this.#call = call;
    return outer;
  }

  end(outer: PickInfo): void {
    this.#call = outer;
  }
}

/** One call of `BalancerHost.after`. */
class Delay implements TimerOwner {
  readonly timer: Timer = new Timer(this);
  readonly #clock: Clock;
  readonly #all: Set<Delay>;
  readonly #callback: () => void;

  constructor(clock: Clock, all: Set<Delay>, callback: () => void) {
    this.#clock = clock;
    this.#all = all;
    this.#callback = callback;
    all.add(this);
  }

  cancel(): void {
    this.#clock.cancel(this.timer);
    this.#all.delete(this);
  }

  onTimer(): void {
    this.#all.delete(this);
    tell("a callback of a balancer", this.#callback);
  }
}
