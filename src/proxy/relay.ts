// The relay of one call: passes the client's request to every destination and the primary's
// response to the client, and ends the call exactly once. The relay works on bytes as they arrive.
// Messages are counted, not assembled.

import type { ResolvedCallOptions } from "../client/call-options.ts";
import { failure, GrpcError, thrownText } from "../grpc/error.ts";
import { MessageCounter, truncatedMessage } from "../grpc/message-parser.ts";
import { Status } from "../grpc/status.ts";
import { fromUserCode } from "../grpc/user-error.ts";
import { detachedEnd } from "../observe/channels.ts";
import { currentScope } from "../observe/scope.ts";
import type { CallContext } from "../server/call-context.ts";
import type { RequestHead } from "../server/request-head.ts";
import type { RequestSink, ServerCall } from "../server/server-call.ts";
import type { Clock } from "../time/clock.ts";
import type { HeaderError } from "../transport/transport.ts";
import type { HeaderField, HeaderList } from "../wire/field.ts";
import type { LentBytes } from "../wire/lent-bytes.ts";
import { answerClient } from "./answer.ts";
import { leaveDetached, publishDetachedEnd } from "./detached.ts";
import type { StreamParameters } from "./director.ts";
import { primaryFailed, tooFarBehind, unsendableHeaders } from "./leg-errors.ts";
import type { CallResult, DestinationResult } from "./results.ts";
import { type LegOwner, UpstreamLeg } from "./upstream-leg.ts";
import { verdictOf } from "./verdict.ts";

/** Is told how the call went. A call that is not reported here was answered already. */
export interface RelayListener {
  /**
   * Every destination has ended and the finalizer has run. The client still has to be sent `error`,
   * or OK with these trailers.
   */
  onRelayEnd(relay: Relay, error: GrpcError | undefined): void;
}

export class Relay implements RequestSink, LegOwner {
  readonly call: ServerCall;
  readonly clock: Clock;
  /** For destinations that have no context of their own. */
  readonly context: CallContext;
  readonly callOptions: ResolvedCallOptions;
  readonly timeoutAtMs: number | undefined;
  readonly path: HeaderField;
  readonly contentType: HeaderField;
  readonly replacesFirst: boolean;
  readonly primary: UpstreamLeg;
  readonly secondaries: readonly UpstreamLeg[];

  private readonly params: StreamParameters;
  private readonly listener: RelayListener;
  /** Made for the first bytes: a stream that is only open needs no counter. */
  private requestCounter: MessageCounter | undefined = undefined;
  /** Destinations that still have to be opened before anything is sent. */
  private leftToOpen = 1;
  /** Destinations that still have to end before the call ends. */
  private leftToEnd = 1;
  private receivedBytes = 0;
  private acknowledgedBytes = 0;
  /** A destination could not be opened; all destinations have been told. */
  private openError: GrpcError | undefined = undefined;
  /**
   * The client cancelled, its deadline passed, its request was refused, or the server goes down.
   */
  private clientError: GrpcError | undefined = undefined;
  private primaryError: GrpcError | undefined = undefined;
  private secondaryError: GrpcError | undefined = undefined;
  private finalizing = false;

  constructor(
    call: ServerCall,
    context: CallContext,
    path: HeaderField,
    params: StreamParameters,
    replacesFirst: boolean,
    listener: RelayListener,
  ) {
    this.call = call;
    this.clock = call.clock;
    this.context = context;
    this.params = params;
    this.listener = listener;
    this.replacesFirst = replacesFirst;
    this.path = path;
    // A request without content-type has been refused before.
    this.contentType = call.head.contentType as HeaderField;
    this.callOptions = params.resolvedCallOptions;
    this.timeoutAtMs =
      this.callOptions.timeoutMs === Number.POSITIVE_INFINITY
        ? undefined
        : this.clock.nowMs() + this.callOptions.timeoutMs;
    const secondaries = params.secondaries();
    const tellsDetached = secondaries.length > 0 && detachedEnd.hasSubscribers;
    // A relay is made in the async context in which the director, or `handleStream`, was called.
    if (params.hasCallbacks || tellsDetached || call.scope !== undefined) {
      call.scope = currentScope();
    }
    this.primary = new UpstreamLeg(this, params.primary(), "primary", 0);
    this.secondaries =
      secondaries.length === 0
        ? NO_LEGS
        : secondaries.map(
            (secondary, index) => new UpstreamLeg(this, secondary, "secondary", index),
          );
    for (const { need } of this.secondaries) {
      if (need === "required") this.leftToOpen++;
      if (need !== "detached") this.leftToEnd++;
    }
  }

  get head(): RequestHead {
    return this.call.head;
  }

