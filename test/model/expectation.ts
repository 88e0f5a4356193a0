// What has to become of a call, by the decision table (src/proxy/README.md, test/proxy). It is told
// the events of a run, and knows nothing of the code that it judges, except for what that code can
// choose: which streams were opened, and whether a conn waits for its backoff.

import { Status } from "../../src/grpc/status.ts";
import { errorCodeFromStatus, statusFromErrorCode } from "../../src/grpc/status-mapping.ts";
import type { StreamEnd } from "../../src/transport/transport.ts";
import { ErrorCode } from "../../src/wire/error-code.ts";
import { ExpectedLeg, MESSAGE_BYTES, type Outcome, own } from "./expected-leg.ts";
import type { Setting } from "./setting.ts";

export const FINALIZER_STATUS: Status = Status.FAILED_PRECONDITION;
export const OTHER_STATUS: Status = Status.ABORTED;
export const DIRECTOR_STATUS: Status = Status.UNAUTHENTICATED;
const MAX_DETACHED_MS = 30_000;
export const UNREAD_RESPONSE_MS = 1_000;
const PEEK_TIMEOUT_MS = 60_000;
const DEFAULT_MAX_LAG_BYTES = 1_048_576;

/** What the run has seen of the code. */
export interface Observed {
  nowMs(): number;
  /** Why no call can be made on a conn now: it waits for its backoff. */
  isFailing(backend: number): boolean;
  /** No call waits for a backend, and no stream to it is open. */
  isLeft(backend: number): boolean;
  /** How many streams were opened to a backend. */
  streamCount(backend: number): number;
  /** What the transport took of the latest stream, in bytes. */
  acceptedBytes(backend: number): number;
  queuedResponseBytes(): number;
}

export class Expectation {
  readonly setting: Setting;
  readonly legs: readonly ExpectedLeg[];
  client: "none" | "open" | "ended" | "gone" = "none";
  requestBytes = 0;
  director: "none" | "pending" | "answered" | "refused" = "none";
  finalizer: "none" | "running" | "done" = "none";
  finalizerStatus: number | undefined;
  /** What the finalizer has to be shown of the legs. */
  finalizedLegs = "";
  /** The call is over for the server: it was answered, or nobody is left to answer. */
  callOutcome: Outcome | undefined;
  /** Frames to the client, as `ModelStream.sent`. */
  readonly sent: string[] = [];
  responseBytes = 0;
  acknowledgedBytes = 0;
  /** The answer waits behind DATA that the client does not take. */
  pendingTrailers: string | undefined;

  private readonly seen: Observed;
  private deadlineAtMs = Number.POSITIVE_INFINITY;
  private peekAtMs = Number.POSITIVE_INFINITY;
  private unreadAtMs = Number.POSITIVE_INFINITY;
  private contextDone: Outcome | undefined;
  private openError: Outcome | undefined;
  private clientError: Outcome | undefined;
  private primaryError: Outcome | undefined;
  private secondaryError: Outcome | undefined;
  private leftToEnd = 0;
  private aheadBytes = 0;

  constructor(setting: Setting, seen: Observed) {
    this.setting = setting;
    this.seen = seen;
    let backend = 0;
    this.legs = setting.legs.map((leg, index) => {
      const made = new ExpectedLeg(leg, index, backend);
      backend = made.lastBackend + 1;
      return made;
    });
  }

  get key(): string {
    const { client, requestBytes, director, finalizer, sent, callOutcome } = this;
    const errors = [this.openError, this.clientError, this.primaryError, this.secondaryError];
    const statuses = errors.map((error) => error?.status ?? "").join();
    const legs = this.legs.map((leg) => leg.key).join();
    return `${client}${requestBytes}${director}${finalizer}${sent}${callOutcome?.status};${statuses};${legs}`;
  }

  /** The client has ended its side, and the destinations are told. */
  get requestEnded(): boolean {
    return this.client === "ended";
  }

  get callEnded(): boolean {
    return this.callOutcome !== undefined;
  }

