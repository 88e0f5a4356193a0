// `serve --workers` with workers that are simulated: when they are killed, what they are told, and
// what becomes of the connections that they were given.

import { EventEmitter, once } from "node:events";
import type { Socket } from "node:net";
import { connect } from "node:net";
import { describe, expect, it, vi } from "vitest";
import type { ToWorker } from "../../src/cli/worker-messages.ts";
import type { Fork } from "../../src/cli/worker-process.ts";
import { serveWithWorkers } from "../../src/cli/workers.ts";
import { parseAddress } from "../../src/transport/address.ts";
import { closeAtEnd, within } from "../support/cleanup.ts";
import { eventually } from "../support/relay-fixture.ts";
import { listening } from "./serving.ts";
import { FakeTerminal } from "./terminal.ts";

let lastPid = 1_000_000;

class FakeProcess extends EventEmitter {
  readonly told: ToWorker[] = [];
  readonly given: Socket[] = [];
  readonly kills: string[] = [];
  readonly process = Object.assign(new EventEmitter(), {
    pid: ++lastPid,
    kill: (signal: string): void => {
      this.kills.push(signal);
      this.end("SIGKILL");
    },
  });
  #hasEnded = false;

  send(message: ToWorker, connection: Socket | undefined): void {
    this.told.push(message);
    if (connection !== undefined) this.given.push(connection);
    if (message === "close") this.end(null);
  }

  says(message: unknown): void {
    this.emit("message", message);
  }

  serves(): void {
    this.says("started");
    this.says("serving");
  }

  /** Its exit; its messages may still come. */
  exits(signal: string | null): void {
    this.#hasEnded = true;
    this.emit("exit", signal === null ? 0 : null, signal);
  }

  end(signal: string | null): void {
    if (this.#hasEnded) return;
    this.exits(signal);
    this.process.emit("close");
  }

  isConnected(): boolean {
    return !this.#hasEnded;
  }

  isDead(): boolean {
    return this.#hasEnded;
  }

  get secrets(): unknown[] {
    return this.told.flatMap((message) =>
      typeof message === "object" && "ticketSecret" in message ? [message.ticketSecret] : [],
    );
  }
}

/** Serves with `count` workers, all of which serve. */
async function begin(count: number) {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "setInterval", "clearInterval"] });
  closeAtEnd(() => vi.useRealTimers());
  const forked: FakeProcess[] = [];
  const fork: Fork = () => {
    const worker = new FakeProcess();
    forked.push(worker);
    return worker as unknown as ReturnType<Fork>;
  };
  const terminal = new FakeTerminal();
  const addresses = [{ host: "127.0.0.1", port: 0 }];
  const exitCode = serveWithWorkers({ count, addresses, args: [], graceMs: 0, fork }, terminal);
  closeAtEnd(async () => {
    terminal.signal();
    await exitCode;
  });
  for (let at = 0; at < count; at++) {
    await eventually("a worker", () => forked.length > at);
    forked[at]!.serves();
  }
  const address = parseAddress(await listening(terminal));
  /** A client; resolves when it is connected. */
  const dial = async (): Promise<Socket> => {
    const socket = connect(address);
    closeAtEnd(() => socket.destroy());
    await once(socket, "connect");
    return socket;
  };
  return { forked, terminal, exitCode, dial };
}

describe("a worker", () => {
  it("that takes the place of another and does not serve within 30 s is killed and replaced", async () => {
    const { forked, terminal } = await begin(2);
    forked[0]!.end("SIGSEGV");
    vi.advanceTimersByTime(250);
    expect(forked).toHaveLength(3);
    vi.advanceTimersByTime(29_999);
    expect(forked[2]!.kills).toEqual([]);
    vi.advanceTimersByTime(1);
    expect(forked[2]!.kills).toEqual(["SIGKILL"]);
    expect(terminal.err).toContain("worker 1 does not serve after 30000 ms, and is killed");
    vi.advanceTimersByTime(5_000);
    expect(forked).toHaveLength(4);
    forked[3]!.serves();
    vi.advanceTimersByTime(60_000);
    expect(forked.map(({ kills }) => kills.length)).toEqual([0, 0, 1, 0]);
  });

  it("gets the same ticket secret as the others, and a new one each hour", async () => {
    const { forked } = await begin(2);
    const [first] = forked[0]!.secrets;
    expect(first).toMatch(/^[0-9a-f]{64}$/);
    expect(forked[1]!.secrets).toEqual([first]);
    vi.advanceTimersByTime(3_599_999);
    expect(forked[0]!.secrets).toHaveLength(1);
    vi.advanceTimersByTime(1);
    const [, second] = forked[0]!.secrets;
    expect(second).toMatch(/^[0-9a-f]{64}$/);
    expect(second).not.toBe(first);
    expect(forked[1]!.secrets).toEqual([first, second]);
    forked[0]!.end("SIGKILL");
    vi.advanceTimersByTime(250);
    forked[2]!.serves();
    expect(forked[2]!.secrets).toEqual([second]);
  });
});

describe("a connection", () => {
  it("waits while no worker serves, and goes to the next one that does", async () => {
    const { forked, dial } = await begin(1);
    forked[0]!.end("SIGKILL");
    const client = await dial();
    vi.advanceTimersByTime(250);
    await eventually("the next worker", () => forked.length === 2);
    await new Promise((resolve) => setImmediate(resolve));
    expect(forked.map(({ given }) => given.length)).toEqual([0, 0]);
    forked[1]!.serves();
    await eventually("the connection", () => forked[1]!.given.length === 1);
    expect(forked[1]!.given[0]?.remotePort).toBe(client.localPort);
  });

  it("is dealt again when a killed worker has not taken it, once all of its words are heard", async () => {
    const { forked, dial } = await begin(2);
    await dial();
    const has = (worker: FakeProcess): boolean => worker.given.length === 1;
    await eventually("the connection", () => forked.some(has));
    const [killed, other] = has(forked[0]!) ? forked : [...forked].reverse();
    killed!.exits("SIGKILL");
    vi.advanceTimersByTime(10_000);
    expect(other!.given).toEqual([]);
    killed!.process.emit("close");
    expect(other!.given).toEqual(killed!.given);
    other!.says({ closed: 0, taken: true });
  });

  it("stays with a worker whose word that it took it comes late after its exit", async () => {
    const { forked, dial } = await begin(2);
    const client = await dial();
    const has = (worker: FakeProcess): boolean => worker.given.length === 1;
    await eventually("the connection", () => forked.some(has));
    const [killed, other] = has(forked[0]!) ? forked : [...forked].reverse();
    killed!.exits("SIGKILL");
    vi.advanceTimersByTime(10_000);
    killed!.says({ closed: 0, taken: true });
    killed!.process.emit("close");
    expect(other!.given).toEqual([]);
    // Nobody else holds it here, so that its client learns of the end.
    await within("its end", once(client.resume(), "close"));
  });
});
