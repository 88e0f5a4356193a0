// A TCP proxy that breaks what passes it, where a plan says so: at the n-th byte of a connection.

import { connect, createServer, type Server, type Socket } from "node:net";
import { LOOPBACK } from "./loopback.ts";

/**
 * - `"refuse"`: the connection is reset as it comes.
 * - `"kill"`: both sides are closed, between two reads.
 * - `"reset"`: both sides are reset (RST).
 * - `"truncate"`: the bytes up to that place still arrive, then FIN.
 * - `"stall"`: nothing passes in that direction for a while.
 * - `"hang"`: the same, and then the connection is reset.
 * - `"delay"`: from there on each read is passed on later.
 * - `"split"`: the next bytes arrive in small pieces, each in a turn of its own.
 */
export type FaultKind =
  | "refuse"
  | "kill"
  | "reset"
  | "truncate"
  | "stall"
  | "hang"
  | "delay"
  | "split";

/** After them the connection is gone. */
export const LETHAL: ReadonlySet<FaultKind> = new Set<FaultKind>([
  "refuse",
  "kill",
  "reset",
  "truncate",
  "hang",
]);

export interface Fault {
  readonly kind: FaultKind;
  /** The number of the connection through the proxy, from 0. */
  readonly connection: number;
  /** `"out"`: from the side that connected. */
  readonly direction: "out" | "back";
  /** Comes when so many bytes have passed in the direction. */
  readonly atBytes: number;
  /** For "stall", "hang" and "delay". */
  readonly ms: number;
  /** For "split": the longest piece. */
  readonly pieceBytes: number;
}

export interface PassedTo {
  readonly host: string;
  readonly port: number;
}

/** So many pieces, and no more: a large message of single bytes would take minutes. */
const SPLIT_PIECES = 500;

/** One direction of one connection. */
class Way {
  readonly #source: Socket;
  readonly #sink: Socket;
  readonly #faults: Fault[];
  readonly #onFault: (fault: Fault) => void;
  #passedBytes = 0;
  #delayMs = 0;
  #pieceBytes = Number.POSITIVE_INFINITY;
  #splitLeft = 0;
  #busy = false;
  #ended = false;
  /** A fault is under way. One that is lethal is until the connection is gone. */
  firing = false;

  constructor(
    source: Socket,
    sink: Socket,
    faults: readonly Fault[],
    onFault: (fault: Fault) => void,
  ) {
    this.#source = source;
    this.#sink = sink;
    this.#faults = [...faults].sort((one, other) => one.atBytes - other.atBytes);
    this.#onFault = onFault;
    source.on("data", (chunk: Buffer) => this.#take(chunk));
    source.on("end", () => {
      this.#ended = true;
      if (!this.#busy) sink.end();
    });
    source.on("error", () => sink.resetAndDestroy());
    source.on("close", () => {
      if (!this.#ended) sink.destroy();
    });
  }

  /** No more faults: the connection goes on as it is. */
  calm(): void {
    this.#faults.length = 0;
    this.#delayMs = 0;
    this.#pieceBytes = Number.POSITIVE_INFINITY;
  }

  #take(chunk: Buffer): void {
    const plain =
      this.#faults.length === 0 &&
      this.#delayMs === 0 &&
      this.#pieceBytes === Number.POSITIVE_INFINITY;
    if (plain) {
      if (this.#sink.write(chunk)) return;
      this.#source.pause();
      this.#sink.once("drain", () => this.#source.resume());
      return;
    }
    this.#busy = true;
    this.#source.pause();
    void this.#pass(chunk).then(() => {
      this.#busy = false;
      if (this.#ended) this.#sink.end();
      this.#source.resume();
    });
  }

  async #pass(chunk: Buffer): Promise<void> {
    if (this.#delayMs > 0) await later(this.#delayMs);
    for (let rest = chunk; rest.length > 0 && !this.#sink.destroyed; ) {
      const fault = this.#faults[0];
      const room = (fault?.atBytes ?? Number.POSITIVE_INFINITY) - this.#passedBytes;
      if (fault !== undefined && room <= 0) {
        this.#faults.shift();
        await this.#fire(fault);
        continue;
      }
      const piece = rest.subarray(0, Math.min(room, this.#pieceBytes));
      rest = rest.subarray(piece.length);
      this.#passedBytes += piece.length;
      const wrote = this.#sink.write(piece);
      if (this.#pieceBytes !== Number.POSITIVE_INFINITY) {
        if (--this.#splitLeft <= 0) this.#pieceBytes = Number.POSITIVE_INFINITY;
        await turn();
      }
      if (!wrote) await this.#drained();
    }
  }

  #drained(): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        this.#sink.off("drain", done);
        this.#sink.off("close", done);
        resolve();
      };
      this.#sink.on("drain", done);
      this.#sink.on("close", done);
    });
  }

  async #fire(fault: Fault): Promise<void> {
    this.#onFault(fault);
    this.firing = true;
    await this.#do(fault);
    this.firing = LETHAL.has(fault.kind);
  }

