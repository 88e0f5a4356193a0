// A client that makes the calls of a round on one connection, and notes how each of them ends.

import { fieldValue, type HeaderList } from "../../src/wire/field.ts";
import { LeanConnection, type LeanListener, type LeanStream } from "../endurance/lean-peer.ts";
import { headerBlock, request } from "../support/frames.ts";
import { CALL_FIELD } from "./backend.ts";
import type { PassedTo } from "./fault-proxy.ts";
import type { CallPlan } from "./plan.ts";
import { Credit, Sender } from "./sender.ts";

const CANCEL = 8;
const NO_ERROR = 0;

/** How a call ended for the client. */
export type End =
  | { readonly kind: "status"; readonly status: number }
  | { readonly kind: "reset"; readonly code: number }
  /** By the client itself. */
  | { readonly kind: "cancelled" }
  /** With the connection. */
  | { readonly kind: "lost" };

export interface Ended {
  readonly call: CallPlan;
  readonly end: End;
  readonly receivedBytes: number;
  /** Headers of a response came before the end. */
  readonly headed: boolean;
  readonly requestComplete: boolean;
  readonly startedMs: number;
  readonly endedMs: number;
}

class Call {
  readonly plan: CallPlan;
  readonly stream: LeanStream;
  readonly sender: Sender;
  readonly credit: Credit;
  readonly startedMs = performance.now();
  receivedBytes = 0;
  headed = false;
  requestComplete = false;
  ended: Ended | undefined;

  constructor(plan: CallPlan, stream: LeanStream) {
    this.plan = plan;
    this.stream = stream;
    this.credit = new Credit(stream, plan.grantDelayMs);
    this.sender = new Sender(stream, plan.requestBytes, plan.frameBytes, () => {
      if (!this.requestComplete) stream.connection.sendData(stream, Buffer.alloc(0), true);
      this.requestComplete = true;
    });
    this.sender.releasedBytes = Number.POSITIVE_INFINITY;
  }
}

export class Caller implements LeanListener {
  readonly #onEnd: (ended: Ended) => void;
  readonly #problem: (text: string) => void;
  readonly #calls = new Map<LeanStream, Call>();
  #connection: LeanConnection | undefined;

  constructor(onEnd: (ended: Ended) => void, problem: (text: string) => void) {
    this.#onEnd = onEnd;
    this.#problem = problem;
  }

  get closed(): boolean {
    return this.#connection?.closed !== false;
  }

  /** What the relay lets the connection send now. */
  get sendWindowBytes(): number {
    return this.#connection?.sendWindowBytes ?? 0;
  }

  async connect(address: PassedTo): Promise<void> {
    const connection = await LeanConnection.connect(address, this);
    this.#connection = connection;
    connection.onSendable = () => {
      for (const call of this.#calls.values()) call.sender.pump();
    };
  }

  close(): void {
    this.#connection?.socket.destroy();
  }

  start(plan: CallPlan): void {
    const connection = this.#connection;
    if (connection === undefined) throw new Error("not connected");
    const { timeoutMs, cancel } = plan;
    const timeout = timeoutMs === undefined ? [] : [["grpc-timeout", `${timeoutMs}m`] as const];
    const bare = plan.requestBytes.length === 0;
    const block = headerBlock(request(plan.path, ...timeout));
    const stream = connection.open(block, bare);
    const call = new Call(plan, stream);
    call.requestComplete = bare;
    this.#calls.set(stream, call);
    if (!bare) call.sender.pump();
    if (cancel !== undefined && "afterMs" in cancel) {
      if (cancel.afterMs === 0) this.#cancel(call);
      else setTimeout(() => this.#cancel(call), cancel.afterMs);
    }
    // A connection that has gone meanwhile tells nobody.
    if (connection.closed) this.#end(call, { kind: "lost" });
  }

  #cancel(call: Call): void {
    if (call.ended !== undefined) return;
    call.stream.reset(CANCEL);
    // The next call is not to be under way before this one is.
    setImmediate(() => this.#end(call, { kind: "cancelled" }));
  }

  #end(call: Call, end: End): void {
    if (call.ended !== undefined) return;
    const { plan, receivedBytes, headed, requestComplete, startedMs } = call;
    const endedMs = performance.now();
    call.ended = {
      ...{ call: plan, end, receivedBytes, headed, requestComplete },
      ...{ startedMs, endedMs },
    };
    call.sender.stop();
    this.#onEnd(call.ended);
  }

  onHeaders(stream: LeanStream, fields: HeaderList, endStream: boolean): void {
    const call = this.#calls.get(stream);
    if (call === undefined) return;
    const say = (text: string): void => this.#problem(`call ${call.plan.id}: ${text}`);
    if (call.ended !== undefined) {
      if (call.ended.end.kind !== "cancelled") say("headers after the end");
      return;
    }
    const owner = fieldValue(fields, CALL_FIELD);
    if (owner !== undefined && owner !== `${call.plan.id}`) say(`fields of call ${owner}`);
    const http = fieldValue(fields, ":status");
    if (call.headed ? http !== undefined : http !== "200") say(`:status ${http}`);
    if (call.headed && !endStream) say("a second header list without END_STREAM");
    call.headed = true;
    if (!endStream) return;
    const status = fieldValue(fields, "grpc-status");
    if (status === undefined) say("END_STREAM without grpc-status");
    this.#end(call, { kind: "status", status: Number(status) });
  }

  onData(stream: LeanStream, piece: Buffer): void {
    const call = this.#calls.get(stream);
    if (call === undefined) return;
    const say = (text: string): void => this.#problem(`call ${call.plan.id}: ${text}`);
    if (call.ended !== undefined) {
      if (call.ended.end.kind !== "cancelled") say("DATA after the end");
      return;
    }
    if (!call.headed) say("DATA before headers");
    const at = call.receivedBytes;
    call.receivedBytes += piece.length;
    if (!call.plan.responseBytes.subarray(at, call.receivedBytes).equals(piece)) {
      say(`the response differs within 16 KiB of byte ${at}`);
    }
    call.credit.receive(piece.length);
    const { cancel } = call.plan;
    if (cancel !== undefined && "atBytes" in cancel && call.receivedBytes >= cancel.atBytes) {
      this.#cancel(call);
    }
  }

  /** END_STREAM on DATA: the relay always has trailers. */
  onEnd(stream: LeanStream): void {
    const call = this.#calls.get(stream);
    if (call?.ended === undefined) this.#problem(`call ${call?.plan.id}: END_STREAM on DATA`);
  }

  onReset(stream: LeanStream, code: number): void {
    const call = this.#calls.get(stream);
    if (call === undefined) return;
    const { ended } = call;
    if (ended === undefined) this.#end(call, { kind: "reset", code });
    else if (ended.end.kind === "status" && code !== NO_ERROR) {
      // RFC 9113 §8.1: only to say that the rest of the request is not wanted.
      this.#problem(`call ${call.plan.id}: RST_STREAM(${code}) after its status`);
    }
  }

  onClosed(): void {
    for (const call of this.#calls.values()) this.#end(call, { kind: "lost" });
  }
}
