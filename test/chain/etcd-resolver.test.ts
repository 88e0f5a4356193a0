// The resolver of test/examples/etcd-resolver.ts with a real etcd. By hand: `npm run test:etcd`.

import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { freePort } from "../../bench/process/launch.ts";
import { type ClientConn, Frame, Server } from "../../src/index.ts";
import { formatAddress } from "../../src/transport/address.ts";
import { dialEtcd } from "../examples/etcd-resolver.ts";
import { closeAtEnd, within } from "../support/cleanup.ts";

let endpoint: string;
let etcd: ChildProcess;
let folder: string;

function etcdctl(...args: readonly string[]): void {
  const env = { ...process.env, ETCDCTL_API: "3" };
  execFileSync("etcdctl", [`--endpoints=${endpoint}`, ...args], { env });
}

beforeAll(async () => {
  const [client, peer] = [await freePort(), await freePort()];
  endpoint = `http://127.0.0.1:${client}`;
  folder = mkdtempSync(join(tmpdir(), "relay-etcd-"));
  const peers = `http://127.0.0.1:${peer}`;
  etcd = spawn("etcd", [
    ...["--data-dir", folder, "--name", "one", "--initial-cluster", `one=${peers}`],
    ...["--listen-client-urls", endpoint, "--advertise-client-urls", endpoint],
    ...["--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers],
  ]);
  const ready = async (): Promise<void> => {
    while (
      !(await fetch(`${endpoint}/health`).then(
        ({ ok }) => ok,
        () => false,
      ))
    ) {
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  };
  await within("etcd", ready(), 30_000);
});

afterAll(() => {
  etcd.kill("SIGKILL");
  rmSync(folder, { recursive: true, force: true });
});

async function backend(name: string): Promise<string> {
  const server = new Server({
    unknownServiceHandler: async (stream) => {
      await stream.sendMessage(Buffer.from(name));
    },
  });
  closeAtEnd(() => server.close());
  return formatAddress((await server.listen("127.0.0.1:0")).address);
}

async function ask(conn: ClientConn): Promise<string> {
  const call = conn.newStream("/a.B/Who", { waitForReady: true });
  call.closeSend();
  const answer = await call.recvMessage();
  return answer instanceof Frame ? answer.payload.toString() : String(answer);
}

it("follows keys that come and go, without a failed call", async () => {
  const [one, two] = [await backend("one"), await backend("two")];
  etcdctl("put", "shop/orders/1", one);
  etcdctl("put", "shop/other/1", "127.0.0.1:1");
  const conn = dialEtcd(endpoint, "shop/orders/");
  closeAtEnd(() => conn.close());
  expect(await ask(conn)).toBe("one");

  etcdctl("put", "shop/orders/2", two);
  const seen = new Set<string>();
  const both = async (): Promise<void> => {
    while (seen.size < 2) seen.add(await ask(conn));
  };
  await within("calls to both", both(), 10_000);

  etcdctl("del", "shop/orders/1");
  const onlyTheSecond = async (): Promise<void> => {
    for (let inARow = 0; inARow < 50; ) inARow = (await ask(conn)) === "two" ? inARow + 1 : 0;
  };
  await within("calls to the second alone", onlyTheSecond(), 10_000);
});
