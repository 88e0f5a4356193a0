// One address of a connection: its subchannel, and what is kept of it beside that.

import type { GrpcError } from "../grpc/error.ts";
import type { AddressHealth, ConnState } from "../observe/channels.ts";
import type { SubchannelView } from "./balance/balancer.ts";
import type { HealthCheck, HealthHold } from "./health/health-check.ts";
import { AddressRecord } from "./outlier/outlier-detection.ts";
import type { Address } from "./resolve/address-list.ts";
import type { Subchannel } from "./subchannel/subchannel.ts";
import { CONNECTING, type SubchannelState } from "./subchannel/subchannel-state.ts";

/** The state of one address of a `ClientConn`. */
export interface AddressState {
  /** `192.0.2.1:50051`, `[2001:db8::1]:50051` or `unix:/path`. */
  readonly address: string;
  readonly state: ConnState;
  /** The reason of that state, as one line for people. May change in any release. */
  readonly reason: string;
  /** Why the address failed or was lost, until it is ready again. */
  readonly error: GrpcError | undefined;
  readonly weight: number;
  /** Connections that stand or are being made; those that drain are included. */
  readonly sessionCount: number;
  /** Streams that are open on all of its connections. */
  readonly openStreamCount: number;
  /** How many more streams can be opened now. */
  readonly room: number;
  /**
   * A call to this address would wait for this: a connection, the end of the backoff, room under
   * the backend's MAX_CONCURRENT_STREAMS, the end of its ejection, or an answer to the health
   * check. `undefined` when the call would not wait.
   */
  readonly waitsFor: "connection" | "backoff" | "room" | "ejection" | "health" | undefined;
  /**
   * The address is ejected by `outlierDetection` for so many milliseconds from now, and up to an
   * interval longer; `undefined` when it is not. Its connections stay; while they could take calls,
   * `state` is `transientFailure`.
   */
  readonly ejectedForMs: number | undefined;
  /**
   * Its health by `healthCheck`; `undefined` without that option. While the address is connected
   * and its health does not let it take calls, `state` is `connecting` or `transientFailure`.
   */
  readonly health: AddressHealth | undefined;
}

/** The owner of the listed addresses. */
export interface MemberOwner {
  /** Connects the address, if it is idle. */
  connect(member: Member): void;
  /** Makes the address idle. */
  letGo(member: Member): void;
  /** As `AddressState` has it. */
  ejectedForMs(member: Member): number | undefined;
}

/** Why an address is ejected. */
interface Ejection {
  readonly reason: string;
  readonly error: GrpcError;
}

/** Makes the health check of an address. */
type HealthCheckFactory = (member: Member) => HealthCheck | undefined;

/** One listed address: its subchannel, and the facts that are kept of it. */
export class Member {
  readonly address: string;
  readonly view: SubchannelView;
  readonly owner: MemberOwner;
  #listed: Address;
  #subchannel: Subchannel;
  reason = "nobody has asked for it yet";
  /** Why the address failed or was lost, until it is ready. */
  error: GrpcError | undefined = undefined;
  /** The address has failed. Since then it has neither been ready, nor let go, nor tried anew. */
  hasFailed = false;
  /** The calls of the address, if they are counted. */
  readonly record: AddressRecord = new AddressRecord();
  /** Why it is ejected. */
  ejection: Ejection | undefined = undefined;
  /** Asks it for its health, if that is wanted. */
  readonly health: HealthCheck | undefined;

  constructor(
    owner: MemberOwner,
    listed: Address,
    subchannel: Subchannel,
    makeHealthCheck: HealthCheckFactory,
  ) {
    this.owner = owner;
    this.address = listed.text;
    this.#listed = listed;
    this.#subchannel = subchannel;
    this.view = new View(this);
    this.health = makeHealthCheck(this);
  }

  /** That of a view which a balancer was given; `undefined` for anything else. */
  static of(view: unknown): Member | undefined {
    return View.memberOf(view);
  }

  get subchannel(): Subchannel {
    return this.#subchannel;
  }

  /**
   * That of its subchannel. But an address that is ejected, or not healthy, is not ready: balancers
   * leave it out.
   */
  get state(): SubchannelState {
    const { state } = this.#subchannel;
    const held = state.kind === "ready" ? this.#hold : undefined;
    if (held === undefined) return state;
    return held.error === undefined ? CONNECTING : { kind: "transientFailure", error: held.error };
  }

  get kind(): ConnState {
    return this.state.kind;
  }

  /** It gets no calls, whatever its subchannel could take. */
  get isHeld(): boolean {
    return this.#hold !== undefined;
  }

  /** Why it is held. */
  get #hold(): Ejection | HealthHold | undefined {
    return this.ejection ?? this.health?.hold;
  }

  /** It takes calls, and one can be sent now. */
  get hasRoom(): boolean {
    return !this.isHeld && this.#subchannel.hasRoom;
  }

  /** A call waits for it. */
  wantRoom(): void {
    if (!this.isHeld) this.#subchannel.wantRoom();
    this.health?.look();
  }

  get weight(): number {
    return this.#listed.weight;
  }

  /** As the list has it now. */
  set listed(address: Address) {
    this.#listed = address;
  }

  /** Takes another subchannel, an idle one. @returns the one before */
  replace(make: (address: Address) => Subchannel): Subchannel {
    const before = this.#subchannel;
    this.#subchannel = make(this.#listed);
    return before;
  }

  toState(): AddressState {
    const { address, state, weight, subchannel } = this;
    const { sessionCount, openStreamCount, room } = subchannel;
    const held = subchannel.kind === "ready" ? this.#hold : undefined;
    const { reason } = held ?? this;
    const error = held?.error ?? this.error;
    const known = { address, state: state.kind, reason, error, weight };
    const waitsFor = this.#waitsFor(room);
    const ejectedForMs = this.owner.ejectedForMs(this);
    const health = this.health?.health;
    return { ...known, sessionCount, openStreamCount, room, waitsFor, ejectedForMs, health };
  }

  #waitsFor(room: number): AddressState["waitsFor"] {
    switch (this.#subchannel.kind) {
      case "ready":
        if (this.isHeld) return this.ejection === undefined ? "health" : "ejection";
        return room > 0 ? undefined : "room";
      case "transientFailure":
        return "backoff";
      default:
        return "connection";
    }
  }
}

/** A balancer's view of a member. */
class View implements SubchannelView {
  readonly #member: Member;

  constructor(member: Member) {
    this.#member = member;
  }

  static memberOf(view: unknown): Member | undefined {
    return typeof view === "object" && view !== null && #member in view ? view.#member : undefined;
  }

  get address(): string {
    return this.#member.address;
  }

  get state(): ConnState {
    return this.#member.kind;
  }

  get inFlight(): number {
    return this.#member.subchannel.openStreamCount;
  }

  get weight(): number {
    return this.#member.weight;
  }

  connect(): void {
    this.#member.owner.connect(this.#member);
  }

  disconnect(): void {
    this.#member.owner.letGo(this.#member);
  }
}