  get callContext(): CallContext {
    return this.call.context;
  }

  get requestMessageCount(): number {
    return this.requestCounter?.messageCount ?? 0;
  }

  start(): void {
    try {
      this.open();
    } catch (error) {
      // This is a defect of ours, or of an object that a user has put in the place of ours. It ends
      // only this call.
      const { details } = fromUserCode("director", error);
      const options = { reason: "DIRECTOR", message: thrownText(error), cause: error } as const;
      this.failClient(failure(Status.INTERNAL, details, options));
    }
  }

  private open(): void {
    const reason = this.call.context.reason;
    if (reason !== undefined) {
      // The call ended while the director was at work. The finalizer still runs.
      this.failClient(reason);
      return;
    }
    this.primary.open();
    for (const leg of this.secondaries) {
      if (this.openError !== undefined) break;
      leg.open();
    }
    // The legs keep the client's bytes until the required legs are open.
    this.call.attach(this);
  }

  // The request.

  onRequestData(chunk: LentBytes, endStream: boolean): void {
    if (this.finalizing) {
      this.call.acknowledge(chunk.length);
      return;
    }
    this.receivedBytes += chunk.length;
    if (chunk.length > 0) {
      try {
        this.requestCounter ??= new MessageCounter(
          this.callOptions.maxRequestMessageBytes,
          "downstream",
        );
        this.requestCounter.push(chunk);
      } catch (error) {
        this.failClient(GrpcError.from(error));
        return;
      }
    }
    this.primary.send(chunk, endStream);
    for (const leg of this.secondaries) leg.send(chunk, endStream);
    this.settleCredit();
  }

  onRequestTruncated(): void {
    this.failClient(truncatedMessage("downstream"));
  }

  onLegProgress(leg: UpstreamLeg): void {
    if (leg.need !== "detached") this.settleCredit();
  }

  /**
   * Gives the client credit for the bytes that every destination that counts has taken. A
   * destination that has ended no longer counts.
   */
  private settleCredit(): void {
    // Nothing has been sent to any destination yet.
    if (this.leftToOpen > 0) return;
    const primaryProgress = this.primary.ended ? this.receivedBytes : this.primary.progressBytes;
    let progress = primaryProgress;
    for (const leg of this.secondaries) {
      if (leg.ended) continue;
      const limit = leg.lagLimitBytes;
      if (limit === undefined) progress = Math.min(progress, leg.progressBytes);
      else if (primaryProgress - leg.progressBytes > limit) this.dropLaggard(leg);
    }
    if (progress > this.acknowledgedBytes) {
      const bytes = progress - this.acknowledgedBytes;
      this.acknowledgedBytes = progress;
      this.call.acknowledge(bytes);
    }
  }

  private dropLaggard(leg: UpstreamLeg): void {
    // A leg that ends together with others is told why they end.
    if (this.commonError !== undefined) return;
    if (this.primaryError !== undefined && this.endsWithPrimary(leg)) return;
    const behind = this.receivedBytes - leg.progressBytes;
    leg.cancel(tooFarBehind(leg.conn.target, behind));
  }

  // Opening.

  onLegOpened(leg: UpstreamLeg): void {
    // Nobody waits for a destination that is not required: it gets the bytes that were kept for it.
    if (leg.need !== "required" || --this.leftToOpen > 0) return;
    this.primary.release();
    for (const leg of this.secondaries) leg.release();
    this.settleCredit();
  }

  onLegOpenFailed(failed: UpstreamLeg, error: GrpcError): void {
    if (failed.need !== "required") {
      failed.cancel(error);
      return;
    }
    if (this.openError !== undefined) return;
    this.openError = error;
    failed.cancel(error);
    this.endAll(error);
  }

  // The response.

  onLegHeaders(leg: UpstreamLeg, headers: HeaderList): void {
    if (leg !== this.primary) return;
    try {
      this.call.sendHeaders(headers);
    } catch (error) {
      // Nothing else can be thrown here.
      leg.cancel(unsendableHeaders(leg.conn.target, error as HeaderError));
    }
  }

  onLegData(leg: UpstreamLeg, chunk: LentBytes): void {
    if (leg !== this.primary) {
      leg.acknowledge(chunk.length);
      return;
    }
    const accepted = this.call.sendData(chunk);
    if (accepted > 0) leg.acknowledge(accepted);
  }

  onResponseWritable(bytes: number): void {
    this.primary.acknowledge(bytes);
  }

  // Ends.

  /** The client cancelled or is gone, its deadline passed, or the server goes down. */
  onCancelled(reason: GrpcError): void {
    this.failClient(reason);
  }