  /** Nothing is left to happen, for the call and for what it has left behind. */
  get isOver(): boolean {
    if (this.director === "pending" || this.pendingTrailers !== undefined) return false;
    return this.callEnded && this.legs.every((leg) => leg.ended || leg.phase === "idle");
  }

  get allRequiredOpen(): boolean {
    return (
      this.director === "answered" &&
      this.openError === undefined &&
      this.legs.every((leg) => leg.setting.need !== "required" || leg.wasOpened)
    );
  }

  private get primary(): ExpectedLeg {
    return this.legs[0]!;
  }

  private get requestMessages(): number {
    return Math.floor(this.requestBytes / MESSAGE_BYTES);
  }

  // The client.

  onOpen(endStream: boolean): void {
    this.client = endStream ? "ended" : "open";
    if (this.setting.timeoutMs < Number.POSITIVE_INFINITY) {
      this.deadlineAtMs = this.seen.nowMs() + this.setting.timeoutMs;
    }
    this.director = "pending";
    if (this.setting.director === "peek") this.peekAtMs = this.seen.nowMs() + PEEK_TIMEOUT_MS;
    if (this.setting.director === "sync") this.onDirector(undefined);
    else this.settlePeek();
  }

  onRequestData(bytes: number, endStream: boolean): void {
    this.requestBytes += bytes;
    if (endStream) this.client = "ended";
    if (this.director === "pending") this.settlePeek();
    else if (endStream && this.director === "answered" && this.finalizer === "none") {
      const isCut = this.requestBytes % MESSAGE_BYTES > 0 && this.requestBytes < MESSAGE_BYTES;
      const skips = (leg: ExpectedLeg): boolean => leg.injectedBytes > 0 && !leg.ended;
      if (isCut && this.legs.some(skips)) this.failClient(own(Status.INTERNAL));
    }
  }

  onClientGone(): void {
    this.client = "gone";
    // The timer for a client that does not read fires once for nothing.
    this.pendingTrailers = undefined;
    this.cancel(own(Status.CANCELLED));
  }

  /** The client takes more of the response. */
  onResponseCredit(): void {
    if (this.pendingTrailers === undefined || this.seen.queuedResponseBytes() > 0) return;
    this.sendEnd(this.pendingTrailers);
    this.pendingTrailers = undefined;
  }

  private cancel(reason: Outcome): void {
    if (this.callEnded) return;
    this.contextDone ??= reason;
    if (this.director === "answered") this.failClient(reason);
    else {
      this.answer(reason);
      if (this.setting.director === "peek") this.refuse();
    }
  }

  // The director.

  /** @param status of its refusal */
  onDirector(status: number | undefined): void {
    this.peekAtMs = Number.POSITIVE_INFINITY;
    if (status !== undefined) {
      this.director = "refused";
      if (!this.callEnded) this.answer(own(status));
      return;
    }
    this.director = "answered";
    this.leftToEnd = this.legs.filter((leg) => leg.setting.need !== "detached").length;
    if (this.contextDone !== undefined) {
      this.failClient(this.contextDone);
      return;
    }
    for (const leg of this.legs) {
      const { timeoutMs } = leg.setting;
      const atMs =
        timeoutMs === undefined ? Number.POSITIVE_INFINITY : this.seen.nowMs() + timeoutMs;
      leg.timerAtMs = atMs < this.deadlineAtMs ? atMs : Number.POSITIVE_INFINITY;
    }
    for (const leg of this.legs) {
      if (this.openError !== undefined) break;
      leg.phase = "asking";
      this.settleAsking(leg);
    }
    // A request that was cut in its first message is judged when the legs get it.
    if (this.client === "ended") this.onRequestData(0, true);
  }

  private refuse(): void {
    this.peekAtMs = Number.POSITIVE_INFINITY;
    this.director = "refused";
  }

  private peeksAhead(): boolean {
    return this.setting.director === "peek" && this.director === "pending";
  }

  private settlePeek(): void {
    if (!this.peeksAhead()) return;
    if (this.requestMessages > 0) this.onDirector(undefined);
    else if (this.client === "ended") this.onDirector(Status.INVALID_ARGUMENT);
    else this.aheadBytes = this.requestBytes;
  }

