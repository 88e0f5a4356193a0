// One destination of a call: its stream, the bytes that were sent, and its end. A leg reports to
// the relay and knows nothing of its siblings.

import { notGrpcError, upstreamError } from "../client/errors/upstream-error.ts";
import type { StreamRequest } from "../client/stream-request.ts";
import { ErrorReason, GrpcError } from "../grpc/error.ts";
import { forwardableResponseMetadata } from "../grpc/header-filter.ts";
import { MessageCounter, truncatedMessage } from "../grpc/message-parser.ts";
import { Metadata } from "../grpc/metadata.ts";
import type { ReceivedStatus } from "../grpc/received-status.ts";
import {
  asTrailersOnly,
  type ForeignHead,
  forwardableResponseHeaders,
  withoutStatus,
} from "../grpc/response-head.ts";
import { Status } from "../grpc/status.ts";
import { grpcErrorFromTrailers, parseStatus } from "../grpc/trailers.ts";
import {
  type CallContext,
  type ContextListener,
  deadlineExceeded,
} from "../server/call-context.ts";
import type { Leftover } from "../server/leftovers.ts";
import { Timer, type TimerOwner } from "../time/timer-wheel.ts";
import type { Stream } from "../transport/transport.ts";
import { ErrorCode } from "../wire/error-code.ts";
import type { HeaderList } from "../wire/field.ts";
import type { LentBytes } from "../wire/lent-bytes.ts";
import type { Destination, DestinationNeed } from "./director.ts";
import { type ForwardedCall, forwardedHeaders } from "./forwarded-headers.ts";
import { type AttemptedCall, LegAttempts, Life } from "./leg-attempts.ts";
import { detachedTooLong } from "./leg-errors.ts";
import { type DestinationResult, DestinationView } from "./results.ts";

/** The parts of the call that a leg needs. */
export interface LegOwner extends ForwardedCall, AttemptedCall {
  /** The context of the call. The call watches its end and its deadline. */
  readonly callContext: CallContext;
  /**
   * A destination's `message` takes the place of the client's first message. Otherwise it takes the
   * place of the messages that a handler has read.
   */
  readonly replacesFirst: boolean;
  /** Complete request messages that the client has sent so far. */
  readonly requestMessageCount: number;
  /** The leg's stream is open. Nothing is sent on it before `UpstreamLeg.release`. */
  onLegOpened(leg: UpstreamLeg): void;
  /** There is no stream for the leg. The leg has not ended yet. */
  onLegOpenFailed(leg: UpstreamLeg, error: GrpcError): void;
  /** Response headers that are not the whole response, as they go on to the client. */
  onLegHeaders(leg: UpstreamLeg, headers: HeaderList): void;
  /** The owner has to call `UpstreamLeg.acknowledge` for every byte. */
  onLegData: (leg: UpstreamLeg, chunk: LentBytes) => void;
  /** The leg's socket accepted more of the request. */
  onLegProgress(leg: UpstreamLeg): void;
  /** The client has ended its side within its first message. */
  onRequestTruncated(): void;
  /** The leg has ended, with `leg.error` if it failed. Called exactly once. */
  onLegEnd(leg: UpstreamLeg): void;
}

const DEFAULT_MAX_LAG_BYTES = 1_048_576;
const DEFAULT_MAX_DETACHED_MS = 30_000;

