// etcd behind `grpc-relay serve` as it comes: its own client through the relay sees what it sees
// without one. By hand, because it takes minutes: `npm run test:etcd`. Time that passes is what is
// tested here, so these tests wait.

import { type ChildProcess, execFile, spawn, spawnSync } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { freePort } from "../../bench/process/launch.ts";
import { closeAtEnd, within } from "../support/cleanup.ts";

const MEBIBYTE = 1_048_576;
const LIMIT_MS = 180_000;

/** A process that is told of by its lines. */
class Program {
  readonly lines: string[] = [];
  readonly #child: ChildProcess;
  readonly #ended: Promise<void>;
  #onLine: (() => void) | undefined;

  constructor(command: string, args: readonly string[]) {
    const environment = { ...process.env, ETCDCTL_API: "3" };
    this.#child = spawn(command, args, { stdio: ["pipe", "pipe", "pipe"], env: environment });
    for (const input of [this.#child.stdout, this.#child.stderr]) {
      if (input === null) continue;
      createInterface({ input }).on("line", (line) => {
        this.lines.push(line);
        this.#onLine?.();
      });
    }
    this.#ended = new Promise((resolve) => this.#child.once("close", () => resolve()));
  }

  async seen(what: string, check: (lines: readonly string[]) => boolean): Promise<void> {
    while (!check(this.lines)) {
      const changed = new Promise<void>((resolve) => {
        this.#onLine = resolve;
      });
      try {
        await within(what, changed, 30_000);
      } catch (error) {
        throw new Error(`${what}; said: ${this.lines.slice(-20).join("\n")}`, { cause: error });
      }
    }
  }

  /** All of its standard input. */
  write(text: string): void {
    this.#child.stdin?.end(text);
  }

  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
    this.#child.kill(signal);
    await this.#ended;
  }
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** What `etcdctl` prints. */
function etcdctl(endpoint: string, ...args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const all = [`--endpoints=${endpoint}`, ...args];
    const env = { ...process.env, ETCDCTL_API: "3" };
    execFile("etcdctl", all, { env, timeout: 60_000 }, (error, stdout, stderr) => {
      if (error === null) resolve(stdout.trimEnd());
      else reject(new Error(`etcdctl ${args[0]}: ${stderr || error.message}`, { cause: error }));
    });
  });
}

async function startRelay(port: number, backend: string): Promise<Program> {
  const listen = `127.0.0.1:${port}`;
  const relay = new Program(process.execPath, [
    ...["dist/cli.js", "serve", "--listen", listen, "--backend", backend, "--grace-ms", "500"],
  ]);
  await relay.seen("the relay is connected", (lines) =>
    lines.some((line) => /^(grpc-relay: )?backend .* connected/.test(line)),
  );
  return relay;
}

const installed = ["etcd", "etcdctl"].every(
  (program) => spawnSync(program, ["--help"], { stdio: "ignore" }).error === undefined,
);
const note = installed ? "" : ", SKIPPED: not installed (Debian packages etcd-server, etcd-client)";
if (!installed) console.warn(`etcd behind a relay is not tested${note}`);

