// Where addresses come from: what a resolver is told, and what it answers.

/** One address of a backend. */
export interface ResolvedAddress {
  /** `HOST:PORT`, `[IPV6]:PORT` or `unix:PATH`. A host name is looked up at each attempt. */
  readonly address: string;
  /**
   * The share of calls that it should get, relative to the others: a number above 0, at most
   * 1,000,000. "roundRobin", "leastRequest" and "ringHash" honour it. @default 1
   */
  readonly weight?: number;
}

/** Who is told of addresses. Neither method throws, and both may be called at any time. */
export interface ResolverListener {
  /**
   * The whole list as it is now, at least one address. Those that are in it stay connected, those
   * that are no longer finish the calls under way. A list that cannot be used is a warning of the
   * process, and the one before stays.
   */
  onAddresses(addresses: readonly (string | ResolvedAddress)[]): void;
  /**
   * No list could be had. The one before stays; where there is none, calls fail with UNAVAILABLE
   * until there is one. Trying again is up to the resolver.
   */
  onError(error: Error): void;
}

/**
 * Finds the addresses of a backend and says when they change: the interface to service discovery.
 * It serves one `ClientConn`.
 */
export interface Resolver {
  /**
   * What the backend is called in messages, and by `:authority` and TLS unless options say
   * otherwise: `HOST` or `HOST:PORT`.
   * @default "(resolver)" in messages, `localhost` as `:authority`
   */
  readonly name?: string;
  /** Called once, when the first call or `ClientConn.connect` wants an address. */
  start(listener: ResolverListener): void;
  /**
   * An address could not be reached, or its connection was lost: the list may be out of date. Comes
   * as often as that happens.
   */
  resolveNow?(): void;
  /** The connection was closed. Only called after `start`; nothing is listened to any more. */
  close?(): void;
}
