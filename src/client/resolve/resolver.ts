// Where addresses come from: the interface of a resolver, and of its listener.

/** One address of a backend. */
export interface ResolvedAddress {
  /** `HOST:PORT`, `[IPV6]:PORT` or `unix:PATH`. A host name is looked up at each attempt. */
  readonly address: string;
  /**
   * The share of calls that the address should get, relative to the others: a number above 0, at
   * most 1,000,000. "roundRobin", "leastRequest" and "ringHash" use it. @default 1
   */
  readonly weight?: number;
}

/** Gets the addresses. Neither method throws, and both may be called at any time. */
export interface ResolverListener {
  /**
   * The whole current list, at least one address. Listed addresses stay connected; others finish
   * their calls. For a list that cannot be used the process is warned, and the former list stays.
   */
  onAddresses(addresses: readonly (string | ResolvedAddress)[]): void;
  /**
   * No list could be found. The former list stays. Without a former list calls fail with
   * UNAVAILABLE until there is one. The resolver decides when to try again.
   */
  onError(error: Error): void;
}

/**
 * Finds the addresses of a backend and reports their changes: the interface to service discovery. A
 * resolver serves one `ClientConn`.
 */
export interface Resolver {
  /**
   * The name of the backend in messages, and for `:authority` and TLS unless options name another:
   * `HOST` or `HOST:PORT`.
   * @default "(resolver)" in messages, `localhost` as `:authority`
   */
  readonly name?: string;
  /** Called once, when the first call or `ClientConn.connect` wants an address. */
  start(listener: ResolverListener): void;
  /**
   * An address could not be reached, its connection was lost, or the addresses are wanted again
   * after `idleTimeoutMs`, so the list may be out of date. Called each time that this happens.
   */
  resolveNow?(): void;
  /** The connection was closed. Only called after `start`; afterwards nothing is listened to. */
  close?(): void;
}
