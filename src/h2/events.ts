// The events that a connection reports to its binding, and its options.

import type { HeaderList } from "../wire/field.ts";
import type { H2Error } from "./error.ts";
import type { EngineLimits } from "./limits.ts";
import type { LocalSettings } from "./settings.ts";
import type { H2Stream, StreamEvents } from "./stream.ts";
import type { WindowBudget } from "./window-budget.ts";

export interface ConnectionOptions extends LocalSettings {
  /** Receive window of the whole connection in bytes, at least 65,535. */
  readonly connectionWindowBytes: number;
  readonly limits: EngineLimits;
  /** Between two PINGs of the peer while nothing is sent to it. @default 0, no bound */
  readonly minPingIntervalMs?: number;
  /** Bounds the growth of all windows of streams. */
  readonly windowBudget: WindowBudget;
}

/** `"closed"` is the orderly end. Only the binding uses the last three. */
type ConnectionEndKind =
  | "closed"
  | "goaway"
  | "protocol"
  | "destroyed"
  | "connect"
  | "socket"
  | "timeout";

export interface ConnectionEnd {
  readonly kind: ConnectionEndKind;
  readonly code: number;
  readonly message: string;
  /** The text of `message` without the peer, if `message` names it. */
  readonly reason?: string;
  readonly cause?: unknown;
}

/** The reports of the sending half. */
export interface OutboundEvents {
  /** `turn` has something to do. May be called many times before the turn. */
  onDirty(): void;
  /**
   * The output has DATA that is worth a write of its own before the end of the turn. May be called
   * many times before the write.
   */
  onBulk(): void;
  /** The output has our end of the only open stream. No other stream can add to the write. */
  onLoneEnd(): void;
}

export interface ConnectionEvents<Owner> extends OutboundEvents {
  /** Server side: a request arrived. Returns the stream's listener. */
  onStream(stream: H2Stream<Owner>, headers: HeaderList, endStream: boolean): StreamEvents;
  /**
   * Server side: a request came whose header list is over our bound, so its fields are lost.
   * Returns the listener of the stream when the request was answered, `undefined` to have the
   * stream reset.
   */
  onLargeRequest(stream: H2Stream<Owner>, error: H2Error): StreamEvents | undefined;
  onGoAway(lastStreamId: number, code: number, debugData: string): void;
  /**
   * The peer broke a rule, or exceeded a bound of ours. The ends that this causes are reported
   * later.
   */
  onRefused(error: H2Error): void;
  /** Client side: streams may be opened again, or there is news of those that are watched. */
  onAvailable(): void;
  /**
   * Called once, from `turn`, after every stream was told. The output may still have GOAWAY to
   * write.
   */
  onClosed(end: ConnectionEnd): void;
}
