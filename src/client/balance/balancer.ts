// How a call finds its address: the view and the answers of a balancer. The built-in balancers use
// only these interfaces.

import type { GrpcError } from "../../grpc/error.ts";
import type { ConnState } from "../../observe/channels.ts";

/** A balancer's view of one address. It is the same object as long as the address is listed. */
export interface SubchannelView {
  /** `192.0.2.1:50051`, `[2001:db8::1]:50051` or `unix:/path`. */
  readonly address: string;
  readonly state: ConnState;
  /** Calls under way on the address. */
  readonly inFlight: number;
  /** The share of calls that the address should get, relative to the others. */
  readonly weight: number;
  /** Connects, if the address is idle. After a failure it becomes idle when its backoff is over. */
  connect(): void;
  /** Goes back to idle: calls under way on it finish, connecting or waiting is given up. */
  disconnect(): void;
}

/** The facts of a call that wants an address. Valid until `pick` returns. */
export interface PickInfo {
  /** `/package.Service/Method`. */
  readonly method: string;
  /** The call option `hashKey`. */
  readonly hashKey: string | undefined;
}

/**
 * Answers for each call at once, as long as the addresses stay as they were at `Balancer.update`.
 */
export interface Picker {
  /**
   * The address that `call` goes to. If it has no room, another one that is ready and has room gets
   * the call.
   * @returns `undefined` to let the call wait for the next picker; an error to fail it
   */
  pick(call: PickInfo): SubchannelView | GrpcError | undefined;
}

/** Decides which addresses of one `ClientConn` are connected, and which of them gets a call. */
export interface Balancer {
  /**
   * Called with all addresses when the list or a state has changed. `connect` and `disconnect` may
   * be called within; `update` is then called again.
   * @param subchannels in the order of the list; at least one
   */
  update(subchannels: readonly SubchannelView[]): Picker;
  /**
   * A connection is wanted without a call: by `ClientConn.connect` or `ready`.
   * @default every idle address is told to connect
   */
  connect?(): void;
  /** The connection is closed; nothing follows. */
  close?(): void;
}

/** The functions that a balancer may use. */
export interface BalancerHost {
  /**
   * Calls `callback` once, `delayMs` milliseconds from now or up to 4 ms later, on the clock of the
   * connection.
   * @returns a function that takes it back
   */
  after(delayMs: number, callback: () => void): () => void;
  /** A number from 0 up to but not including 1. */
  random(): number;
  /** Calls `update` again, and picks again for all waiting calls. */
  refresh(): void;
}

/** Makes the balancer of one `ClientConn`. */
export type BalancerFactory = (host: BalancerHost) => Balancer;
