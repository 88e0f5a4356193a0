// TCP clients that reset their connection at an awkward time.

import { execFileSync } from "node:child_process";
import { Worker } from "node:worker_threads";
import { closeAtEnd } from "./cleanup.ts";

const RESETS = `
  const [port, bytes] = process.argv.slice(1);
  const socket = require("node:net").connect(Number(port), "127.0.0.1");
  socket.write(Buffer.from(bytes, "hex"), () => socket.resetAndDestroy());
`;

/**
 * Connects to `port` of this process, sends `bytes`, and resets the connection. While this process
 * waits for the other one it accepts nothing.
 */
export function resetBeforeAccepted(port: number, bytes: Buffer): void {
  execFileSync(process.execPath, ["-e", RESETS, String(port), bytes.toString("hex")]);
}

const RESETS_LATER = `
  const { port, bytes, told } = require("node:worker_threads").workerData;
  const socket = require("node:net").connect(port, "127.0.0.1");
  socket.write(bytes, () => {
    Atomics.wait(told, 0, 0);
    socket.resetAndDestroy();
    Atomics.store(told, 1, 1);
    Atomics.notify(told, 1);
  });
`;

/** Connects from a thread of its own, and sends its bytes. */
export class ResettingClient {
  readonly #told = new Int32Array(new SharedArrayBuffer(8));

  constructor(port: number, bytes: Buffer) {
    const workerData = { port, bytes, told: this.#told };
    const worker = new Worker(RESETS_LATER, { eval: true, workerData });
    closeAtEnd(() => worker.terminate());
  }

  /** Returns when it has sent all of its bytes and reset its connection. */
  reset(): void {
    Atomics.store(this.#told, 0, 1);
    Atomics.notify(this.#told, 0);
    Atomics.wait(this.#told, 1, 0);
  }
}
