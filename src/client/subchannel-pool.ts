// The addresses of one connection. Each listed address has a subchannel. Subchannels that have left
// the list, or were let go, stay until their last call has ended.

import type { GrpcError } from "../grpc/error.ts";
import type { RequestOrigin } from "../grpc/request-headers.ts";
import { addressState } from "../observe/channels.ts";
import { currentScope, type Scope } from "../observe/scope.ts";
import type { Clock } from "../time/clock.ts";
import type { ClientSession } from "../transport/transport.ts";
import type { SubchannelView } from "./balance/balancer.ts";
import { allFailedError, closedError, ejectedError } from "./errors/upstream-error.ts";
import { HealthCheck } from "./health/health-check.ts";
import type { HealthCheckOptions } from "./health/health-options.ts";
import { Member, type MemberOwner } from "./member.ts";
import { outcomeOf } from "./outlier/call-outcome.ts";
import { type AddressRecord, OutlierDetection } from "./outlier/outlier-detection.ts";
import type { OutlierDetectionOptions } from "./outlier/outlier-options.ts";
import { PastAddresses } from "./past-addresses.ts";
import type { Address } from "./resolve/address-list.ts";
import type { PingWaiter } from "./subchannel/attempts.ts";
import type { AddressPast } from "./subchannel/connect-history.ts";
import type { ConnectionBackoffOptions } from "./subchannel/connection-backoff.ts";
import type { Subchannel, SubchannelOwner } from "./subchannel/subchannel.ts";
import type { SubchannelState } from "./subchannel/subchannel-state.ts";
import type { CallEnd } from "./subchannel/watched-calls.ts";

/** The owner of the pool. */
export interface PoolOwner {
  /** The backend as messages call it. */
  readonly target: string;
  readonly clock: Clock;
  readonly random: () => number;
  readonly backoff: ConnectionBackoffOptions;
  readonly outlierDetection: OutlierDetectionOptions | undefined;
  readonly healthCheck: HealthCheckOptions | undefined;
  /** The fields of requests that name the backend. */
  readonly origin: RequestOrigin;
  /** @param past what is known of the address */
  makeSubchannel(
    address: Address,
    owner: SubchannelOwner,
    past: AddressPast | undefined,
  ): Subchannel;
  /** Calls wait for a stream. */
  isWanted(): boolean;
  /** Why an address is connected now, for people. */
  whyConnect(): string;
  /** The state of a listed address has changed. */
  onChange(member: Member, reason: string, error: GrpcError | undefined): void;
  /** Some address may have room. */
  onRoom(): void;
  /** `capacity` or `readySessions` may be others. */
  onCapacity(): void;
  /** No session is left. */
  onEmpty(): void;
}

/** Keeps a subchannel for each address of a list that changes. */
export class SubchannelPool implements SubchannelOwner, MemberOwner {
  readonly #owner: PoolOwner;
  readonly #outliers: OutlierDetection | undefined;
  /** Given if calls are counted. */
  readonly onCallEnd: SubchannelOwner["onCallEnd"];
  #members: readonly Member[] = [];
  #views: readonly SubchannelView[] = [];
  readonly #memberOf = new Map<Subchannel, Member>();
  /** Subchannels that were shut down, and have sessions that have not ended. */
  readonly #draining = new Set<Subchannel>();
  readonly #past: PastAddresses;
  /** The latest failure of all. */
  #lastError: GrpcError;
  /** The context in which this was made: changes belong to no single call. */
  readonly #scope: Scope = currentScope();
  /** Some address took calls after the latest change. */
  #wasReady = false;
  /** Backoffs are being cut short: the owner is told of the change that caused it, and no other. */
  #isCutting = false;
  #isAsleep = false;
  /** When a call was last seen on subchannels that have no session any more. */
  #busyMs = Number.NEGATIVE_INFINITY;
  /** Where the next search for room begins, so that not always the same address helps out. */
  #nextHelper = 0;

