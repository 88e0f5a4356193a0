import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import * as grpc from "@grpc/grpc-js";
import { describe, expect, it } from "vitest";
import type { ClientConn } from "../../src/client/client-conn.ts";
import type { DialOptions } from "../../src/client/dial-options.ts";
import { StreamParameters } from "../../src/proxy/director.ts";
import { formatAddress } from "../../src/transport/address.ts";
import { closeAtEnd } from "../support/cleanup.ts";
import { enduranceCombos } from "../support/combos.ts";
import { type DuplexCall, GrpcClient } from "../support/grpc-js.ts";
import { dialTo, eventually, listenRelay } from "../support/relay-fixture.ts";

// A backend process that dies or freezes under its calls: SIGKILL and SIGSTOP, grpc-js clients,
// real time.

const PROGRAM = fileURLToPath(new URL("./echo-process.mjs", import.meta.url));
const ECHO = "/x.Y/Echo";
const CALL_COUNT = 100;
const CLIENT_COUNT = 4;
/** Every caller has to know by then. */
const WITHIN_MS = 1_000;

class Backend {
  readonly port: number;
  #child: ChildProcess;

  private constructor(child: ChildProcess, port: number) {
    this.#child = child;
    this.port = port;
    closeAtEnd(() => this.kill());
  }

  static async start(): Promise<Backend> {
    const { child, port } = await launch(0);
    return new Backend(child, port);
  }

  kill(): void {
    this.#child.kill("SIGKILL");
  }

  freeze(): void {
    this.#child.kill("SIGSTOP");
  }

  thaw(): void {
    this.#child.kill("SIGCONT");
  }

  /** On the same port as before. */
  async startAgain(): Promise<void> {
    this.#child = (await launch(this.port)).child;
  }
}

function launch(port: number): Promise<{ child: ChildProcess; port: number }> {
  const child = fork(PROGRAM, [String(port)]);
  return new Promise((resolve, reject) => {
    child.once("message", (bound) => resolve({ child, port: Number(bound) }));
    child.once("exit", (code) => reject(new Error(`the backend ended with exit code ${code}`)));
  });
}

