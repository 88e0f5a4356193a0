// A backend that plays its part in every call of a round, and checks what it is sent.

import { fieldValue, type HeaderList } from "../../src/wire/field.ts";
import {
  type LeanConnection,
  type LeanListener,
  type LeanStream,
  leanServer,
} from "../endurance/lean-peer.ts";
import { frames, headerBlock, response, trailers, trailersOnly } from "../support/frames.ts";
import type { PassedTo } from "./fault-proxy.ts";
import { LOOPBACK } from "./loopback.ts";
import type { BackendName, CallPlan, GoAwayPlan, Part } from "./plan.ts";
import { Credit, Sender } from "./sender.ts";

const UNAVAILABLE = 14;
const NOTHING = Buffer.alloc(0);

/** The name of the field that says whose response it is. */
export const CALL_FIELD = "x-call";

/** What a backend needs to know of the round. */
export interface BackendRound {
  readonly calls: ReadonlyMap<string, CallPlan>;
  /** Still to come. */
  goAway(backend: BackendName): GoAwayPlan | undefined;
  /** A call has arrived. @returns how often it has been here */
  arrived(backend: BackendName, call: CallPlan): number;
  wentAway(backend: BackendName): void;
  problem(text: string): void;
}

/** One call at one backend. */
class Answer {
  readonly #stream: LeanStream;
  readonly #call: CallPlan;
  readonly #part: Part;
  readonly #attempt: number;
  readonly #problem: (text: string) => void;
  readonly #sender: Sender;
  readonly #credit: Credit;
  #receivedBytes = 0;
  #begun = false;
  over = false;

  constructor(
    stream: LeanStream,
    call: CallPlan,
    part: Part,
    attempt: number,
    problem: (text: string) => void,
  ) {
    this.#stream = stream;
    this.#call = call;
    this.#part = part;
    this.#attempt = attempt;
    this.#problem = (text) => problem(`call ${call.id}: ${text}`);
    this.#credit = new Credit(stream, part.grantDelayMs);
    this.#sender = new Sender(stream, this.#payload(), call.frameBytes, () => this.#finish());
  }

  /** What is sent before the last word. */
  #payload(): Buffer {
    const { responseBytes } = this.#call;
    const { outcome, share } = this.#part;
    if (outcome.kind === "trailersOnly") return NOTHING;
    if (outcome.kind === "trailers") return responseBytes;
    return responseBytes.subarray(0, Math.floor(responseBytes.length * share));
  }

  /** Answers early, or message by message, or at the end. */
  look(): void {
    if (this.over) return;
    const ended = this.#stream.note === "ended";
    const { requestBytes, responseBytes, kind } = this.#call;
    if (this.#attempt <= this.#part.failsFirst) {
      if (ended) this.#last(trailersOnly(UNAVAILABLE, "not yet"));
      return;
    }
    if (ended || this.#part.early) this.#sender.releasedBytes = Number.POSITIVE_INFINITY;
    else if (kind === "bidi" && requestBytes.length > 0) {
      const share = this.#receivedBytes / requestBytes.length;
      this.#sender.releasedBytes = Math.floor(responseBytes.length * share * 0.9);
    }
    if (this.#sender.releasedBytes > 0) this.#begin();
  }

  pump(): void {
    if (!this.over && this.#begun) this.#sender.pump();
  }

  stop(): void {
    this.over = true;
    this.#sender.stop();
  }

  /** Headers go before the first byte; a Trailers-Only answer has none. */
  #begin(): void {
    if (!this.#begun) {
      this.#begun = true;
      const { outcome, share } = this.#part;
      const bare =
        outcome.kind === "trailersOnly" ||
        ((outcome.kind === "reset" || outcome.kind === "silent") && share === 0);
      if (!bare) {
        const fields = response([CALL_FIELD, `${this.#call.id}`]);
        this.#stream.connection.sendHeaders(this.#stream, headerBlock(fields));
      }
    }
    this.#sender.pump();
  }

  #finish(): void {
    const { outcome } = this.#part;
    const own = [CALL_FIELD, `${this.#call.id}`] as const;
    switch (outcome.kind) {
      case "trailers":
        this.#last(trailers(outcome.status, "said so", own));
        return;
      case "trailersOnly":
        this.#last(trailersOnly(outcome.status, "said so", own));
        return;
      case "noStatus":
        this.#stream.connection.sendData(this.#stream, NOTHING, true);
        this.stop();
        return;
      case "reset":
        this.stop();
        this.#stream.reset(outcome.code);
        return;
      case "silent":
    }
  }

  #last(fields: ReturnType<typeof trailers>): void {
    this.#stream.connection.sendHeaders(this.#stream, headerBlock(fields), true);
    this.stop();
  }

  receive(piece: Buffer): void {
    if (this.#stream.note === "ended") this.#problem("DATA after END_STREAM of the request");
    const at = this.#receivedBytes;
    this.#receivedBytes += piece.length;
    const wanted = this.#call.requestBytes.subarray(at, this.#receivedBytes);
    if (!wanted.equals(piece)) this.#problem(`the request differs within 16 KiB of byte ${at}`);
    this.#credit.receive(piece.length);
    this.look();
  }

  end(): void {
    this.#stream.note = "ended";
    const { length } = this.#call.requestBytes;
    if (this.#receivedBytes !== length) {
      this.#problem(`END_STREAM after ${this.#receivedBytes} of ${length} bytes of the request`);
    }
    this.look();
  }
}

