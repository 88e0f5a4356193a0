// What was learned of one address by connecting to it. It outlives the subchannel.

import type { GrpcError } from "../../grpc/error.ts";
import type { Clock } from "../../time/clock.ts";
import { ConnectionBackoff, type ConnectionBackoffOptions } from "./connection-backoff.ts";
import { EarlyEndBackoff } from "./early-end-backoff.ts";
import type { SessionSource } from "./session-source.ts";

/** The address is not to be connected to before `untilMs`. */
interface ConnectWait {
  readonly untilMs: number;
  /** Why the latest attempt failed. */
  readonly error: GrpcError;
  readonly reason: string;
}

/** How attempts to connect to one address went. */
export class ConnectHistory {
  readonly backoff: ConnectionBackoff;
  readonly earlyEnds: EarlyEndBackoff;
  /** Since the latest failure, until it is over or given up. */
  wait: ConnectWait | undefined = undefined;

  constructor(options: {
    readonly clock: Clock;
    readonly random: () => number;
    readonly backoff: ConnectionBackoffOptions;
  }) {
    this.backoff = new ConnectionBackoff(options.backoff, options.random);
    this.earlyEnds = new EarlyEndBackoff(options.clock, this.backoff);
  }
}

/** What one subchannel of an address hands on to the next. */
export interface AddressPast {
  /** It knows how often the server permits PING. */
  readonly source: SessionSource;
  readonly history: ConnectHistory;
}