export class UpstreamLeg
  extends LegAttempts
  implements StreamRequest, DestinationResult, ContextListener, TimerOwner, Leftover
{
  readonly role: "primary" | "secondary";
  readonly index: number;
  readonly need: DestinationNeed;
  status: number = Status.UNKNOWN;
  error: GrpcError | undefined = undefined;
  swallowed = false;
  /** The trailers, or the header section of a Trailers-Only response, as they came. */
  wireTrailers: HeaderList | undefined = undefined;
  responseBytes = 0;

  private readonly owner: LegOwner;
  /** Made for the first bytes: a stream that is only open needs no counter. */
  private responseCounter: MessageCounter | undefined = undefined;
  private received: ReceivedStatus | undefined = undefined;
  /**
   * Response headers with `grpc-status`, kept until it is known whether they are the whole
   * response.
   */
  private heldHeaders: HeaderList | undefined = undefined;
  private deadlineTimer: Timer | undefined = undefined;
  private requestMessagesAtEnd = 0;
  private view: DestinationView | undefined = undefined;

  constructor(
    owner: LegOwner,
    destination: Destination,
    role: "primary" | "secondary",
    index: number,
  ) {
    super(owner, destination);
    this.owner = owner;
    this.need = role === "primary" ? "required" : (destination.need ?? "required");
    this.role = role;
    this.index = index;
  }

  /** The read-only view that user code gets. */
  get result(): DestinationResult {
    this.view ??= new DestinationView(this);
    return this.view;
  }

  get method(): string {
    return this.owner.path.value;
  }

  get hashKey(): string | undefined {
    return this.callOptions.hashKey;
  }

  get fairnessKey(): object | string {
    return this.callOptions.fairnessKey ?? this.owner.callContext.peer;
  }

  get details(): string {
    return this.error?.details ?? this.received?.details ?? "";
  }

  get trailers(): Metadata {
    return this.wireTrailers === undefined
      ? new Metadata()
      : Metadata.fromFields(forwardableResponseMetadata(this.wireTrailers));
  }

  get requestMessages(): number {
    return this.ended ? this.requestMessagesAtEnd : this.countRequestMessages();
  }

  private countRequestMessages(): number {
    const { owner } = this;
    if (!this.released || this.life === Life.ASKING) return 0;
    const count = owner.requestMessageCount;
    if (this.destination.message === undefined) return count;
    return owner.replacesFirst ? Math.max(1, count) : 1 + count;
  }

  /**
   * How far behind the primary the leg may be, in bytes of the request. `undefined` when the leg
   * slows the client down instead.
   */
  get lagLimitBytes(): number | undefined {
    const { maxLagBytes } = this.destination;
    if (maxLagBytes !== undefined || this.need === "required") return maxLagBytes;
    const waits = this.life === Life.ASKING;
    return this.need === "detached" || waits ? DEFAULT_MAX_LAG_BYTES : undefined;
  }

  /** The response broke off within its second message. */
  get cutInSecondMessage(): boolean {
    const counter = this.responseCounter;
    return this.broken && counter?.messageCount === 1 && !counter.atMessageBoundary;
  }

  get responseMessages(): number {
    return this.responseCounter?.messageCount ?? 0;
  }

  /** Asks for the first stream. */
  open(): void {
    const { message } = this.destination;
    if (message !== undefined) this.beginWith(message, this.owner.replacesFirst);
    if (this.context !== this.owner.callContext) {
      this.context.subscribe(this);
      if (this.ended) return;
    }
    const { clock, deadlineMs } = this;
    if (deadlineMs !== Number.POSITIVE_INFINITY) {
      const remainingMs = deadlineMs - clock.nowMs();
      if (remainingMs <= 0) {
        this.owner.onLegOpenFailed(this, deadlineExceeded());
        return;
      }
      // The call itself watches its own deadline.
      if (deadlineMs < this.owner.callContext.deadlineMs) {
        this.deadlineTimer = new Timer(this);
        clock.schedule(this.deadlineTimer, remainingMs);
      }
    }
    this.ask();
  }

  protected override ask(): void {
    this.conn.open(this);
  }

  requestHeaders(): HeaderList {
    const { owner, callOptions, context, conn } = this;
    const headers = forwardedHeaders(owner, callOptions, context, conn.origin, this.deadlineMs);
    return this.retry === undefined ? headers : this.retry.tagged(headers);
  }

  protected override onFirstOpened(): void {
    this.owner.onLegOpened(this);
  }

  protected override onOpenedAgain(): void {
    // The client may have used up its window meanwhile. Then nothing else gives it credit.
    this.owner.onLegProgress(this);
  }

  protected override giveUp(error: GrpcError): void {
    if (this.life === Life.ASKING) this.owner.onLegOpenFailed(this, error);
    else this.fail(error);
  }

  protected override onTruncated(): void {
    this.owner.onRequestTruncated();
  }

  acknowledge(bytes: number): void {
    this.stream?.acknowledge(bytes);
  }

  // The events of the upstream stream. None follows the end of the stream, or a reset by this side.

  onHeaders(headers: HeaderList, endStream: boolean): void {
    // With a retry policy the call may be sent again until a part of an answer goes on.
    if (this.retry === undefined) this.commit();
    const head = this.conn.responses.judge(headers);
    if (typeof head === "object") this.onNotGrpc(head);
    else if (endStream || head === "complete") this.complete(headers, endStream);
    else if (head === "held") this.heldHeaders = headers;
    else this.passHeaders(head === "plain" ? headers : forwardableResponseHeaders(headers));
  }

  private onNotGrpc(head: ForeignHead): void {
    const { conn, stream } = this;
    const error = notGrpcError(conn.target, head);
    if (!this.retriesLater(error)) this.fail(error);
    // These were headers of a stream.
    else conn.reset(stream as Stream, ErrorCode.CANCEL);
  }

  private passHeaders(headers: HeaderList): void {
    this.commit();
    this.owner.onLegHeaders(this, headers);
  }

  protected override forgetAnswer(): void {
    this.heldHeaders = undefined;
  }

  /** More follows the held headers. So they are only headers, and the trailers have the outcome. */
  private releaseHeaders(): void {
    const headers = this.heldHeaders;
    if (headers === undefined) return;
    this.heldHeaders = undefined;
    this.passHeaders(forwardableResponseHeaders(withoutStatus(headers)));
  }

  onData(chunk: LentBytes, endStream: boolean): void {
    if (chunk.length > 0) {
      if (this.responseCounter === undefined) {
        this.releaseHeaders();
        if (this.ended) return;
        this.responseCounter = new MessageCounter(
          this.callOptions.maxResponseMessageBytes,
          "upstream",
        );
      }
      this.responseBytes += chunk.length;
      try {
        this.responseCounter.push(chunk);
      } catch (error) {
        this.fail(GrpcError.from(error));
        return;
      }
      this.owner.onLegData(this, chunk);
    }
    if (!endStream) return;
    if (this.heldHeaders !== undefined) this.complete(this.heldHeaders, true);
    else {
      this.fail(
        upstreamError(this.conn.target, Status.UNKNOWN, "ended the response without trailers", {
          reason: ErrorReason.UPSTREAM_MISSING_STATUS,
        }),
      );
    }
  }

  onTrailers(trailers: HeaderList): void {
    this.releaseHeaders();
    if (!this.ended) this.complete(trailers, true);
  }

  onWritable(bytes: number): void {
    this.acceptedBytes += bytes;
    this.owner.onLegProgress(this);
  }

  // Ends.

  /** The context of this destination alone was cancelled. */
  onContextDone(reason: GrpcError): void {
    this.cut(reason);
  }

  /** The deadline of this destination alone has passed, or it has been detached for too long. */
  onTimer(): void {
    if (this.clock.nowMs() >= this.deadlineMs) this.cut(deadlineExceeded());
    else this.cut(detachedTooLong(this.conn.target, this.maxDetachedMs));
  }

  private get maxDetachedMs(): number {
    return this.destination.maxDetachedMs ?? DEFAULT_MAX_DETACHED_MS;
  }

  /**
   * All parts that the call waits for have ended. From now on nobody else limits the time of this
   * leg.
   */
  detach(): void {
    const { clock } = this;
    const remainingMs = Math.min(this.maxDetachedMs, this.deadlineMs - clock.nowMs());
    if (remainingMs === Number.POSITIVE_INFINITY) return;
    this.deadlineTimer ??= new Timer(this);
    clock.schedule(this.deadlineTimer, Math.max(0, remainingMs));
  }

  /** Why its context is done, if it is. */
  get contextReason(): GrpcError | undefined {
    return this.context.reason;
  }

  private cut(reason: GrpcError): void {
    if (!this.ended) this.giveUp(reason);
  }

  onServerClosed(reason: GrpcError): void {
    this.cancel(reason);
  }

  /** This side ends the call to the destination. */
  cancel(reason: GrpcError): void {
    if (!this.ended) this.fail(reason);
  }

  private complete(fields: HeaderList, endStream: boolean): void {
    const trailers = asTrailersOnly(fields);
    const received = parseStatus(trailers);
    if (received?.status === Status.OK && this.responseCounter?.atMessageBoundary === false) {
      // The client would take a part for the whole, or wait for the rest.
      this.fail(truncatedMessage("upstream"));
      return;
    }
    const error =
      received?.status === Status.OK ? undefined : grpcErrorFromTrailers(trailers, received);
    // The server has answered, so the rest of the client's request is not wanted (gRPC "Early
    // server closure").
    const { stream, retry } = this;
    if (stream !== undefined && (!this.requestComplete || !endStream || stream.queuedBytes > 0)) {
      this.conn.reset(stream, ErrorCode.NO_ERROR);
      // As in `fail`.
      if (this.ended) return;
    }
    if (error === undefined) retry?.onSuccess(this.conn);
    else if (this.retriesLater(error, trailers)) return;
    this.wireTrailers = trailers;
    if (received !== undefined) this.status = received.status;
    this.received = received;
    this.error = error;
    this.end(Life.ANSWERED);
  }

  private fail(error: GrpcError): void {
    this.error = error;
    this.status = error.status;
    if (this.stream !== undefined) this.conn.reset(this.stream, ErrorCode.CANCEL);
    else this.conn.abandon(this);
    // A reset may end the session, and a listener that is told of that may have ended this leg.
    if (!this.ended) this.end(Life.BROKEN);
  }

  private end(life: Life): void {
    this.requestMessagesAtEnd = this.countRequestMessages();
    this.life = life;
    this.forgetRequest();
    this.retry?.cancel();
    if (this.deadlineTimer !== undefined) this.clock.cancel(this.deadlineTimer);
    if (this.context !== this.owner.callContext) this.context.unsubscribe(this);
    this.owner.onLegEnd(this);
  }
}
