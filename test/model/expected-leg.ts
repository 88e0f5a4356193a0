// One destination as the expectation follows it.

import { Status } from "../../src/grpc/status.ts";
import type { LegSetting } from "./setting.ts";

export const MESSAGE_BYTES = 6;

/** An outcome as the client reads it: the status, and who sent it; empty if it is the relay's. */
export interface Outcome {
  readonly status: number;
  readonly from: string;
}

export const own = (status: number): Outcome => ({ status, from: "" });

type Phase = "idle" | "asking" | "open" | "askingAgain" | "openAgain" | "answered" | "broken";

export class ExpectedLeg {
  readonly setting: LegSetting;
  readonly index: number;
  phase: Phase = "idle";
  /** The conn that is asked: its own, then its fallback. */
  backend: number;
  readonly firstBackend: number;
  readonly lastBackend: number;
  /** The streams of `backend` that it has had. */
  seenStreams = 0;
  outcome: Outcome | undefined;
  swallowed = false;
  /** Its `onError` has been told. */
  toldStatus: number | undefined;
  hasHeaders = false;
  /** It has had a stream. */
  wasOpened = false;
  responseBytes = 0;
  timerAtMs: number = Number.POSITIVE_INFINITY;
  /** The code of the reset from our side, if its stream is not over by itself. */
  resetCode: number | undefined;
  /** Bytes that its first message takes before those of the client. */
  readonly injectedBytes: number;

  constructor(setting: LegSetting, index: number, backend: number) {
    this.setting = setting;
    this.index = index;
    this.backend = backend;
    this.firstBackend = backend;
    this.lastBackend = setting.fallback === true ? backend + 1 : backend;
    this.injectedBytes = setting.ownMessage === true ? MESSAGE_BYTES : 0;
  }

  get ended(): boolean {
    return this.phase === "answered" || this.phase === "broken";
  }

  get isOpen(): boolean {
    return this.phase === "open" || this.phase === "openAgain";
  }

  get isAsking(): boolean {
    return this.phase === "asking" || this.phase === "askingAgain";
  }

  get failed(): boolean {
    return this.outcome !== undefined && this.outcome.status !== Status.OK;
  }

  get key(): string {
    const { phase, backend, outcome, swallowed, toldStatus } = this;
    return `${phase}${backend}${outcome?.status}${outcome?.from}${swallowed}${toldStatus}`;
  }
}
