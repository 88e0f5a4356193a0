// The streams of a destination: which conn is asked for each stream, and when another is asked.
// UpstreamLeg extends this class, so that a call needs one object less. The class knows no relay
// and no response.

import { mergeCallOptions, type ResolvedCallOptions } from "../client/call-options.ts";
import type { ClientConn } from "../client/client-conn.ts";
import { errorFromStreamEnd } from "../client/errors/stream-error.ts";
import { ErrorReason, type GrpcError } from "../grpc/error.ts";
import { MessageCounter } from "../grpc/message-parser.ts";
import type { CallContext } from "../server/call-context.ts";
import type { Clock } from "../time/clock.ts";
import type { Session, Stream, StreamEnd } from "../transport/transport.ts";
import type { HeaderList } from "../wire/field.ts";
import type { Destination } from "./director.ts";
import { LegRequest } from "./leg-request.ts";
import { LegRetry } from "./leg-retry.ts";

/** The parts of the attempts that all destinations of a call share. */
export interface AttemptedCall {
  readonly clock: Clock;
  /** For destinations that have no context of their own. */
  readonly context: CallContext;
  /** For destinations that have no options of their own. */
  readonly callOptions: ResolvedCallOptions;
  /**
   * When `callOptions.timeoutMs` is over, on the clock; `undefined` for never, because Infinity
   * would be an object for each call.
   */
  readonly timeoutAtMs: number | undefined;
}

/** The life of a leg, in this order. It may go from `OPEN` to either end, and ends once. */
export const Life = {
  /** No stream has been open yet. */
  ASKING: 0,
  /** The stream is open, and `owner` has been told. */
  OPEN: 1,
  /**
   * The call may be sent again. The leg has no stream; it asks for another, now or after a backoff.
   */
  ASKING_AGAIN: 2,
  /** A later stream is open. If it is refused, another is asked for elsewhere. */
  OPEN_AGAIN: 3,
  /** The backend has sent the outcome: `wireTrailers`, and `error` unless the outcome is OK. */
  ANSWERED: 4,
  /** The leg failed otherwise, with `error`: never opened, reset, cancelled here, or not gRPC. */
  BROKEN: 5,
} as const;

export type Life = (typeof Life)[keyof typeof Life];

const NO_TRAILERS: HeaderList = [];

// Fields are set by the constructor, as those of LegRequest.
export abstract class LegAttempts extends LegRequest {
  declare readonly destination: Destination;
  /** The conn that gets the call: the destination's own, then one of its fallbacks. */
  declare conn: ClientConn;
  /** Streams that were opened for this destination. */
  declare attempts: number;
  declare refusedOn: Session | undefined;
  declare waitingAt: number;
  /** Whether the leg asks for its stream, has it, or has ended, and how. */
  declare protected life: Life;
  declare protected readonly clock: Clock;
  declare protected readonly context: CallContext;
  declare protected readonly callOptions: ResolvedCallOptions;
  /** When `timeoutMs` is over; `undefined` for never. */
  declare private readonly timeoutAtMs: number | undefined;
  /** How many fallbacks of the destination were asked. */
  declare private fallbackCount: number;
  /** The address of the stream that was reset. */
  declare private lastAddress: string | undefined;
  /** Set if there is a policy for calls that a backend may have begun. */
  declare protected readonly retry: LegRetry | undefined;

  constructor(call: AttemptedCall, destination: Destination) {
    super();
    const { clock, callOptions, timeoutAtMs } = call;
    this.destination = destination;
    this.conn = destination.conn;
    this.attempts = 0;
    this.refusedOn = undefined;
    this.waitingAt = -1;
    this.life = Life.ASKING;
    this.clock = clock;
    this.context = destination.ctx ?? call.context;
    this.fallbackCount = 0;
    this.lastAddress = undefined;
    this.retry = undefined;
    const own = destination.callOptions;
    this.callOptions = own === undefined ? callOptions : mergeCallOptions(callOptions, own);
    if (own?.timeoutMs !== undefined) this.timeoutAtMs = clock.nowMs() + own.timeoutMs;
    else this.timeoutAtMs = timeoutAtMs;
    if (own?.maxRequestMessageBytes !== undefined) {
      this.ownLimit = new MessageCounter(own.maxRequestMessageBytes, "downstream");
    }
    const { retryPolicy } = this.callOptions;
    if (retryPolicy !== undefined) {
      this.retry = new LegRetry(retryPolicy, clock, () => this.onRetryTime());
    }
  }

