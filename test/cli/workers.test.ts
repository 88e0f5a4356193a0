// `serve --workers`: processes from the build that `npm test` makes first.

import { once } from "node:events";
import { copyFileSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect } from "node:tls";
import { describe, expect, it, vi } from "vitest";
import { type ClientConn, dial, GrpcError, Server } from "../../src/index.ts";
import { formatAddress } from "../../src/transport/address.ts";
import { makeCertificate, pemFile } from "../support/certificate.ts";
import { closeAtEnd, within } from "../support/cleanup.ts";
import { PROCESS_LIMIT_MS } from "../support/patience.ts";
import { type Child, grpcRelay, grpcRelayBy } from "./process.ts";

// Each test starts some processes, one after the other.
vi.setConfig({ testTimeout: 4 * PROCESS_LIMIT_MS });

async function echoBackend(): Promise<string> {
  const server = new Server({
    unknownServiceHandler: async (stream) => {
      for await (const message of stream) await stream.sendMessage(message);
    },
  });
  closeAtEnd(() => server.close());
  return formatAddress((await server.listen("127.0.0.1:0")).address);
}

function workers(backend: string, ...args: readonly string[]): Child {
  return grpcRelay(
    ...["serve", "--listen", "127.0.0.1:0", "--backend", backend, "--workers", "2", ...args],
  );
}

const listening = (child: Child): Promise<string> => child.printed(/listening on (\S+)/);

async function begun(child: Child): Promise<void> {
  for (const number of [1, 2]) await child.printed(new RegExp(`worker ${number} serves`));
}

function client(address: string): ClientConn {
  const conn = dial(address);
  closeAtEnd(() => conn.close());
  return conn;
}

/** A call, once more when the server cannot have begun it, as gRPC clients do (gRFC A6). */
async function retriedUnary(conn: ClientConn): Promise<void> {
  try {
    await unary(conn);
  } catch (error) {
    if (!(error instanceof GrpcError) || error.retry !== "safe") throw error;
    await unary(conn);
  }
}

async function unary(conn: ClientConn): Promise<void> {
  const call = conn.newStream("/a.B/Unary");
  await call.sendMessage(Buffer.from("x"));
  call.closeSend();
  await call.recvMessage();
  await call.trailer();
}

/** A TLS connection that stays until the end of the test. */
async function handshake(
  port: number,
  ca: string,
  session: Buffer | undefined,
): Promise<{ isReused: boolean; session: Buffer }> {
  const socket = connect({
    ...{ host: "127.0.0.1", port, ca, servername: "localhost", ALPNProtocols: ["h2"] },
    // Its session is known once the handshake is over.
    maxVersion: "TLSv1.2",
    ...(session === undefined ? {} : { session }),
  });
  closeAtEnd(() => socket.destroy());
  // A worker that is replaced cuts it.
  socket.on("error", () => {});
  await within("handshake", once(socket, "secureConnect"), PROCESS_LIMIT_MS);
  return { isReused: socket.isSessionReused(), session: socket.getSession()! };
}