  async #do(fault: Fault): Promise<void> {
    switch (fault.kind) {
      case "stall":
        await later(fault.ms);
        return;
      case "hang":
        await later(fault.ms);
        this.#source.resetAndDestroy();
        this.#sink.resetAndDestroy();
        return;
      case "delay":
        this.#delayMs = fault.ms;
        return;
      case "split":
        this.#pieceBytes = fault.pieceBytes;
        this.#splitLeft = SPLIT_PIECES;
        return;
      case "truncate":
        // What was written still goes out; what comes now is for nobody.
        this.#ended = true;
        this.#source.destroy();
        this.#sink.destroySoon();
        return;
      case "kill":
        this.#source.destroy();
        this.#sink.destroy();
        return;
      default:
        this.#source.resetAndDestroy();
        this.#sink.resetAndDestroy();
    }
  }
}

function later(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

export class FaultProxy {
  readonly address: PassedTo;
  /** Connections so far. */
  connectionCount = 0;
  readonly #server: Server;
  readonly #sockets: Set<Socket> = new Set();
  readonly #ways: Set<Way> = new Set();
  #faults: readonly Fault[] = [];
  #onFault: (fault: Fault) => void = () => undefined;

  /** Listens on a free port. @param to asked for each connection */
  static async listen(to: () => PassedTo): Promise<FaultProxy> {
    const server = createServer({ allowHalfOpen: true, noDelay: true });
    await new Promise<void>((resolve) => server.listen(0, LOOPBACK, resolve));
    return new FaultProxy(server, to);
  }

  private constructor(server: Server, to: () => PassedTo) {
    this.#server = server;
    const bound = server.address();
    if (bound === null || typeof bound === "string") throw new Error("expected a port");
    this.address = { host: LOOPBACK, port: bound.port };
    server.on("connection", (socket) => this.#accept(socket, to()));
  }

  get target(): string {
    return `${this.address.host}:${this.address.port}`;
  }

  /** Counts connections from 0 again. @param onFault told when a fault comes */
  plan(faults: readonly Fault[], onFault: (fault: Fault) => void): void {
    this.connectionCount = 0;
    this.#faults = faults;
    this.#onFault = onFault;
  }

  /** No more faults, on connections that stand and on later ones. */
  calm(): void {
    this.#faults = [];
    for (const way of this.#ways) way.calm();
  }

  /** No fault is under way any more. */
  get quiet(): boolean {
    return ![...this.#ways].some((way) => way.firing);
  }

  /** Sockets that are open, on either side. */
  get socketCount(): number {
    return this.#sockets.size;
  }

  /** Ends the connections that stand. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  close(): void {
    this.#server.close();
    this.cut();
  }

  #accept(socket: Socket, to: PassedTo): void {
    const number = this.connectionCount++;
    const faults = this.#faults.filter(({ connection }) => connection === number);
    const refusal = faults.find(({ kind }) => kind === "refuse");
    if (refusal !== undefined) {
      socket.on("error", () => undefined);
      this.#onFault(refusal);
      socket.resetAndDestroy();
      return;
    }
    const further = connect({ ...to, allowHalfOpen: true, noDelay: true });
    const onFault = this.#onFault;
    const of = (way: Fault["direction"]) => faults.filter(({ direction }) => direction === way);
    const ways = [
      new Way(socket, further, of("out"), onFault),
      new Way(further, socket, of("back"), onFault),
    ];
    for (const way of ways) this.#ways.add(way);
    for (const each of [socket, further]) {
      this.#sockets.add(each);
      each.on("close", () => {
        this.#sockets.delete(each);
        for (const way of ways) this.#ways.delete(way);
      });
    }
  }
}