describe.each(enduranceCombos)(
  "a relay whose backend dies or freezes, $server $client",
  (combo) => {
    interface Scene {
      readonly backend: Backend;
      readonly conn: ClientConn;
      readonly clients: readonly GrpcClient[];
    }

    async function begin(
      options: DialOptions = {},
      callOptions: ConstructorParameters<typeof StreamParameters>[3] = {},
    ): Promise<Scene> {
      const backend = await Backend.start();
      const conn = dialTo(combo, `127.0.0.1:${backend.port}`, options);
      const { address } = await listenRelay(
        combo,
        () => new StreamParameters({ conn }, [], undefined, callOptions),
      );
      const clients = Array.from(
        { length: CLIENT_COUNT },
        () => new GrpcClient(formatAddress(address), { "grpc.use_local_subchannel_pool": 1 }),
      );
      return { backend, conn, clients };
    }

    /** Streams under way: each has had an answer. */
    async function openCalls(
      { clients }: Scene,
      options: grpc.CallOptions = {},
    ): Promise<DuplexCall[]> {
      const calls = Array.from({ length: CALL_COUNT }, (_, i) =>
        clients[i % CLIENT_COUNT]!.duplex(ECHO, {}, options),
      );
      for (const call of calls) call.send("hello");
      expect(await Promise.all(calls.map((call) => call.recv()))).toEqual(calls.map(() => "hello"));
      return calls;
    }

    async function statusesOf(calls: readonly DuplexCall[]): Promise<number[]> {
      return (await Promise.all(calls.map((call) => call.status))).map(({ code }) => code);
    }

    async function unaryStatus(
      { clients }: Scene,
      options: grpc.CallOptions = {},
    ): Promise<number> {
      return (await clients[0]!.unary(ECHO, "hello", {}, options)).status.code;
    }

    /** Calls until one succeeds. @returns after how many milliseconds */
    async function recovery(scene: Scene): Promise<number> {
      const startedMs = performance.now();
      for (;;) {
        const code = await unaryStatus(scene);
        if (code === grpc.status.OK) return performance.now() - startedMs;
        expect(code).toBe(grpc.status.UNAVAILABLE);
        expect(performance.now() - startedMs).toBeLessThan(5_000);
      }
    }

    it("answers every stream with UNAVAILABLE within a second of the death", async () => {
      const scene = await begin();
      const calls = await openCalls(scene);
      const killedMs = performance.now();
      scene.backend.kill();
      expect(await statusesOf(calls)).toEqual(calls.map(() => grpc.status.UNAVAILABLE));
      expect(performance.now() - killedMs).toBeLessThan(WITHIN_MS);
      // While it is away, calls fail at once.
      const againMs = performance.now();
      expect(await unaryStatus(scene)).toBe(grpc.status.UNAVAILABLE);
      expect(performance.now() - againMs).toBeLessThan(WITHIN_MS);
    });

    it("answers calls with half a message in them with UNAVAILABLE, too", async () => {
      const scene = await begin();
      const calls = await openCalls(scene);
      // More than the windows hold, so that pieces of it are everywhere.
      for (const call of calls.slice(0, 20)) call.send(Buffer.alloc(4 * 1_048_576));
      scene.backend.kill();
      expect(await statusesOf(calls)).toEqual(calls.map(() => grpc.status.UNAVAILABLE));
    });

    // gRPC's first wait is 1 s, spread by 20 %; the waits double from there while nobody is there.
    it.each([
      ["the default backoff", {}, 3_000],
      ["a fast backoff", { backoff: { initialMs: 20, maxMs: 20 } }, 1_000],
    ] as const)("finds the backend again when it is back, with %s", async (_, options, limitMs) => {
      const scene = await begin(options);
      const calls = await openCalls(scene);
      scene.backend.kill();
      await statusesOf(calls);
      expect(await unaryStatus(scene)).toBe(grpc.status.UNAVAILABLE);
      await scene.backend.startAgain();
      expect(await recovery(scene)).toBeLessThan(limitMs);
      const again = await openCalls(scene);
      for (const call of again) call.closeSend();
      expect(await statusesOf(again)).toEqual(again.map(() => grpc.status.OK));
    });

    it("keeps calls that are ready to wait until the backend is back", async () => {
      const scene = await begin({ backoff: { initialMs: 20, maxMs: 20 } }, { waitForReady: true });
      const calls = await openCalls(scene);
      scene.backend.kill();
      await statusesOf(calls);
      await eventually("its absence is known", () => scene.conn.state !== "ready");
      const waiting = Array.from({ length: 20 }, () => unaryStatus(scene));
      const hopeless = unaryStatus(scene, { deadline: Date.now() + 200 });
      expect(await hopeless).toBe(grpc.status.DEADLINE_EXCEEDED);
      await scene.backend.startAgain();
      expect(await Promise.all(waiting)).toEqual(waiting.map(() => grpc.status.OK));
    });

    it("recovers each time when the backend dies again and again under load", async () => {
      const scene = await begin({ backoff: { initialMs: 20, maxMs: 20 } });
      for (let round = 0; round < 3; round++) {
        const calls = await openCalls(scene);
        scene.backend.kill();
        const meanwhile = Array.from({ length: 50 }, () => unaryStatus(scene));
        expect(await statusesOf(calls)).toEqual(calls.map(() => grpc.status.UNAVAILABLE));
        for (const code of await Promise.all(meanwhile)) {
          expect([grpc.status.OK, grpc.status.UNAVAILABLE]).toContain(code);
        }
        await scene.backend.startAgain();
        await recovery(scene);
      }
    });

    it("holds no call beyond its deadline while the backend is frozen, and goes on when it thaws", async () => {
      const scene = await begin();
      await openCalls(scene).then((calls) => {
        for (const call of calls) call.closeSend();
        return statusesOf(calls);
      });
      const calls = await openCalls(scene, { deadline: Date.now() + 1_500 });
      scene.backend.freeze();
      const startedMs = performance.now();
      const unary = unaryStatus(scene, { deadline: Date.now() + 500 });
      expect(await unary).toBe(grpc.status.DEADLINE_EXCEEDED);
      expect(await statusesOf(calls)).toEqual(calls.map(() => grpc.status.DEADLINE_EXCEEDED));
      expect(performance.now() - startedMs).toBeLessThan(1_500 + WITHIN_MS);
      scene.backend.thaw();
      expect(await unaryStatus(scene)).toBe(grpc.status.OK);
    });

    it("waits connectTimeoutMs and no longer for a backend that is frozen before it says a word", async () => {
      const scene = await begin({ connectTimeoutMs: 300, backoff: { initialMs: 20, maxMs: 20 } });
      scene.backend.freeze();
      const startedMs = performance.now();
      expect(await unaryStatus(scene)).toBe(grpc.status.UNAVAILABLE);
      expect(performance.now() - startedMs).toBeLessThan(300 + WITHIN_MS);
      scene.backend.thaw();
      expect(await recovery(scene)).toBeLessThan(WITHIN_MS);
    });
  },
);