  // The destinations.

  /** Looks which of the legs that ask for a stream have got one. */
  settle(): void {
    for (const leg of this.legs) this.settleAsking(leg);
    this.settleLag();
  }

  private settleAsking(leg: ExpectedLeg): void {
    while (leg.isAsking) {
      if (this.seen.streamCount(leg.backend) > leg.seenStreams) {
        leg.seenStreams++;
        leg.wasOpened = true;
        leg.phase = leg.phase === "asking" ? "open" : "openAgain";
      } else if (this.seen.isFailing(leg.backend) && !this.waitsForReady(leg)) {
        this.onLost(leg, own(Status.UNAVAILABLE), true);
      } else return;
    }
  }

  private waitsForReady(leg: ExpectedLeg): boolean {
    return leg.setting.waitForReady === true && leg.backend === leg.lastBackend;
  }

  onStreamEnd(leg: ExpectedLeg, end: Pick<StreamEnd, "kind" | "code" | "unprocessed">): void {
    const status = end.kind === "reset" ? statusFromErrorCode(end.code) : Status.UNAVAILABLE;
    if (end.unprocessed && !leg.hasHeaders && leg.phase === "open") {
      leg.phase = "askingAgain";
      this.settleAsking(leg);
    } else this.onLost(leg, own(status), end.unprocessed);
  }

  /** There is no stream, or it was lost. */
  private onLost(leg: ExpectedLeg, outcome: Outcome, unprocessed: boolean): void {
    if (leg.backend < leg.lastBackend && unprocessed && !leg.hasHeaders) {
      leg.backend++;
      if (leg.phase !== "asking") leg.phase = "askingAgain";
      leg.seenStreams = 0;
      this.settleAsking(leg);
    } else this.giveUp(leg, outcome);
  }

  private giveUp(leg: ExpectedLeg, outcome: Outcome): void {
    if (leg.phase === "asking" && leg.setting.need === "required") {
      this.openError = outcome;
      this.break(leg, outcome);
      this.endAll(outcome);
    } else this.break(leg, outcome);
  }

  onHeaders(leg: ExpectedLeg): void {
    leg.hasHeaders = true;
    if (leg === this.primary) this.sent.push("H");
  }

  onResponseData(leg: ExpectedLeg, bytes: number): void {
    leg.responseBytes += bytes;
    if (leg === this.primary) this.responseBytes += bytes;
  }

  onTrailers(leg: ExpectedLeg, outcome: Outcome): void {
    leg.hasHeaders = true;
    if (outcome.status === Status.OK && leg.responseBytes % MESSAGE_BYTES !== 0) {
      // The response was cut, whatever the backend says.
      this.break(leg, own(Status.INTERNAL));
      return;
    }
    leg.resetCode = ErrorCode.NO_ERROR;
    leg.outcome = outcome;
    leg.phase = "answered";
    this.onLegEnd(leg);
  }

  /** END_STREAM came without trailers. */
  onMissingTrailers(leg: ExpectedLeg): void {
    this.break(leg, own(Status.UNKNOWN));
  }

  private break(leg: ExpectedLeg, outcome: Outcome): void {
    if (leg.ended) return;
    leg.outcome = outcome;
    leg.resetCode = ErrorCode.CANCEL;
    leg.phase = "broken";
    this.onLegEnd(leg);
  }

  private onLegEnd(leg: ExpectedLeg): void {
    leg.timerAtMs = Number.POSITIVE_INFINITY;
    if (leg.failed) this.judge(leg, leg.outcome!);
    if (leg.setting.need === "detached") return;
    if (--this.leftToEnd === 0) {
      this.finalize();
      return;
    }
    if (leg === this.primary && leg.failed && !leg.swallowed) this.stopSecondaries(leg);
    // A leg that has ended counts as one that has taken everything.
    this.settleLag();
  }

  private judge(leg: ExpectedLeg, outcome: Outcome): void {
    const { onError } = leg.setting;
    if (onError !== "none") leg.toldStatus = outcome.status;
    const judged = onError === "other" ? own(OTHER_STATUS) : outcome;
    if (leg.setting.need === "detached") leg.swallowed = true;
    else if (this.openError !== undefined) return;
    else if (onError === "swallow") leg.swallowed = true;
    else if (leg === this.primary) this.primaryError = judged;
    else this.secondaryError ??= judged;
  }

