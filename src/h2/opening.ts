// The beginning of a connection: which side speaks first, and which protocol the peer speaks.

import { ClientPreface, type OtherProtocol, type Preface, ServerPreface } from "./preface.ts";
import type { Role } from "./settings.ts";

export interface OpeningHost {
  /** Sends the first flight. */
  start(): void;
  refuseProtocol(other: OtherProtocol): void;
}

export class Opening {
  /** The first flight is in the output. */
  started = false;
  /** The first flight waits, or has waited, for the client's preface. */
  awaitsClient = false;
  /** PINGs that were asked for before the first flight. Nothing may be sent before SETTINGS. */
  earlyPings: (() => void)[] | undefined;

  private readonly host: OpeningHost;
  /** Reads the peer's first bytes, as long as the peer may not speak HTTP/2. */
  private preface: Preface | undefined;

  constructor(role: Role, host: OpeningHost) {
    this.host = host;
    this.preface = role === "server" ? new ClientPreface(false) : new ServerPreface();
  }

  awaitClient(): void {
    this.preface = new ClientPreface(true);
    this.awaitsClient = true;
  }

  /** Where the preface ends in `chunk` (§3.4). */
  read(chunk: Buffer, end: number): number {
    const { preface } = this;
    if (preface === undefined) return 0;
    const position = preface.read(chunk, end);
    if (preface.other !== undefined) {
      this.host.refuseProtocol(preface.other);
    } else if (preface.isComplete) {
      this.preface = undefined;
      if (!this.started) this.host.start();
    }
    return position;
  }
}