  /** A leg that has ended ignores what it is given. */
  get ended(): boolean {
    return this.life >= Life.ANSWERED;
  }

  /** The leg failed, but not by a status that the backend sent. */
  get broken(): boolean {
    return this.life === Life.BROKEN;
  }

  /** The address of its last stream, if there was one. */
  get address(): string | undefined {
    return this.stream?.session.peer.remoteAddress ?? this.lastAddress;
  }

  /** Only the last of several conns is waited for: the others are passed over. */
  get waitForReady(): boolean {
    const { fallbacks } = this.destination;
    if (!this.callOptions.waitForReady) return false;
    return fallbacks === undefined || this.fallbackCount === fallbacks.length;
  }

  /** The deadline on the clock of the call; Infinity without one. */
  protected get deadlineMs(): number {
    return Math.min(this.context.deadlineMs, this.timeoutAtMs ?? Number.POSITIVE_INFINITY);
  }

  /** Asks `conn` for a stream. */
  protected abstract ask(): void;

  /** There is no stream, or it was lost, and no other is asked for. The leg has not ended yet. */
  protected abstract giveUp(error: GrpcError): void;

  /** The first stream is open. */
  protected abstract onFirstOpened(): void;

  /** Another stream is open, and has taken what was kept of the request. */
  protected abstract onOpenedAgain(): void;

  /**
   * The part of an answer that came, and has not gone on, does not count: another answer is asked
   * for.
   */
  protected abstract forgetAnswer(): void;

  onOpened(stream: Stream): void {
    this.stream = stream;
    this.attempts++;
    if (this.released) this.flush();
    if (this.life === Life.ASKING) {
      this.life = Life.OPEN;
      this.onFirstOpened();
    } else {
      this.life = Life.OPEN_AGAIN;
      this.onOpenedAgain();
    }
  }

  onOpenFailed(error: GrpcError): void {
    if (!this.asksElsewhere(error) && !this.retriesLater(error)) this.giveUp(error);
  }

  onReset(end: StreamEnd): void {
    this.lastAddress = this.address;
    const session = this.stream?.session;
    this.stream = undefined;
    // The backend has certainly not processed the call, and all of it is still here. So it is sent
    // again at once (gRFC A6 "transparent retries").
    if (end.unprocessed && this.replayable && this.life === Life.OPEN) {
      this.refusedOn = session;
      this.askAgain();
      return;
    }
    const error = errorFromStreamEnd(end, this.conn.target);
    if (!this.asksElsewhere(error) && !this.retriesLater(error)) this.giveUp(error);
  }

  protected override onTooLarge(error: GrpcError): void {
    this.giveUp(error);
  }

  /**
   * Asks the next fallback, if there is one. The backend that failed with `error` must not have
   * begun the call, and all of the request must still be here.
   */
  private asksElsewhere(error: GrpcError): boolean {
    const next = this.destination.fallbacks?.[this.fallbackCount];
    if (next === undefined || error.retry !== "safe" || !this.replayable) return false;
    if (this.clock.nowMs() >= this.deadlineMs) return false;
    this.fallbackCount++;
    this.conn = next;
    this.askAgain();
    return true;
  }

  /**
   * An attempt failed with `error`, and the policy may make another follow. The stream has ended,
   * or is to be reset.
   * @param trailers the trailers that the backend sent with the error
   */
  protected retriesLater(error: GrpcError, trailers: HeaderList = NO_TRAILERS): boolean {
    const { retry, conn, replayable, deadlineMs } = this;
    if (retry === undefined || error.reason === ErrorReason.INVALID_METADATA) return false;
    if (!retry.follows(conn, error.status, trailers, replayable, deadlineMs)) return false;
    this.lastAddress = this.address;
    this.stream = undefined;
    this.beginAgain();
    return true;
  }

  private onRetryTime(): void {
    this.fallbackCount = 0;
    this.conn = this.destination.conn;
    this.ask();
  }

  private askAgain(): void {
    this.beginAgain();
    this.ask();
  }

  /** Prepares to send everything again. */
  private beginAgain(): void {
    if (this.life !== Life.ASKING) this.life = Life.ASKING_AGAIN;
    this.rewind();
    this.forgetAnswer();
  }
}
