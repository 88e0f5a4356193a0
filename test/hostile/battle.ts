// One attack on a relay of its own, beside an honest client.

import { createServer, type Server, type Socket } from "node:net";
import type { TransportCombo } from "../support/combos.ts";
import { frames, message, request, response, trailers } from "../support/frames.ts";
import { PROCESS_LIMIT_MS } from "../support/patience.ts";
import { Assailant } from "./assailant.ts";
import type { Attack } from "./attack.ts";
import { Program } from "./program.ts";

const CANCEL = 8;
/** How long the honest client is watched alone. */
const QUIET_MS = 400;
/** Calls that ordinary clients keep open at an attacking backend. */
const OPEN_CALLS = 10;
const PAUSE_MS = 5;
/** Enough for the request to reach the backend. */
const CANCELLED_AFTER_MS = 50;

interface HonestReport {
  readonly callCount: number;
  readonly p50Ms: number;
  readonly maxMs: number;
  readonly failures: readonly string[];
}

interface RelayReport {
  readonly longestTurnMs: number;
  readonly peakRssBytes: number;
  readonly refusals: Readonly<Record<string, number>>;
  readonly problems: readonly string[];
}

export interface BattleOptions {
  /** Connections of the attacker at once. */
  readonly connectionCount: number;
  readonly durationMs: number;
  /** A connection that ends is followed by another one. */
  readonly comesAgain: boolean;
}

export interface Outcome extends HonestReport, RelayReport {
  /** How the attacker's connections ended, and how many of them. */
  readonly ends: ReadonlyMap<string, number>;
  readonly idleP50Ms: number;
  readonly rssGrowthBytes: number;
  readonly sentBytes: number;
}

interface Address {
  readonly host: string;
  readonly port: number;
}

export class Battlefield {
  readonly #honest: Program<string>;

  private constructor(honest: Program<string>) {
    this.#honest = honest;
  }

  static async lay(): Promise<Battlefield> {
    return new Battlefield(await Program.start<string>("honest-process.mjs"));
  }

  leave(): void {
    this.#honest.kill();
  }

  async fight(attack: Attack, combo: TransportCombo, options: BattleOptions): Promise<Outcome> {
    const honest = this.#honest;
    const backend = await HostileBackend.listen(attack);
    const backends = { plain: honest.ready, hostile: backend.target };
    const relay = await Program.start<Address>("relay-process.mjs", { ...combo, backends });
    try {
      await honest.ask("connect", relay.ready);
      await honest.ask("begin");
      await wait(QUIET_MS);
      const idle = await honest.ask<HonestReport>("end");
      const { rssBytes } = await relay.ask<{ rssBytes: number }>("begin");
      await honest.ask("begin");
      const attackers = new Attackers(attack, relay.ready, options, backend);
      const { ends, sentBytes } = await attackers.run();
      const seen = await honest.ask<HonestReport>("end");
      const told = await relay.ask<RelayReport>("end");
      const rssGrowthBytes = told.peakRssBytes - rssBytes;
      return { ...seen, ...told, ends, idleP50Ms: idle.p50Ms, rssGrowthBytes, sentBytes };
    } finally {
      await honest.ask("disconnect");
      relay.kill();
      backend.close();
    }
  }
}

/** The backend that is no honest one: it attacks, or takes the calls of a client that does. */
class HostileBackend {
  readonly assailants: Assailant[] = [];
  readonly target: string;
  readonly #server: Server;

  private constructor(server: Server, target: string) {
    this.#server = server;
    this.target = target;
  }

  static async listen(attack: Attack): Promise<HostileBackend> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const address = server.address();
    if (address === null || typeof address === "string") throw new Error("not listening");
    const backend = new HostileBackend(server, `127.0.0.1:${address.port}`);
    server.on("connection", (socket: Socket) => backend.#accept(socket, attack));
    return backend;
  }

  #accept(socket: Socket, attack: Attack): void {
    const isAttacker = attack.side === "backend";
    const assailant = new Assailant(socket, true, isAttacker ? (attack.options ?? {}) : {});
    this.assailants.push(assailant);
    assailant.onRequest = (id) => {
      if (isAttacker) void assailant.sendAll(attack.attempt(assailant, id));
      else if (attack.isAnswered === true) {
        const fields = [...response(), ...trailers(0)];
        assailant.write(frames.headers(id, fields, { endStream: true }).bytes());
      }
    };
  }

  close(): void {
    this.#server.close();
    for (const assailant of this.assailants) assailant.abandon();
  }
}

class Attackers {
  readonly #attack: Attack;
  readonly #address: Address;
  readonly #options: BattleOptions;
  readonly #backend: HostileBackend;
  readonly #clients: Assailant[] = [];
  #isOver = false;

  constructor(attack: Attack, address: Address, options: BattleOptions, backend: HostileBackend) {
    this.#attack = attack;
    this.#address = address;
    this.#options = options;
    this.#backend = backend;
  }

  async run(): Promise<{ ends: Map<string, number>; sentBytes: number }> {
    const isClient = this.#attack.side === "client";
    const slots = Array.from({ length: this.#options.connectionCount }, () =>
      isClient ? this.#attackAgain() : this.#callBackend(),
    );
    const attackers = isClient ? this.#clients : this.#backend.assailants;
    await wait(this.#options.durationMs);
    // An attack that has to be stopped gets the time for it, however busy the machine is.
    const latestMs = performance.now() + PROCESS_LIMIT_MS;
    while (!this.#isDecided(attackers) && performance.now() < latestMs) await wait(PAUSE_MS);
    this.#isOver = true;
    for (const assailant of [...this.#clients, ...this.#backend.assailants]) assailant.abandon();
    await Promise.all(slots);
    const ends = new Map<string, number>();
    let sentBytes = 0;
    for (const { end = "open", sentBytes: bytes } of attackers) {
      ends.set(end, (ends.get(end) ?? 0) + 1);
      sentBytes += bytes;
    }
    return { ends, sentBytes };
  }

  #isDecided(attackers: readonly Assailant[]): boolean {
    return this.#attack.end === "open" || attackers.some(({ end }) => end !== undefined);
  }

  async #attackAgain(): Promise<void> {
    const { options = {} } = this.#attack;
    do {
      const assailant = await Assailant.connect(this.#address, options);
      this.#clients.push(assailant);
      const ended = new Promise<void>((resolve) => {
        assailant.onEnd = resolve;
      });
      await assailant.sendAll(this.#attack.attempt(assailant, 0));
      await ended;
    } while (this.#options.comesAgain && !this.#isOver);
  }

  /** Ordinary calls of one client to the backend that attacks. */
  async #callBackend(): Promise<void> {
    const client = await Assailant.connect(this.#address, {});
    this.#clients.push(client);
    const open = (): void => {
      const id = client.takeId();
      client.write(
        frames.bytes(
          frames.headers(id, request("/x.Hostile/Call")),
          frames.data(id, message("hello"), { endStream: true }),
        ),
      );
      if (this.#attack.isCancelled !== true) return;
      setTimeout(() => client.write(frames.rst(id, CANCEL).bytes()), CANCELLED_AFTER_MS);
    };
    // A pause, so that calls which fail at once are no flood of the client's.
    client.onStreamEnd = () => setTimeout(open, PAUSE_MS);
    for (let i = 0; i < OPEN_CALLS; i++) open();
  }
}

function wait(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
