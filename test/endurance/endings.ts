// Every way in which a call can end, as a backend that plays its part and a client that plays its
// own.

import { fieldValue, type HeaderList } from "../../src/wire/field.ts";
import {
  frames,
  headerBlock,
  message,
  request,
  response,
  trailers,
  trailersOnly,
} from "../support/frames.ts";
import { LeanConnection, type LeanListener, type LeanStream } from "./lean-peer.ts";

const CANCEL = 8;
const MESSAGE = message("a message of no great length");
const LARGE_MESSAGE = message(Buffer.alloc(2_000));
const NOTHING = Buffer.alloc(0);

const RESPONSE = headerBlock(response());
const OK = headerBlock(trailers());
const DENIED = headerBlock(trailers(7, "not%20you"));
const NOT_FOUND = headerBlock(trailersOnly(5, "nothing here"));
const EMPTY_OK = headerBlock(trailersOnly(0));
const HTTP_503 = headerBlock([
  [":status", "503"],
  ["content-type", "text/html"],
]);

/** What the backend does, by the method that is called. */
type Behaviour = (stream: LeanStream, backend: string) => void;

function answer(stream: LeanStream): void {
  const { connection } = stream;
  connection.sendHeaders(stream, RESPONSE);
  connection.sendData(stream, MESSAGE);
  connection.sendHeaders(stream, OK, true);
}

const AT_END: Readonly<Record<string, Behaviour>> = {
  Echo: answer,
  Empty: (stream) => stream.connection.sendHeaders(stream, EMPTY_OK, true),
  Deny: (stream) => {
    stream.connection.sendHeaders(stream, RESPONSE);
    stream.connection.sendHeaders(stream, DENIED, true);
  },
  TrailersOnly: (stream) => stream.connection.sendHeaders(stream, NOT_FOUND, true),
  NoStatus: (stream) => {
    stream.connection.sendHeaders(stream, RESPONSE);
    stream.connection.sendData(stream, NOTHING, true);
  },
  Http503: (stream) => {
    stream.connection.sendHeaders(stream, HTTP_503);
    stream.connection.sendData(stream, Buffer.from("<p>busy</p>"), true);
  },
  Reset0: (stream) => stream.reset(0),
  Reset2: (stream) => stream.reset(2),
  Reset7: (stream) => stream.reset(7),
  Reset8: (stream) => stream.reset(8),
  Reset11: (stream) => stream.reset(11),
  LateReset: (stream) => {
    stream.connection.sendHeaders(stream, RESPONSE);
    stream.connection.sendData(stream, MESSAGE.subarray(0, 9));
    stream.reset(2);
  },
  Die: (stream) => stream.connection.socket.destroy(),
  /** The primary is well; of the secondaries one loses its connection and one its stream. */
  Split: (stream, backend) => {
    if (backend === "plain") answer(stream);
    else if (backend === "mortal") stream.connection.socket.destroy();
    else stream.reset(2);
  },
};

const AT_ONCE: Readonly<Record<string, Behaviour>> = {
  Half: (stream) => {
    stream.connection.sendHeaders(stream, RESPONSE);
    stream.connection.sendData(stream, MESSAGE);
  },
  Early: answer,
};

/** A backend whose methods end as they are called; `Silent` never does. */
export function endingBackend(name: string): (connection: LeanConnection) => LeanListener {
  return () => {
    const act = (stream: LeanStream, behaviours: Readonly<Record<string, Behaviour>>): void => {
      const behaviour = behaviours[String(stream.note)];
      if (behaviour === undefined) return;
      behaviour(stream, name);
      // Whatever it was, it was the last word, but for those that wait to be cancelled.
      if (stream.note !== "Half") stream.forget();
    };
    return {
      onHeaders: (stream, fields) => {
        const path = fields.find((field) => field.name === ":path")?.value ?? "";
        stream.note = path.slice(path.lastIndexOf("/") + 1);
        act(stream, AT_ONCE);
      },
      onEnd: (stream) => act(stream, AT_END),
    };
  };
}

/** How one call is made, and what may come of it. */
export interface Ending {
  readonly name: string;
  readonly block: Buffer;
  /** It goes to three backends, with a finalizer. */
  readonly fanOut: boolean;
  /** Sent after the headers. */
  readonly body: Buffer;
  /** END_STREAM after the body; on the headers when there is none. */
  readonly ends: boolean;
  /** When the client takes the call back. */
  readonly cancels: "never" | "at once" | "in the next turn" | "at the first message";
  /** Statuses that it may end with; none when the client hears nothing any more. */
  readonly statuses: readonly string[];
}

