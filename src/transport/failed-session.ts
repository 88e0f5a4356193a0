// A client session that never began: its options were refused before a socket was made.

import type { Clock } from "../time/clock.ts";
import { ErrorCode } from "../wire/error-code.ts";
import { errorText } from "./error-text.ts";
import type { ClientSession, ClientSessionListener, PeerInfo, Stream } from "./transport.ts";

export class FailedSession implements ClientSession {
  readonly peer: PeerInfo;
  readonly openStreamCount = 0;
  readonly availableStreamCount = 0;
  readonly atStreamLimit = false;
  readonly streamLimit = 0;
  readonly accepting = false;
  readonly answered = false;
  private readonly clock: Clock;

  constructor(peer: PeerInfo, clock: Clock, cause: unknown, listener: ClientSessionListener) {
    this.peer = peer;
    this.clock = clock;
    const reason = cause instanceof Error ? errorText(cause, peer.remoteAddress) : String(cause);
    const message = `cannot connect to ${peer.remoteAddress}: ${reason}`;
    const end = { kind: "connect", code: ErrorCode.NO_ERROR, message, reason, cause } as const;
    setImmediate(() => listener.onClosed(end));
  }

  get nowMs(): number {
    return this.clock.nowMs();
  }

  drain(): void {}

  destroy(): void {}

  ping(): void {}

  watchStreams(): void {}

  openStream(): Stream {
    throw new Error(`${this.peer.remoteAddress} takes no stream`);
  }
}