  private failClient(reason: GrpcError): void {
    // The call may have failed before. Then the first error is reported, and the destinations have
    // ended.
    this.clientError ??= reason;
    this.endAll(reason);
  }

  private endAll(reason: GrpcError): void {
    this.primary.cancel(reason);
    for (const leg of this.secondaries) leg.cancel(reason);
  }

  onLegEnd(leg: UpstreamLeg): void {
    if (leg.error !== undefined) this.judge(leg, leg.error);
    if (leg.need === "detached") {
      publishDetachedEnd(leg, this.path.value, this.call);
      this.call.owner.leftovers.delete(leg);
      return;
    }
    // Not before here: `onError` may end another leg, and the last leg to be judged starts the
    // finalizer.
    if (--this.leftToEnd === 0) {
      this.finalize();
      return;
    }
    if (leg === this.primary && leg.error !== undefined && !leg.swallowed) {
      this.stopSecondaries(leg.error);
      // They were the last. Detached ones go on, and are compared with nobody any more.
      if (this.finalizing) return;
    }
    // A leg that has ended ignores its bytes: the others decide how fast the client may send.
    this.settleCredit();
  }

  /**
   * Asks `onError`. When a required destination could not be opened, the `onError` of every
   * destination is told, and none can swallow the error.
   */
  private judge(leg: UpstreamLeg, error: GrpcError): void {
    const { scope } = this.call;
    const judged =
      scope === undefined
        ? error
        : scope.runInAsyncScope(verdictOf, undefined, leg.destination, error, leg.result);
    if (leg.need === "detached") leg.swallowed = true;
    else if (this.openError !== undefined) return;
    else if (judged === undefined) leg.swallowed = true;
    else if (leg === this.primary) this.primaryError = judged;
    else this.secondaryError ??= judged;
  }

  /**
   * A primary that failed by its status lets secondaries finish that have the whole request: a
   * caller wants to know whether they agree. Any other failure, or a request that is still under
   * way, ends them.
   */
  private stopSecondaries(cause: GrpcError): void {
    // The code that ended the primary tells a common end to every destination.
    if (this.commonError !== undefined) return;
    for (const leg of this.secondaries) {
      if (leg.ended || !this.endsWithPrimary(leg)) continue;
      // The secondary's context may be the one that ended the primary.
      leg.cancel(leg.contextReason ?? primaryFailed(cause));
    }
  }

  /** If the primary has failed. */
  private endsWithPrimary(leg: UpstreamLeg): boolean {
    return leg.need !== "detached" && (this.primary.broken || !leg.requestComplete);
  }

  /** The reason that ends every destination, if there is one. */
  private get commonError(): GrpcError | undefined {
    return this.clientError ?? this.openError;
  }

  /** The outcome so far, by precedence. */
  private outcome(): GrpcError | undefined {
    return this.commonError ?? this.primaryError ?? this.secondaryError;
  }

  private finalize(): void {
    this.finalizing = true;
    if (this.secondaries.length > 0) leaveDetached(this.secondaries, this.call, this.commonError);
    const finalizer = this.params.requestFinalizer();
    if (finalizer === undefined) {
      this.finish(undefined);
      return;
    }
    let pending: void | Promise<void>;
    try {
      const { scope } = this.call;
      pending = scope?.runInAsyncScope(finalizer, undefined, this.result());
    } catch (error) {
      this.finish(fromUserCode("finalizer", error));
      return;
    }
    if (pending === undefined) {
      this.finish(undefined);
      return;
    }
    Promise.resolve(pending).then(
      () => this.finish(undefined),
      (error: unknown) => this.finish(fromUserCode("finalizer", error)),
    );
  }

  private finish(finalizerFailure: GrpcError | undefined): void {
    // A call that expired or was cancelled while the finalizer ran is not reported as OK.
    const error = this.outcome() ?? finalizerFailure;
    this.listener.onRelayEnd(this, error);
  }

  private result(): CallResult {
    const error = this.outcome();
    const { primary, secondaries } = this;
    let views: readonly DestinationResult[] | undefined;
    return {
      method: this.path.value,
      status: error?.status ?? Status.OK,
      // The text of a backend is decoded only when it is read.
      get details() {
        return error?.details ?? primary.details;
      },
      error,
      clientGone: this.call.gone,
      get primary() {
        return primary.result;
      },
      get secondaries() {
        views ??= secondaries.map((leg) => leg.result);
        return views;
      },
      durationMs: this.clock.nowMs() - this.call.startedMs,
    };
  }

  /** Answers the client. */
  answer(error: GrpcError | undefined): void {
    answerClient(this.call, this.primary, this.requestMessageCount, error);
  }
}

const NO_LEGS: readonly UpstreamLeg[] = [];