function ending(
  name: string,
  path: string,
  statuses: readonly number[],
  more: Partial<Ending> & { readonly timeout?: string } = {},
): Ending {
  const { timeout, ...rest } = more;
  const fields = timeout === undefined ? [] : [["grpc-timeout", timeout] as const];
  return {
    name,
    block: headerBlock(request(`/mix.${path}`, ...fields)),
    fanOut: path.startsWith("FanOut/"),
    body: MESSAGE,
    ends: true,
    cancels: "never",
    statuses: statuses.map(String),
    ...rest,
  };
}

const SHORT = "30m";
/** Outlives the test: a deadline that stays behind keeps its call. */
const LONG = "1H";

/** One round. What is frequent in life stands in it more than once. */
export const ENDINGS: readonly Ending[] = [
  ending("ok", "Plain/Echo", [0]),
  ending("ok", "Plain/Echo", [0]),
  ending("ok", "Plain/Echo", [0]),
  ending("ok with a deadline", "Plain/Echo", [0], { timeout: LONG }),
  ending("ok with a deadline", "Plain/Echo", [0], { timeout: LONG }),
  ending("ok without messages", "Plain/Empty", [0], { body: NOTHING }),
  ending("ok before the request has ended", "Plain/Early", [0], { ends: false }),
  ending("ok with a peek", "Peek/Echo", [0]),
  ending("ok of three", "FanOut/Echo", [0]),
  ending("ok although both secondaries fail", "FanOut/Split", [0]),
  ending("error status", "Plain/Deny", [7]),
  ending("error status", "Plain/Deny", [7]),
  ending("error status of three", "FanOut/Deny", [7]),
  ending("Trailers-Only", "Plain/TrailersOnly", [5]),
  ending("Trailers-Only", "Plain/TrailersOnly", [5]),
  ending("no status", "Plain/NoStatus", [2]),
  ending("not gRPC", "Plain/Http503", [14]),
  ending("cancelled at once", "Plain/Silent", [], { cancels: "at once" }),
  ending("cancelled in an upload", "Plain/Silent", [], {
    cancels: "in the next turn",
    ends: false,
  }),
  ending("cancelled in a response", "Plain/Half", [], { cancels: "at the first message" }),
  ending("cancelled in a fan-out", "FanOut/Half", [], { cancels: "at the first message" }),
  ending("cancelled in a peek", "Peek/Echo", [], {
    body: MESSAGE.subarray(0, 9),
    ends: false,
    cancels: "in the next turn",
  }),
  ending("deadline", "Plain/Silent", [4], { timeout: SHORT }),
  ending("deadline in an upload", "Plain/Silent", [4], { timeout: SHORT, ends: false }),
  ending("deadline in a response", "Plain/Half", [4], { timeout: SHORT }),
  ending("deadline of three", "FanOut/Silent", [4], { timeout: SHORT }),
  ending("deadline in a peek", "Peek/Echo", [4], {
    timeout: SHORT,
    body: MESSAGE.subarray(0, 3),
    ends: false,
  }),
  ending("reset 0", "Plain/Reset0", [13]),
  ending("reset 2", "Plain/Reset2", [13]),
  ending("reset 7, twice", "Plain/Reset7", [14]),
  ending("reset 8", "Plain/Reset8", [1]),
  ending("reset 11", "Plain/Reset11", [8]),
  ending("reset in a message", "Plain/LateReset", [13]),
  ending("the backend's connection dies", "Mortal/Die", [14]),
  ending("a neighbour's connection dies", "Mortal/Silent", [14, 4], { timeout: SHORT }),
  ending("a neighbour's connection dies in a response", "Mortal/Half", [14, 4], { timeout: SHORT }),
  ending("peek without message", "Peek/Echo", [3], { body: NOTHING }),
  ending("peek too large", "Peek/Echo", [8], { body: LARGE_MESSAGE }),
  ending("refused by the director", "Refuse/Echo", [2]),
  ending("unknown kind of call", "Plain/Nothing", [4], { timeout: SHORT }),
];

const CALLS_PER_CONNECTION = 200;
const CALLS_AT_ONCE = 40;
/** Calls of each connection that are open when it dies: a fifth of those at once. */
const CALLS_LEFT = 8;
/** They are never answered. */
const LEFT_OPEN = [
  ending("session death", "Plain/Silent", []),
  ending("session death in an upload", "Plain/Silent", [], { ends: false }),
  ending("session death in a response", "Plain/Half", []),
  ending("session death in a peek", "Peek/Echo", [], { body: NOTHING, ends: false }),
];