describe("grpc-relay serve --workers", () => {
  it("says once where it listens, deals connections out, and exits with 0", async () => {
    const child = workers(await echoBackend());
    const address = await listening(child);
    await begun(child);
    const conns = Array.from({ length: 10 }, () => client(address));
    await Promise.all(conns.map(unary));
    child.process.kill("SIGTERM");
    expect(await within("exit", child.exit, PROCESS_LIMIT_MS)).toBe(0);
    expect(child.output.match(/listening on/g)).toHaveLength(1);
    expect(child.output).toMatch(/worker 1: closing/);
    expect(child.output).toMatch(/worker 2: closing/);
  });

  it("gives each of two workers half of 100 connections, under load", async () => {
    const child = workers(await echoBackend());
    const address = await listening(child);
    await begun(child);
    let isOver = false;
    const load = Array.from({ length: 4 }, () => client(address));
    await Promise.all(load.map(unary));
    const busy = load.map(async (conn) => {
      while (!isOver) await unary(conn);
    });
    const streams = Array.from({ length: 100 }, () => client(address).newStream("/a.B/Stream"));
    await Promise.all(
      streams.map(async (stream) => {
        await stream.sendMessage(Buffer.from("x"));
        await stream.recvMessage();
      }),
    );
    isOver = true;
    await Promise.all(busy);
    child.process.kill("SIGTERM");
    for (const number of [1, 2]) {
      const line = new RegExp(`worker ${number}: closing: (\\d+) calls under way`);
      expect(await child.printed(line)).toBe("50");
    }
    for (const stream of streams) stream.closeSend();
    expect(await within("exit", child.exit, PROCESS_LIMIT_MS)).toBe(0);
  });

  it("deals connections again that a killed worker had not taken", async () => {
    const child = workers(await echoBackend());
    const address = await listening(child);
    await begun(child);
    const pid = Number(await child.printed(/worker 1 serves, process (\d+)/));
    // What is given to it now stays on its way.
    process.kill(pid, "SIGSTOP");
    const calls = Array.from({ length: 10 }, () => unary(client(address)));
    await Promise.race(calls);
    process.kill(pid, "SIGKILL");
    await Promise.all(calls);
    child.process.kill("SIGTERM");
    expect(await within("exit", child.exit, PROCESS_LIMIT_MS)).toBe(0);
  });

  it("resumes TLS sessions at any worker, also at one that was replaced", async () => {
    const { cert, key } = makeCertificate();
    const [certPath, keyPath] = [pemFile("cert", cert), pemFile("key", key)];
    const tls = ["--tls-cert", certPath, "--tls-key", keyPath];
    // Its clients speak no HTTP/2, and would be waited for.
    const child = workers(await echoBackend(), ...tls, "--grace-ms", "0");
    const port = Number((await listening(child)).replace(/^.*:/, ""));
    await begun(child);
    const first = await handshake(port, cert, undefined);
    expect(first.isReused).toBe(false);
    // Two at a time are at two workers, since each goes where there are fewer.
    const pair = [1, 2].map(() => handshake(port, cert, first.session));
    expect((await Promise.all(pair)).map(({ isReused }) => isReused)).toEqual([true, true]);
    child.process.kill("SIGUSR2");
    await child.printed(/worker 2 is replaced/);
    expect((await handshake(port, cert, first.session)).isReused).toBe(true);
    child.process.kill("SIGTERM");
    expect(await within("exit", child.exit, PROCESS_LIMIT_MS)).toBe(0);
  });

  it("says once what is wrong, and exits with the code that a process alone has", async () => {
    const taken = await echoBackend();
    const child = grpcRelay(
      ...["serve", "--listen", taken, "--backend", "127.0.0.1:1", "--workers", "3"],
    );
    expect(await within("exit", child.exit, PROCESS_LIMIT_MS)).toBe(1);
    expect(child.output).toBe(
      `grpc-relay: expected an address to listen on, got ${taken}: it is in use (EADDRINUSE)\n`,
    );
  });

  it("starts another worker when one dies", async () => {
    const child = workers(await echoBackend());
    const address = await listening(child);
    await begun(child);
    process.kill(Number(await child.printed(/worker 1 serves, process (\d+)/)), "SIGKILL");
    await child.printed(/worker 1 died: SIGKILL; another one starts in 250 ms/);
    await child.printed(/worker 1 died.*\n(?:.*\n)*worker 1 serves/);
    await Promise.all(Array.from({ length: 4 }, () => unary(client(address))));
    child.process.kill("SIGINT");
    expect(await within("exit", child.exit, PROCESS_LIMIT_MS)).toBe(0);
  });

  it("kills a worker that does not end when its grace is over, and 5 s more", async () => {
    const child = workers(await echoBackend(), "--grace-ms", "0");
    await begun(child);
    const pid = Number(await child.printed(/worker 1 serves, process (\d+)/));
    process.kill(pid, "SIGSTOP");
    child.process.kill("SIGTERM");
    await child.printed(new RegExp(`process ${pid} does not end, and is killed`));
    expect(await within("exit", child.exit, PROCESS_LIMIT_MS)).toBe(1);
  });

  it("goes on when the system starts no process, and starts one later", async () => {
    const folder = mkdtempSync(join(tmpdir(), "grpc-relay-"));
    closeAtEnd(() => rmSync(folder, { recursive: true }));
    const node = join(folder, "node");
    copyFileSync(process.execPath, node);
    const child = grpcRelayBy(
      node,
      ...["serve", "--listen", "127.0.0.1:0", "--backend", await echoBackend(), "--workers", "2"],
    );
    const address = await listening(child);
    await begun(child);
    renameSync(node, `${node}.away`);
    process.kill(Number(await child.printed(/worker 1 serves, process (\d+)/)), "SIGKILL");
    await child.printed(/worker 1: spawn .* ENOENT\n.*worker 1 died: exit code 1; another one/);
    await unary(client(address));
    renameSync(`${node}.away`, node);
    await child.printed(/ENOENT\n(?:.*\n)*worker 1 serves/);
    child.process.kill("SIGTERM");
    expect(await within("exit", child.exit, PROCESS_LIMIT_MS)).toBe(0);
  });

  it("starts no second one for a seat that is replaced while it waits for another one", async () => {
    const child = workers(await echoBackend());
    await begun(child);
    process.kill(Number(await child.printed(/worker 1 serves, process (\d+)/)), "SIGKILL");
    await child.printed(/worker 1 died: SIGKILL; another one starts in 250 ms/);
    child.process.kill("SIGUSR2");
    await child.printed(/worker 1 is replaced/);
    await child.printed(/worker 2 is replaced/);
    child.process.kill("SIGTERM");
    expect(await within("exit", child.exit, PROCESS_LIMIT_MS)).toBe(0);
    expect(child.output.match(/worker 1: closing/g)).toHaveLength(1);
  });

  it.each(["engine", "node"])(
    "replaces its workers on SIGUSR2 without a failed call (%s)",
    async (transport) => {
      const child = workers(await echoBackend(), "--transport", transport);
      const address = await listening(child);
      await begun(child);
      const conns = Array.from({ length: 8 }, () => client(address));
      const failed: unknown[] = [];
      let replaced = false;
      let callCount = 0;
      const busy = conns.map(async (conn) => {
        while (!replaced) {
          await retriedUnary(conn).catch((error: unknown) => failed.push(error));
          callCount++;
        }
      });
      // Open before, and used in the middle and after: the old workers wait for them.
      const streams = conns.map((conn) => conn.newStream("/a.B/Stream"));
      for (const stream of streams) {
        await stream.sendMessage(Buffer.from("before"));
        await stream.recvMessage();
      }
      child.process.kill("SIGUSR2");
      await child.printed(/worker 1: closing: \d+ calls? under way/);
      for (const stream of streams) {
        await stream.sendMessage(Buffer.from("meanwhile"));
        await stream.recvMessage();
        stream.closeSend();
        await stream.trailer();
      }
      await child.printed(/worker 1 is replaced/);
      await child.printed(/worker 2 is replaced/);
      replaced = true;
      await Promise.all(busy);
      expect(failed).toEqual([]);
      expect(callCount).toBeGreaterThan(0);
      child.process.kill("SIGTERM");
      expect(await within("exit", child.exit, PROCESS_LIMIT_MS)).toBe(0);
    },
  );

  it("keeps its workers when it is told to replace them and the new ones cannot begin", async () => {
    const { cert, key } = makeCertificate();
    const [certPath, keyPath] = [pemFile("cert", cert), pemFile("key", key)];
    const child = workers(await echoBackend(), "--tls-cert", certPath, "--tls-key", keyPath);
    const address = await listening(child);
    await begun(child);
    writeFileSync(certPath, "no certificate");
    child.process.kill("SIGUSR2");
    await child.printed(/worker 1 is not replaced: the new one ended \(exit code 1\)/);
    const conn = dial(address, { tls: { ca: cert } });
    closeAtEnd(() => conn.close());
    await unary(conn);
    child.process.kill("SIGTERM");
    expect(await within("exit", child.exit, PROCESS_LIMIT_MS)).toBe(0);
  });
});
