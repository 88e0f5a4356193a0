// The context of one call, Go's `context.Context` in TypeScript: metadata, deadline, cancellation,
// peer. It is cheap until it is used: no AbortController, timer or Metadata object exists before
// somebody asks for one.

import { checkNumber } from "../check/check.ts";
import { ErrorReason, failure, type GrpcError } from "../grpc/error.ts";
import { Metadata } from "../grpc/metadata.ts";
import { Status } from "../grpc/status.ts";
import type { Clock } from "../time/clock.ts";
import { Timer } from "../time/timer-wheel.ts";
import type { PeerInfo } from "../transport/transport.ts";
import type { HeaderList } from "../wire/field.ts";
import { Abort } from "./abort.ts";

/** Told once when a context is cancelled or its deadline passes. */
export interface ContextListener {
  onContextDone(reason: GrpcError): void;
}

/** The parts that all contexts of one call share. */
export interface CallOrigin {
  readonly method: string;
  readonly authority: string;
  readonly peer: PeerInfo;
  readonly clock: Clock;
  /** The metadata that the client sent. */
  readonly requestMetadata: HeaderList;
}

/**
 * The view of a call, beside its messages, for handlers, interceptors and directors. The server
 * makes one for each call; `withMetadata`, `withTimeout` and `withCancel` derive others from it.
 */
export class CallContext {
  readonly #origin: CallOrigin;
  readonly #parent: CallContext | undefined;
  /** On the clock of the call. */
  readonly #deadlineMs: number | undefined;
  #metadata: Metadata | undefined;
  #reason: GrpcError | undefined;
  /** The listeners have been told the reason. */
  #told = false;
  #listeners: Set<ContextListener> | undefined;
  #abort: Abort | undefined;
  #timer: Timer | undefined;
  /** The call has ended. */
  #released = false;

  private constructor(
    origin: CallOrigin,
    deadlineMs: number,
    parent?: CallContext,
    metadata?: Metadata,
  ) {
    this.#origin = origin;
    // Infinity would be an object of its own for each context.
    this.#deadlineMs = deadlineMs === Number.POSITIVE_INFINITY ? undefined : deadlineMs;
    this.#parent = parent;
    this.#metadata = metadata;
  }

  /** @internal The context of a call. */
  static create(origin: CallOrigin, deadlineMs: number): CallContext {
    return new CallContext(origin, deadlineMs);
  }

  /** Full method name with its leading slash: `/pkg.Service/Method`. */
  get method(): string {
    return this.#origin.method;
  }

  /** The `:authority` that the client asked for; empty when it sent none. */
  get authority(): string {
    return this.#origin.authority;
  }

  /** The client's address, and TLS if it is used. */
  get peer(): PeerInfo {
    return this.#origin.peer;
  }