  private stopSecondaries(primary: ExpectedLeg): void {
    if (this.commonError !== undefined) return;
    for (const leg of this.legs) {
      if (leg === primary || leg.ended || !this.endsWithPrimary(leg)) continue;
      this.break(leg, own(Status.CANCELLED));
    }
  }

  /** If the primary has failed. */
  private endsWithPrimary(leg: ExpectedLeg): boolean {
    if (leg.setting.need === "detached") return false;
    const hasRequest = leg.isOpen && this.allRequiredOpen && this.client === "ended";
    return this.primary.phase === "broken" || !hasRequest;
  }

  /** A secondary that has fallen too far behind is dropped. */
  private settleLag(): void {
    if (this.commonError !== undefined) return;
    if (!this.allRequiredOpen || this.finalizer !== "none" || this.callEnded) return;
    const ofPrimary = this.progressOf(this.primary);
    for (const leg of this.legs) {
      const limit = this.lagLimit(leg);
      if (leg.ended || limit === undefined || leg === this.primary) continue;
      // It ends together with others, and is told why they end.
      if (this.primaryError !== undefined && this.endsWithPrimary(leg)) continue;
      if (ofPrimary - this.progressOf(leg) <= limit) continue;
      // Another attempt begins far behind. It is judged when the request moves next.
      const isAgain = leg.phase === "askingAgain" || leg.phase === "openAgain";
      if (!isAgain || this.seen.isLeft(leg.backend))
        this.break(leg, own(Status.RESOURCE_EXHAUSTED));
    }
  }

  private lagLimit(leg: ExpectedLeg): number | undefined {
    const { maxLagBytes, need } = leg.setting;
    if (maxLagBytes !== undefined || need === "required") return maxLagBytes;
    return need === "detached" || leg.phase === "asking" ? DEFAULT_MAX_LAG_BYTES : undefined;
  }

  /** How much of the client's request the leg has taken. */
  private progressOf(leg: ExpectedLeg): number {
    if (leg.ended) return this.requestBytes;
    const accepted = leg.isOpen ? this.seen.acceptedBytes(leg.backend) : 0;
    const skipped = leg.injectedBytes > 0 ? Math.min(this.requestBytes, MESSAGE_BYTES) : 0;
    return skipped + Math.max(0, accepted - leg.injectedBytes);
  }

  /** Credit that the client has to have by now; `undefined` when it does not matter any more. */
  expectedCredit(): number | undefined {
    if (this.callEnded || this.client === "gone" || this.finalizer !== "none") return undefined;
    if (!this.allRequiredOpen) return this.aheadBytes;
    let progress = this.requestBytes;
    for (const leg of this.legs) {
      if (leg !== this.primary && this.lagLimit(leg) !== undefined) continue;
      progress = Math.min(progress, this.progressOf(leg));
    }
    this.acknowledgedBytes = Math.max(this.acknowledgedBytes, this.aheadBytes, progress);
    return this.acknowledgedBytes;
  }

  // Ends.

  private get commonError(): Outcome | undefined {
    return this.clientError ?? this.openError;
  }

  /** The outcome so far, by precedence. */
  get outcome(): Outcome | undefined {
    return this.commonError ?? this.primaryError ?? this.secondaryError;
  }

  private failClient(reason: Outcome): void {
    this.clientError ??= reason;
    this.endAll(reason);
  }

  private endAll(reason: Outcome): void {
    for (const leg of this.legs) this.break(leg, reason);
  }

  private finalize(): void {
    this.finalizer = "running";
    for (const leg of this.legs) {
      if (leg.ended) continue;
      if (this.commonError !== undefined) this.break(leg, this.commonError);
      else if (this.client !== "ended") this.break(leg, own(Status.CANCELLED));
      else leg.timerAtMs = Math.min(this.ownDeadlineOf(leg), this.seen.nowMs() + MAX_DETACHED_MS);
    }
    this.finalizerStatus = this.outcome?.status ?? Status.OK;
    this.finalizedLegs = this.legs
      .map(({ ended, outcome }) => (ended ? outcome?.status : "-"))
      .join();
    const { finalizer } = this.setting;
    if (finalizer !== "async") this.onFinalized(finalizer === "throws");
  }