export class FaultBackend {
  readonly name: BackendName;
  readonly address: PassedTo;
  readonly close: () => void;
  #round: BackendRound | undefined;
  /** Of the round. */
  #connections: LeanConnection[] = [];

  static async listen(name: BackendName): Promise<FaultBackend> {
    let backend: FaultBackend | undefined;
    const server = await leanServer((connection) => backend?.serve(connection) ?? {}, {}, LOOPBACK);
    const port = Number(server.target.split(":")[1]);
    backend = new FaultBackend(name, { host: LOOPBACK, port }, server.close);
    return backend;
  }

  private constructor(name: BackendName, address: PassedTo, close: () => void) {
    this.name = name;
    this.address = address;
    this.close = close;
  }

  /** Later connections belong to `round`. */
  begin(round: BackendRound): void {
    this.#round = round;
    this.#connections = [];
  }

  /** What the relay lets the connections send that stand. */
  get sendWindowsBytes(): number[] {
    return this.#connections
      .filter(({ closed }) => !closed)
      .map(({ sendWindowBytes }) => sendWindowBytes);
  }

  serve(connection: LeanConnection): LeanListener {
    const round = this.#round;
    if (round === undefined) return {};
    this.#connections.push(connection);
    const answers = new Map<LeanStream, Answer>();
    let goneAway = false;
    let callCount = 0;
    connection.onSendable = () => {
      for (const answer of answers.values()) answer.pump();
    };
    return {
      onHeaders: (stream, fields, endStream) => {
        const known = answers.get(stream);
        if (known !== undefined) {
          round.problem(`${this.name}: a second header list, ${show(fields)}`);
          return;
        }
        if (goneAway) {
          stream.forget();
          return;
        }
        const call = round.calls.get(fieldValue(fields, ":path") ?? "");
        if (call === undefined) {
          round.problem(`${this.name}: an unknown call, ${show(fields)}`);
          return;
        }
        const attempt = round.arrived(this.name, call);
        const answer = new Answer(stream, call, call.parts[this.name], attempt, (text) =>
          round.problem(`${this.name}: ${text}`),
        );
        answers.set(stream, answer);
        if (++callCount === round.goAway(this.name)?.afterCalls) {
          goneAway = true;
          round.wentAway(this.name);
          connection.write(frames.goaway(stream.id, 0).bytes());
        }
        if (endStream) answer.end();
        else answer.look();
      },
      onData: (stream, piece) => answers.get(stream)?.receive(piece),
      onEnd: (stream) => answers.get(stream)?.end(),
      onReset: (stream) => {
        answers.get(stream)?.stop();
        answers.delete(stream);
      },
      onClosed: () => {
        for (const answer of answers.values()) answer.stop();
        answers.clear();
      },
    };
  }
}

function show(fields: HeaderList): string {
  return fields.map(({ name, value }) => `${name}=${value}`).join(" ");
}