/** What came of the calls. */
export class Tally {
  endedCount = 0;
  fanOutCount = 0;
  readonly counts: Map<string, number> = new Map();
  readonly surprises: string[] = [];

  add(kind: Ending, status: string): void {
    this.endedCount++;
    if (kind.fanOut) this.fanOutCount++;
    const fits = kind.statuses.length === 0 ? status === "none" : kind.statuses.includes(status);
    if (!fits) this.surprises.push(`${kind.name}: ${status}`);
    this.counts.set(kind.name, (this.counts.get(kind.name) ?? 0) + 1);
  }
}

/**
 * One connection's life: its calls end in all ways, and then it dies itself with some of them open.
 */
export class MixedClient implements LeanListener {
  readonly #tally: Tally;
  readonly #seed: number;
  readonly #kinds = new Map<LeanStream, Ending>();
  readonly #gone: Promise<void>;
  #connection: LeanConnection | undefined;
  #startedCount = 0;
  #onIdle: () => void = () => undefined;
  #onGone: () => void = () => undefined;

  /** @param seed different for each, so that they begin differently and die differently */
  constructor(tally: Tally, seed: number) {
    this.#tally = tally;
    this.#seed = seed;
    this.#gone = new Promise((resolve) => {
      this.#onGone = resolve;
    });
  }

  async run(address: { readonly host: string; readonly port: number }): Promise<void> {
    const connection = await LeanConnection.connect(address, this);
    this.#connection = connection;
    const idle = new Promise<void>((resolve) => {
      this.#onIdle = resolve;
    });
    for (let i = 0; i < CALLS_AT_ONCE; i++) this.#startNext();
    await Promise.race([idle, this.#gone]);
    if (connection.closed) {
      this.#tally.surprises.push(`the relay closed a connection with ${this.#kinds.size} calls`);
    }
    for (let i = 0; i < CALLS_LEFT; i++) this.#start(LEFT_OPEN[i % LEFT_OPEN.length]!);
    // So that the relay has them when the connection dies.
    await new Promise((resolve) => setImmediate(resolve));
    this.#die(connection);
    await this.#gone;
    for (const kind of this.#kinds.values()) this.#tally.add(kind, "none");
  }

  #startNext(): void {
    if (this.#startedCount < CALLS_PER_CONNECTION) {
      this.#start(ENDINGS[(this.#seed + this.#startedCount++) % ENDINGS.length]!);
    } else if (this.#kinds.size === 0) this.#onIdle();
  }

  #start(kind: Ending): void {
    const connection = this.#connection;
    if (connection === undefined || connection.closed) return;
    const { block, body, ends, cancels } = kind;
    const bare = body.length === 0;
    const stream = connection.open(block, bare && ends);
    if (!bare) connection.sendData(stream, body, ends);
    this.#kinds.set(stream, kind);
    if (cancels === "at once") this.#cancel(stream);
    else if (cancels === "in the next turn") setImmediate(() => this.#cancel(stream));
  }

  #cancel(stream: LeanStream): void {
    if (!this.#kinds.has(stream)) return;
    stream.reset(CANCEL);
    // Not at once: the next call would be under way before this one is.
    setImmediate(() => this.#end(stream, "none"));
  }

  #end(stream: LeanStream, status: string): void {
    const kind = this.#kinds.get(stream);
    if (kind === undefined) return;
    this.#kinds.delete(stream);
    this.#tally.add(kind, status);
    this.#startNext();
  }

  #die({ socket }: LeanConnection): void {
    switch (this.#seed % 3) {
      case 0:
        socket.destroy();
        return;
      case 1:
        socket.resetAndDestroy();
        return;
      default:
        socket.end(frames.goaway(0, 0).bytes());
    }
  }

  onHeaders(stream: LeanStream, fields: HeaderList, endStream: boolean): void {
    if (!endStream) return;
    stream.forget();
    this.#end(stream, fieldValue(fields, "grpc-status") ?? "no status");
  }

  onData(stream: LeanStream): void {
    if (this.#kinds.get(stream)?.cancels === "at the first message") this.#cancel(stream);
  }

  onReset(stream: LeanStream, code: number): void {
    this.#end(stream, `reset ${code}`);
  }

  onClosed(): void {
    this.#onGone();
  }
}