  /**
   * The metadata that the client sent (gRPC "Custom-Metadata", plus reserved `grpc-` fields that
   * travel end to end), or that `withMetadata` was given. A destination is sent the metadata of its
   * context. Changing it in place changes what is forwarded.
   */
  get metadata(): Metadata {
    if (this.#metadata === undefined) {
      this.#metadata =
        this.#parent === undefined
          ? Metadata.fromFields(this.#origin.requestMetadata)
          : this.#parent.metadata;
    }
    return this.#metadata;
  }

  /** @internal The fields to forward, without making a `Metadata` when nobody has asked for one. */
  metadataFields(): HeaderList {
    if (this.#metadata !== undefined) return this.#metadata.toFields();
    return this.#parent === undefined
      ? this.#origin.requestMetadata
      : this.#parent.metadataFields();
  }

  /** When the call has to be over; `undefined` when the client set no limit. */
  get deadline(): Date | undefined {
    const remainingMs = this.remainingMs;
    return Number.isFinite(remainingMs) ? new Date(Date.now() + remainingMs) : undefined;
  }

  /** Milliseconds until the deadline, not below 0; `Infinity` without one. */
  get remainingMs(): number {
    if (this.#deadlineMs === undefined) return Number.POSITIVE_INFINITY;
    return Math.max(0, this.#deadlineMs - this.#origin.clock.nowMs());
  }

  /** @internal The deadline on the clock of the call; `Infinity` without one. */
  get deadlineMs(): number {
    return this.#deadlineMs ?? Number.POSITIVE_INFINITY;
  }

  /** Why the context is done: CANCELLED or DEADLINE_EXCEEDED; `undefined` while it is not. */
  get reason(): GrpcError | undefined {
    if (this.#parent !== undefined) this.#reason ??= this.#parent.reason ?? this.#overdue();
    return this.#reason;
  }

  /** The own deadline of the context has passed. Its timer may still run, or there is none. */
  #overdue(): GrpcError | undefined {
    return this.#released || this.remainingMs > 0 ? undefined : deadlineExceeded();
  }

  /**
   * Aborted when the client cancels or disconnects and when the deadline passes; the reason is the
   * `GrpcError`. A call that completes does not abort the signal. The AbortController is made when
   * this property is first read.
   */
  get signal(): AbortSignal {
    if (this.#abort === undefined) {
      this.#abort = new Abort();
      const reason = this.reason;
      if (reason !== undefined) this.#abort.now(reason);
      else this.#watch();
    }
    return this.#abort.signal;
  }

  /** A context with other metadata: `ctx.withMetadata(new Metadata())` forwards none. */
  withMetadata(metadata: Metadata): CallContext {
    return new CallContext(this.#origin, this.deadlineMs, this, metadata);
  }

  /**
   * A context whose deadline is at most `timeoutMs` from now; a deadline is never prolonged.
   * @throws {RangeError} for anything but a number of milliseconds from 0 up
   */
  withTimeout(timeoutMs: number): CallContext {
    checkNumber("timeoutMs", timeoutMs, 0);
    const deadlineMs = Math.min(this.deadlineMs, this.#origin.clock.nowMs() + timeoutMs);
    return new CallContext(this.#origin, deadlineMs, this);
  }

  /**
   * A context that can be cancelled on its own. Cancelling again does nothing; the parent is not
   * touched.
   */
  withCancel(): { readonly ctx: CallContext; readonly cancel: (details?: string) => void } {
    const ctx = new CallContext(this.#origin, this.deadlineMs, this);
    return {
      ctx,
      cancel: (details = "context cancelled") => {
        ctx.cancel(
          failure(Status.CANCELLED, details, {
            reason: ErrorReason.CLIENT_CANCELLED,
            source: "proxy",
          }),
        );
      },
    };
  }

  /** @internal Tells `listener` when the context is done; at once when it already is. */
  subscribe(listener: ContextListener): void {
    const reason = this.reason;
    if (reason !== undefined) {
      listener.onContextDone(reason);
      return;
    }
    this.#keep(listener);
    this.#watch();
  }

  /** @internal */
  unsubscribe(listener: ContextListener): void {
    if (this.#listeners?.delete(listener) && this.#listeners.size === 0) this.#unwatch();
  }

  /** @internal Ends the context: sets its reason, and tells the listeners. */
  cancel(reason: GrpcError): void {
    this.mark(reason);
    this.tell();
  }

  /**
   * @internal Sets the reason of the end without telling the listeners; `tell` follows. Only the
   *   first reason counts.
   */
  mark(reason: GrpcError): void {
    if (this.reason === undefined) this.#reason = reason;
  }

  /** @internal Tells the listeners once why the context is done. */
  tell(): void {
    const reason = this.#reason;
    if (reason === undefined || this.#told) return;
    this.#told = true;
    const listeners = this.#listeners;
    this.#listeners = undefined;
    this.#stopWatching();
    this.#abort?.now(reason);
    if (listeners !== undefined) for (const listener of listeners) listener.onContextDone(reason);
  }

  /**
   * @internal The call has ended: nothing cancels its contexts any more, and none keeps a timer. If
   *   the call was cancelled, the listeners are still told.
   */
  release(): void {
    if (this.#reason !== undefined && !this.#told) return;
    const listeners = this.#listeners;
    this.#listeners = undefined;
    this.#released = true;
    this.#stopWatching();
    if (listeners === undefined) return;
    for (const listener of listeners) {
      if (listener instanceof CallContext) listener.release();
      // A detached destination may go on, and its own context can still be cancelled.
      else this.#keep(listener);
    }
  }

  #keep(listener: ContextListener): void {
    this.#listeners ??= new Set();
    this.#listeners.add(listener);
  }

  /** @internal The parent has ended: the context is a `ContextListener` of its parent. */
  onContextDone(reason: GrpcError): void {
    this.cancel(reason);
  }

  /** @internal The deadline has passed: the context is a `TimerOwner`. */
  onTimer(): void {
    this.cancel(deadlineExceeded());
  }

  /** A derived context watches its parent and its own deadline only while somebody listens. */
  #watch(): void {
    const parent = this.#parent;
    if (parent === undefined || this.#released) return;
    parent.subscribe(this);
    if (this.#reason !== undefined || this.deadlineMs >= parent.deadlineMs) return;
    this.#timer ??= new Timer(this);
    if (!this.#timer.scheduled) this.#origin.clock.schedule(this.#timer, this.remainingMs);
  }

  #unwatch(): void {
    if (this.#abort === undefined) this.#stopWatching();
  }

  #stopWatching(): void {
    this.#parent?.unsubscribe(this);
    if (this.#timer !== undefined) this.#origin.clock.cancel(this.#timer);
  }
}

export function deadlineExceeded(): GrpcError {
  return failure(Status.DEADLINE_EXCEEDED, "deadline exceeded", {
    reason: "DEADLINE",
    source: "proxy",
  });
}

/**
 * A copy of the context, to be changed for a destination. Its metadata can be edited without
 * touching the metadata of other destinations (Go: `metadata.IncomingToOutgoing`).
 */
export function incomingToOutgoing(ctx: CallContext): CallContext {
  return ctx.withMetadata(ctx.metadata.clone());
}