  private ownDeadlineOf(leg: ExpectedLeg): number {
    return Math.min(leg.timerAtMs, this.deadlineAtMs);
  }

  onFinalized(hasFailed: boolean): void {
    this.finalizer = "done";
    this.answer(this.outcome ?? (hasFailed ? own(FINALIZER_STATUS) : own(Status.OK)));
  }

  private answer(outcome: Outcome): void {
    if (this.callEnded) return;
    this.callOutcome = outcome;
    this.deadlineAtMs = Number.POSITIVE_INFINITY;
    if (this.client === "gone") return;
    const { primary } = this;
    const isRelayed = this.director === "answered";
    const reported = outcome.status === Status.OK ? primary.outcome : outcome;
    if (isRelayed && reported !== undefined && reported.status !== Status.OK && this.strands()) {
      // The client is told of the error even if `onError` has swallowed it.
      this.callOutcome = reported;
      this.sent.push(`R${errorCodeFromStatus(reported.status as Status)}`);
      return;
    }
    // Trailers of the primary go on even if `onError` has swallowed their status.
    const from = outcome.status === Status.OK ? (primary.outcome?.from ?? "") : outcome.from;
    const text = `${outcome.status}@${from}`;
    if (!this.sent.includes("H")) this.sendEnd(`TO${text}`);
    else if (this.seen.queuedResponseBytes() === 0) this.sendEnd(`T${text}`);
    else {
      this.pendingTrailers = `T${text}`;
      if (this.contextDone !== undefined) {
        this.unreadAtMs = this.seen.nowMs() + UNREAD_RESPONSE_MS;
      }
    }
  }

  private sendEnd(text: string): void {
    this.sent.push(text);
    if (this.client !== "ended") this.sent.push("R0");
  }

  /** Trailers would leave a client waiting for the rest of a second message. */
  private strands(): boolean {
    const { phase, responseBytes } = this.primary;
    const isCut = responseBytes > MESSAGE_BYTES && responseBytes < 2 * MESSAGE_BYTES;
    return phase === "broken" && isCut && this.client === "ended" && this.requestMessages <= 1;
  }

  // Time.

  /** Timers that the call and its destinations may have now. */
  get timerCount(): number {
    const times = [this.deadlineAtMs, this.peekAtMs, this.unreadAtMs];
    for (const leg of this.legs) times.push(leg.timerAtMs);
    return times.filter((atMs) => atMs < Number.POSITIVE_INFINITY).length;
  }

  /** Time has moved on, and timers have fired. */
  onTime(): void {
    for (;;) {
      const nowMs = this.seen.nowMs();
      let first = Math.min(this.deadlineAtMs, this.peekAtMs, this.unreadAtMs);
      for (const leg of this.legs) first = Math.min(first, leg.timerAtMs);
      if (first > nowMs) return;
      this.onTimer(first);
    }
  }

  private onTimer(atMs: number): void {
    if (atMs === this.deadlineAtMs) {
      this.deadlineAtMs = Number.POSITIVE_INFINITY;
      this.cancel(own(Status.DEADLINE_EXCEEDED));
    } else if (atMs === this.peekAtMs) {
      this.onDirector(Status.DEADLINE_EXCEEDED);
    } else if (atMs === this.unreadAtMs) {
      this.unreadAtMs = Number.POSITIVE_INFINITY;
      if (this.pendingTrailers !== undefined) this.sent.push(`R${ErrorCode.CANCEL}`);
      this.pendingTrailers = undefined;
    } else {
      const leg = this.legs.find(({ timerAtMs }) => timerAtMs === atMs)!;
      leg.timerAtMs = Number.POSITIVE_INFINITY;
      this.giveUp(leg, own(Status.DEADLINE_EXCEEDED));
    }
  }
}
