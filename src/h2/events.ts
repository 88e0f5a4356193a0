// What a connection reports to its binding, and how it is configured.

import type { HeaderList } from "../wire/field.ts";
import type { H2Error } from "./error.ts";
import type { EngineLimits } from "./limits.ts";
import type { LocalSettings } from "./settings.ts";
import type { H2Stream, StreamEvents } from "./stream.ts";

export interface ConnectionOptions extends LocalSettings {
  /** Receive window of the whole connection in bytes, at least 65,535. */
  readonly connectionWindowBytes: number;
  readonly limits: EngineLimits;
}

/** `"closed"` is the orderly end. The last three are the binding's to say. */
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
  /** The same without the peer, where `message` names it. */
  readonly reason?: string;
  readonly cause?: unknown;
}

/** What the sending half reports. */
export interface OutboundEvents {
  /** There is something for `turn` to do. May be called many times before it. */
  onDirty(): void;
  /**
   * DATA that is worth a write of its own is in the output, before the end of the turn. May be
   * called many times before the write.
   */
  onBulk(): void;
  /**
   * Our end of the only open stream is in the output: no other stream is there to add to the write.
   */
  onLoneEnd(): void;
}

export interface ConnectionEvents<Owner> extends OutboundEvents {
  /** Server side: a request arrived. Returns the stream's listener. */
  onStream(stream: H2Stream<Owner>, headers: HeaderList, endStream: boolean): StreamEvents;
  /**
   * Server side: a request with a list over our bound, of which the fields are lost. Returns the
   * listener of the stream when it was answered, `undefined` to have it reset.
   */
  onLargeRequest(stream: H2Stream<Owner>, error: H2Error): StreamEvents | undefined;
  onGoAway(lastStreamId: number, code: number, debugData: string): void;
  /** The peer broke a rule, or met a bound of ours: what ends for it is told after this. */
  onRefused(error: H2Error): void;
  /** Client side: streams may be opened again. */
  onAvailable(): void;
  /**
   * Called once, from `turn`; every stream was told before. Output may be left to write: GOAWAY.
   */
  onClosed(end: ConnectionEnd): void;
}
