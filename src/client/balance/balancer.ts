// How a call finds its address: what a balancer sees, and what it answers. Those that are built in
// are written on these interfaces alone.

import type { GrpcError } from "../../grpc/error.ts";
import type { ConnState } from "../../observe/channels.ts";

/** One address, as a balancer sees it. The same object for as long as the address is listed. */
export interface SubchannelView {
  /** `192.0.2.1:50051`, `[2001:db8::1]:50051` or `unix:/path`. */
  readonly address: string;
  readonly state: ConnState;
  /** Calls under way on it. */
  readonly inFlight: number;
  /** The share of calls that it should get, relative to the others. */
  readonly weight: number;
  /** Connects, if it is idle. After a failure it becomes idle when its backoff is over. */
  connect(): void;
  /** Goes back to idle: calls under way on it finish, connecting or waiting is given up. */
  disconnect(): void;
}

/** What is known of a call that wants an address. Good until `pick` returns. */
export interface PickInfo {
  /** `/package.Service/Method`. */
  readonly method: string;
  /** The call option `hashKey`. */
  readonly hashKey: string | undefined;
}

/** Answers for each call at once, while the addresses are as they were at `Balancer.update`. */
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
   * be called within; it is then called again.
   * @param subchannels in the order of the list; at least one
   */
  update(subchannels: readonly SubchannelView[]): Picker;
  /**
   * Something is wanted without a call: `ClientConn.connect` or `ready`.
   * @default every idle address is told to connect
   */
  connect?(): void;
  /** The connection is closed; nothing follows. */
  close?(): void;
}

/** What a balancer may ask for. */
export interface BalancerHost {
  /**
   * Calls `callback` once, `delayMs` milliseconds from now or up to 4 ms later, on the clock of the
   * connection.
   * @returns a function that takes it back
   */
  after(delayMs: number, callback: () => void): () => void;
  /** A number from 0 up to but not including 1. */
  random(): number;
  /** Lets `update` be called again, and all calls that wait be picked for. */
  refresh(): void;
}

/** Makes the balancer of one `ClientConn`. */
export type BalancerFactory = (host: BalancerHost) => Balancer;