  constructor(owner: PoolOwner) {
    this.#owner = owner;
    this.#past = new PastAddresses(owner.clock);
    this.#lastError = closedError(owner.target);
    const { outlierDetection, clock, random } = owner;
    if (outlierDetection === undefined) return;
    const pool = this;
    this.#outliers = new OutlierDetection(outlierDetection, {
      ...{ clock, random },
      get records(): readonly AddressRecord[] {
        return pool.#members.map(({ record }) => record);
      },
      onEjection: (record, reason) => this.#onEjection(record, reason),
    });
    this.onCallEnd = (subchannel, end) => this.#onCallEnd(subchannel, end);
  }

  get members(): readonly Member[] {
    return this.#members;
  }

  get views(): readonly SubchannelView[] {
    return this.#views;
  }

  /** Some address takes calls. */
  get isReady(): boolean {
    return this.#members.some(({ kind }) => kind === "ready");
  }

  /** Sessions that stand or are being made, those that drain included. */
  get sessionCount(): number {
    return this.#sum(({ sessionCount }) => sessionCount);
  }

  get openStreamCount(): number {
    return this.#sum(({ openStreamCount }) => openStreamCount);
  }

  /** As `Subchannel.lookBusyMs`, of all that there are or were. */
  lookBusyMs(nowMs: number): number {
    let busyMs = this.#busyMs;
    for (const { subchannel } of this.#members)
      busyMs = Math.max(busyMs, subchannel.lookBusyMs(nowMs));
    for (const subchannel of this.#draining)
      busyMs = Math.max(busyMs, subchannel.lookBusyMs(nowMs));
    return busyMs;
  }

  /** How many streams may be open at a time on the listed addresses that are ready. */
  get capacity(): number {
    let capacity = 0;
    for (const { subchannel } of this.#usable()) capacity += subchannel.capacity;
    return capacity;
  }

  /** The sessions of the listed addresses that take calls; a copy. */
  get readySessions(): readonly ClientSession[] {
    return this.#usable().flatMap(({ subchannel }) => subchannel.readySessions);
  }

  /** Calls under way on `readySessions`. */
  get readyStreamCount(): number {
    let count = 0;
    for (const { subchannel } of this.#usable()) count += subchannel.readyStreamCount;
    return count;
  }

  /** Those that are not held. */
  #usable(): readonly Member[] {
    return this.#members.filter(({ isHeld }) => !isHeld);
  }

  #sum(count: (subchannel: Subchannel) => number): number {
    let sum = 0;
    for (const { subchannel } of this.#members) sum += count(subchannel);
    for (const subchannel of this.#draining) sum += count(subchannel);
    return sum;
  }

  /**
   * Takes another list: addresses that stay keep their sessions, whatever their weight; those that
   * leave drain.
   */
  setAddresses(addresses: readonly Address[]): void {
    const leaving = new Map(this.#members.map((member) => [member.address, member]));
    this.#members = addresses.map((listed) => {
      const known = leaving.get(listed.text);
      leaving.delete(listed.text);
      if (known === undefined) return this.#newMember(listed);
      known.listed = listed;
      return known;
    });
    this.#views = this.#members.map(({ view }) => view);
    const reason = "the address has left the list";
    for (const member of leaving.values()) {
      this.#past.keep(member.address, member.subchannel.past);
      this.#retire(member.subchannel, reason);
      this.#tell(member, reason, undefined);
    }
    this.#outliers?.onList();
    this.#cutBackoffs();
  }

  #newMember(listed: Address): Member {
    const past = this.#past.take(listed.text);
    const subchannel = this.#owner.makeSubchannel(listed, this, past);
    const member = new Member(this, listed, subchannel, (made) => this.#healthCheckOf(made));
    this.#memberOf.set(subchannel, member);
    return member;
  }

  #healthCheckOf(member: Member): HealthCheck | undefined {
    const { clock, random, backoff, healthCheck } = this.#owner;
    if (healthCheck === undefined) return undefined;
    const owner = this.#owner;
    return new HealthCheck(healthCheck, {
      ...{ target: member.address, clock, random, backoff },
      get origin(): RequestOrigin {
        return owner.origin;
      },
      openBeside: (side) => member.subchannel.openBeside(side),
      wantRoom: () => member.subchannel.wantRoom(),
      onHealth: (reason, error) => this.#onHealth(member, reason, error),
    });
  }

  connect(member: Member): void {
    if (this.#isAsleep || !this.#memberOf.has(member.subchannel)) return;
    member.subchannel.connect(this.#owner.whyConnect());
  }

  /** Makes the address idle. */
  letGo(member: Member): void {
    this.#letGo(member, "another address is used");
  }

  /** Makes all addresses idle, and connects none until `wake`. The owner is not told of it. */
  sleep(reason: string): void {
    this.#isAsleep = true;
    for (const member of this.#members) {
      this.#letGo(member, reason);
      member.hasFailed = false;
    }
    this.#wasReady = false;
  }

  wake(): void {
    this.#isAsleep = false;
  }

  #letGo(member: Member, reason: string): void {
    const { subchannel } = member;
    if (subchannel.kind === "idle" || !this.#memberOf.has(subchannel)) return;
    const { past } = subchannel;
    const before = member.replace((listed) => this.#owner.makeSubchannel(listed, this, past));
    this.#memberOf.set(member.subchannel, member);
    this.#retire(before, reason);
    // Waiting is given up. The next wait is longer all the same.
    past.history.wait = undefined;
    this.#changed(member, reason, undefined);
  }

  #retire(subchannel: Subchannel, reason: string): void {
    this.#memberOf.get(subchannel)?.health?.stop();
    this.#memberOf.delete(subchannel);
    subchannel.shutDown(reason);
    if (subchannel.sessionCount > 0) this.#draining.add(subchannel);
  }

  /** A member that is ready and has room, other than `member`. */
  withRoom(member: Member): Member | undefined {
    const all = this.#members;
    for (let step = 0; step < all.length; step++) {
      const other = all[(this.#nextHelper + step) % all.length];
      if (other === undefined || other === member || !other.hasRoom) continue;
      this.#nextHelper = (this.#nextHelper + step + 1) % all.length;
      return other;
    }
    return undefined;
  }

  /**
   * The state of all addresses together (gRPC connectivity semantics and gRFC A62): ready if one is
   * ready, otherwise connecting if one is connecting, otherwise idle if one is idle. If several
   * addresses have all failed, none counts as connecting before one was ready. At least one address
   * is listed.
   */
  connectivity(): SubchannelState {
    const members = this.#members;
    const [first] = members;
    if (members.length === 1 && first !== undefined) return first.state;
    let kind: "connecting" | "idle" | undefined;
    for (const member of members) {
      switch (member.kind) {
        case "ready":
          return { kind: "ready" };
        case "connecting":
          if (!member.hasFailed) kind = "connecting";
          break;
        case "idle":
          member.hasFailed = false;
          kind ??= "idle";
          break;
      }
    }
    if (kind !== undefined) return { kind };
    const error = allFailedError(this.#owner.target, members.length, this.#lastError);
    return { kind: "transientFailure", error };
  }

  /** Sends PING to the first address that is ready. */
  ping(waiter: PingWaiter): void {
    const ready = this.#members.find(({ kind }) => kind === "ready");
    ready?.subchannel.ping(waiter);
  }

  /** Takes no more calls, for ever. */
  shutDown(reason: string): void {
    this.#outliers?.close();
    const members = this.#members;
    this.#members = [];
    this.#views = [];
    for (const member of members) {
      this.#retire(member.subchannel, reason);
      this.#tell(member, reason, undefined);
    }
  }

  /** Ends all sessions that drain, and the calls on them. */
  destroy(message: string): void {
    for (const subchannel of [...this.#draining]) subchannel.destroy(message);
  }

  isWanted(subchannel: Subchannel): boolean {
    const member = this.#memberOf.get(subchannel);
    return member !== undefined && !member.isHeld && this.#owner.isWanted();
  }

  onChange(
    subchannel: Subchannel,
    state: SubchannelState,
    reason: string,
    error: GrpcError | undefined,
  ): void {
    const member = this.#memberOf.get(subchannel);
    if (member === undefined) return;
    if (state.kind === "ready") member.health?.start();
    else member.health?.stop();
    if (state.kind === "transientFailure") {
      member.hasFailed = true;
      this.#lastError = state.error;
    }
    this.#changed(member, reason, error);
  }

  #changed(member: Member, reason: string, error: GrpcError | undefined): void {
    const { kind } = member;
    member.reason = reason;
    if (error !== undefined || kind === "ready") member.error = error;
    if (kind === "ready") member.hasFailed = false;
    this.#tell(member, reason, error);
    // Whoever was told may have closed the connection.
    if (this.#isCutting || this.#isAsleep || !this.#memberOf.has(member.subchannel)) return;
    this.#cutBackoffs(member);
    this.#owner.onChange(member, reason, error);
  }

  /**
   * When the last address that was ready is gone, calls need not fail: the servers of those that
   * wait for a backoff may be back since. They are tried at once, and count as not tried before.
   * @param last it has a reason of its own for its state
   */
  #cutBackoffs(last?: Member): void {
    const { isReady } = this;
    if (this.#wasReady && !isReady) {
      this.#isCutting = true;
      for (const member of this.#members) {
        if (member !== last) member.subchannel.cutBackoff("no other address is ready");
        member.hasFailed = member.kind === "transientFailure";
      }
      this.#isCutting = false;
    }
    this.#wasReady = isReady;
  }

  #onCallEnd(subchannel: Subchannel, end: CallEnd): void {
    const member = this.#memberOf.get(subchannel);
    const outcome = outcomeOf(end);
    if (member !== undefined && outcome !== undefined)
      this.#outliers?.count(member.record, outcome === "failure");
  }

  /** @param reason why it is ejected, or has returned */
  #onEjection(record: AddressRecord, reason: string): void {
    const member = this.#members.find((each) => each.record === record);
    if (member === undefined) return;
    const isEjected = record.ejectedAtMs !== undefined;
    const error = isEjected ? ejectedError(member.address, reason) : undefined;
    member.ejection = error === undefined ? undefined : { reason, error };
    if (error !== undefined) this.#lastError = error;
    this.onCapacity();
    if (member.subchannel.kind === "ready") this.#changed(member, reason, error);
    else this.#tell(member, reason, error);
  }

  /** Tells whoever listens that something about `member` is another. */
  #tell(member: Member, reason: string, error: GrpcError | undefined): void {
    if (!addressState.hasSubscribers) return;
    const { target } = this.#owner;
    const { address, kind: state, health } = member;
    const ejectedForMs = this.ejectedForMs(member);
    const change = { ...{ target, address, state, reason, error }, ejectedForMs };
    const event = { ...change, health: health?.health };
    this.#scope.runInAsyncScope(() => addressState.publish(event));
  }

  /** The health of a member that is connected. @param error given when it is not healthy */
  #onHealth(member: Member, reason: string, error: GrpcError | undefined): void {
    if (error !== undefined) {
      member.hasFailed = true;
      this.#lastError = error;
    }
    this.onCapacity();
    this.#changed(member, reason, error);
  }

  /** As `AddressState` has it. */
  ejectedForMs({ record }: Member): number | undefined {
    return this.#outliers?.ejectedForMs(record);
  }

  onRoom(subchannel: Subchannel): void {
    if (this.#owner.healthCheck !== undefined) this.#memberOf.get(subchannel)?.health?.look();
    this.#owner.onRoom();
  }

  onCapacity(): void {
    this.#owner.onCapacity();
  }

  onEmpty(subchannel: Subchannel): void {
    this.#draining.delete(subchannel);
    this.#busyMs = Math.max(this.#busyMs, subchannel.lookBusyMs(this.#owner.clock.nowMs()));
    if (this.sessionCount === 0) this.#owner.onEmpty();
  }
}
