// Bounds the growth of all receive windows of streams together. Credit that a peer was given cannot
// be taken back, so the bound is asked before it is given.

/** The growth of one stream's window. */
export interface WindowShare {
  bytes: number;
}

/** One for all connections of a process, unless a transport has its own. */
export class WindowBudget {
  readonly limitBytes: number;
  private usedBytesNow = 0;
  /**
   * Owners that drop a stream need not acknowledge what it had: then its share comes back when the
   * stream is collected, as does what the owner kept of it.
   */
  private readonly dropped = new FinalizationRegistry<WindowShare>((share) => this.end(share));

  constructor(limitBytes: number) {
    this.limitBytes = limitBytes;
  }

  get usedBytes(): number {
    return this.usedBytesNow;
  }

  get freeBytes(): number {
    return this.limitBytes - this.usedBytesNow;
  }

  /** A share for `stream`, of nothing yet. */
  begin(stream: object): WindowShare {
    const share = { bytes: 0 };
    this.dropped.register(stream, share);
    return share;
  }

  /** Adds `bytes` to a share. @returns how many of them there were */
  extend(share: WindowShare, bytes: number): number {
    const granted = Math.min(bytes, this.freeBytes);
    this.usedBytesNow += granted;
    share.bytes += granted;
    return granted;
  }

  /** Nothing of the share is held any more. */
  end(share: WindowShare): void {
    this.usedBytesNow -= share.bytes;
    share.bytes = 0;
  }
}
