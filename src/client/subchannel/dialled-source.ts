// Sessions to one address by a transport. Servers that find us asking too often by PING are asked
// half as often from the next session on (gRFC A8).

import { slowerKeepalive } from "../../transport/keepalive.ts";
import type {
  ClientSession,
  ClientSessionListener,
  ConnectOptions,
  Refusal,
  SessionEnd,
  Transport,
} from "../../transport/transport.ts";
import { ErrorCode } from "../../wire/error-code.ts";
import { TOO_MANY_PINGS } from "../../wire/ping-strikes.ts";
import type { SessionSource } from "./connector.ts";

/** Connects to one address, and remembers how often its server wants to be asked. */
export class DialledSource implements SessionSource {
  readonly reconnects = true;
  readonly #transport: Transport;
  #options: ConnectOptions;

  constructor(transport: Transport, options: ConnectOptions) {
    this.#transport = transport;
    this.#options = options;
  }

  connect(listener: ClientSessionListener): ClientSession {
    const options = this.#options;
    return this.#transport.connect(options, new GoAwayTap(listener, () => this.#slowDown(options)));
  }

  /** @param options of the session that was told; another one may have been told before */
  #slowDown(options: ConnectOptions): void {
    if (this.#options !== options) return;
    this.#options = { ...options, keepalive: slowerKeepalive(options.keepalive) };
  }
}

/** Passes on what a session tells, and notices that it sent too many PINGs. */
class GoAwayTap implements ClientSessionListener {
  private readonly listener: ClientSessionListener;
  private readonly onTooManyPings: () => void;

  constructor(listener: ClientSessionListener, onTooManyPings: () => void) {
    this.listener = listener;
    this.onTooManyPings = onTooManyPings;
  }

  onAvailable(): void {
    this.listener.onAvailable();
  }

  onRefused(refusal: Refusal): void {
    this.listener.onRefused(refusal);
  }

  onGoAway(lastStreamId: number, code: number, debugData: string): void {
    // First: who is told may connect anew at once.
    if (code === ErrorCode.ENHANCE_YOUR_CALM && debugData === TOO_MANY_PINGS) this.onTooManyPings();
    this.listener.onGoAway(lastStreamId, code, debugData);
  }

  onClosed(end: SessionEnd): void {
    this.listener.onClosed(end);
  }
}