describe.skipIf(!installed)(`etcd behind grpc-relay serve${note}`, () => {
  const folder = mkdtempSync(join(tmpdir(), "relay-etcd-"));
  /** Where etcd listens, and where the relay in front of it does. */
  let direct = "";
  let relayed = "";
  let etcd: Program;
  let relay: Program;

  beforeAll(async () => {
    const [client, peer, port] = [await freePort(), await freePort(), await freePort()];
    direct = `127.0.0.1:${client}`;
    relayed = `127.0.0.1:${port}`;
    const [clients, peers] = [`http://${direct}`, `http://127.0.0.1:${peer}`];
    etcd = new Program("etcd", [
      ...["--data-dir", join(folder, "data"), "--log-level", "warn"],
      ...["--listen-client-urls", clients, "--advertise-client-urls", clients],
      ...["--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers],
      ...["--initial-cluster", `default=${peers}`],
    ]);
    relay = await startRelay(port, direct);
    await etcdctl(direct, "endpoint", "health");
  }, LIMIT_MS);

  afterAll(async () => {
    await relay?.stop();
    await etcd?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  /** `etcdctl watch` through the relay, once it is there. */
  async function watch(key: string): Promise<Program> {
    const watching = new Program("etcdctl", [`--endpoints=${relayed}`, "watch", key]);
    closeAtEnd(() => watching.stop());
    // It does not say when it has begun.
    for (let i = 0; !watching.lines.includes(`ready ${i - 1}`); i++) {
      await etcdctl(direct, "put", key, `ready ${i}`);
      await sleep(200);
    }
    return watching;
  }

  it("puts and gets, and says what is wrong as etcd does", async () => {
    expect(await etcdctl(relayed, "put", "greeting", "hello")).toBe("OK");
    expect(await etcdctl(relayed, "get", "greeting")).toBe("greeting\nhello");
    expect(await etcdctl(direct, "get", "greeting")).toBe("greeting\nhello");
    await expect(etcdctl(relayed, "get", "greeting", "--rev=999999")).rejects.toThrow(
      "etcdserver: mvcc: required revision is a future revision",
    );
  });

  it(
    "holds a watch for a minute of silence and for what comes after it",
    async () => {
      const watching = await watch("quiet");
      await sleep(60_000);
      await etcdctl(relayed, "put", "quiet", "after a minute");
      await watching.seen("the event", (lines) => lines.includes("after a minute"));
    },
    LIMIT_MS,
  );

  it(
    "keeps a lease alive as long as its owner asks, and no longer",
    async () => {
      const granted = await etcdctl(relayed, "lease", "grant", "3");
      const id = /^lease ([0-9a-f]+) granted with TTL\(3s\)$/.exec(granted)?.[1] ?? "";
      await etcdctl(relayed, "put", "leased", "still here", `--lease=${id}`);
      const keeping = new Program("etcdctl", [`--endpoints=${relayed}`, "lease", "keep-alive", id]);
      closeAtEnd(() => keeping.stop());
      const renewed = (lines: readonly string[]): number =>
        lines.filter((line) => line.includes("keepalived with TTL(3)")).length;
      // Each comes a second after the one before.
      await keeping.seen("twelve renewals", (lines) => renewed(lines) >= 12);
      expect(await etcdctl(direct, "get", "leased")).toBe("leased\nstill here");
      const watching = await watch("leased");
      await keeping.stop("SIGKILL");
      await etcdctl(direct, "put", "leased", "for the last time", `--lease=${id}`);
      await watching.seen("its end", (lines) => lines.includes("DELETE"));
    },
    LIMIT_MS,
  );

  it(
    "takes a snapshot of 25 MiB with the same hash",
    async () => {
      for (let i = 0; i < 25; i++) {
        // Text, because the client reads lines.
        const value = randomBytes(MEBIBYTE / 2).toString("hex");
        const put = new Program("etcdctl", [`--endpoints=${relayed}`, "put", `large/${i}`]);
        put.write(value);
        await put.seen("it is put", (lines) => lines.includes("OK"));
        await put.stop();
      }
      const snapshots = await Promise.all(
        [direct, relayed].map(async (endpoint, i) => {
          const path = join(folder, `snapshot-${i}`);
          await etcdctl(endpoint, "snapshot", "save", path);
          return {
            status: JSON.parse(await etcdctl(endpoint, "snapshot", "status", path, "-w=json")),
            hash: createHash("sha256").update(readFileSync(path)).digest("hex"),
            byteCount: readFileSync(path).length,
          };
        }),
      );
      expect(snapshots[1]?.byteCount).toBeGreaterThan(25 * MEBIBYTE);
      expect(snapshots[1]).toEqual(snapshots[0]);
    },
    LIMIT_MS,
  );

  it.each(["SIGTERM", "SIGKILL"] as const)(
    "loses no event of a watch when the relay is restarted under it by %s",
    async (signal) => {
      const key = `busy-${signal}`;
      const watching = await watch(key);
      const expected: string[] = [];
      const put = async (count: number): Promise<void> => {
        for (let i = 0; i < count; i++) {
          const value = `event ${expected.length}`;
          await etcdctl(direct, "put", key, value);
          expected.push(value);
        }
      };
      const port = Number(relayed.split(":")[1]);
      for (let restart = 0; restart < 3; restart++) {
        await put(20);
        const stopped = relay.stop(signal);
        await Promise.all([stopped, put(20)]);
        await put(5);
        relay = await startRelay(port, direct);
        await put(20);
      }
      await watching.seen("the last event", (lines) => lines.includes(expected.at(-1) ?? ""));
      expect(watching.lines.filter((line) => line.startsWith("event "))).toEqual(expected);
    },
    LIMIT_MS,
  );
});
