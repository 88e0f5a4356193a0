// Makes sessions to one address by a transport. When a server finds our PINGs too frequent, later
// sessions send half as many (gRFC A8).

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
import type { SessionSource } from "./session-source.ts";

/** Connects to one address, and remembers how often its server permits PING. */
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

  /** @param options of the session that got the answer; another session may have got it before */
  #slowDown(options: ConnectOptions): void {
    if (this.#options !== options) return;
    this.#options = { ...options, keepalive: slowerKeepalive(options.keepalive) };
  }
}

/** Passes on the events of a session, and notices a GOAWAY for too many PINGs. */
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
    // Before the listener, which may connect anew at once.
    if (code === ErrorCode.ENHANCE_YOUR_CALM && debugData === TOO_MANY_PINGS) this.onTooManyPings();
    this.listener.onGoAway(lastStreamId, code, debugData);
  }

  onClosed(end: SessionEnd): void {
    this.listener.onClosed(end);
  }
}
