import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { describe, expect, it } from "vitest";
import { type ConnStateEvent, Frame, Metadata, type StreamHandler } from "../../src/index.ts";
import { formatAddress, parseAddress } from "../../src/transport/address.ts";
import { ErrorCode } from "../../src/wire/error-code.ts";
import { makeCertificate, pemFile } from "../support/certificate.ts";
import { closeAtEnd, socketPath, within } from "../support/cleanup.ts";
import { frames, settingsOf } from "../support/frames.ts";
import { eventually } from "../support/relay-fixture.ts";
import { ScriptedClient, ScriptedServer } from "../support/scripted-endpoints.ts";
import { backend, callEcho, client, echo, echoed, listening, startServe } from "./serving.ts";
import { runToEnd, start } from "./terminal.ts";

/** Waits for the next attempt at `target` that fails. */
function failedToConnect(target: string): Promise<void> {
  const failed = new Promise<void>((resolve) => {
    const look = (message: unknown): void => {
      const event = message as ConnStateEvent;
      if (event.target === target && event.state === "transientFailure") resolve();
    };
    subscribe("grpc-relay:conn:state", look);
    closeAtEnd(() => unsubscribe("grpc-relay:conn:state", look));
  });
  return within(`a failed attempt at ${target}`, failed);
}

describe.each(["engine", "node"] as const)("grpc-relay serve --transport %s", (transport) => {
  it("passes calls on, metadata and all, and closes on a signal", async () => {
    const { address } = await backend(async (stream) => {
      stream.setTrailer(Metadata.from({ got: stream.context.metadata.first("x-token") ?? "" }));
      await stream.sendMessage(await stream.recvMessage());
    });
    const { terminal, exitCode } = startServe(
      transport,
      ...["--listen", "127.0.0.1:0", "--backend", address],
    );
    const conn = client(await listening(terminal));
    const call = conn.newStream("/a.B/C", { metadata: Metadata.from({ "x-token": "abc" }) });
    await call.sendMessage(Buffer.from("hi"));
    call.closeSend();
    expect(await call.recvMessage()).toEqual(new Frame(Buffer.from("hi")));
    expect((await call.trailer()).get("got")).toEqual(["abc"]);
    terminal.signal();
    expect(await within("exit", exitCode)).toBe(0);
  });

  it("listens on several addresses, UNIX sockets among them, and reaches a backend on one", async () => {
    const path = socketPath();
    const { address } = await backend(echo, `unix:${socketPath()}`);
    const { terminal } = startServe(
      transport,
      ...["--listen", "127.0.0.1:0", "--listen", `unix:${path}`, "--backend", address],
    );
    await terminal.line(/listening on unix:/);
    expect(await echoed(client(await listening(terminal)), "tcp")).toBe("tcp");
    expect(await echoed(client(`unix:${path}`), "unix")).toBe("unix");
  });

  it("sends a copy of each request to every secondary, and drops their answers", async () => {
    const seen: string[] = [];
    const copy =
      (name: string): StreamHandler<Frame, Frame> =>
      async (stream) => {
        for await (const { payload } of stream) seen.push(`${name} ${payload}`);
        throw new Error("nobody hears this");
      };
    const primary = await backend(echo);
    const one = await backend(copy("one"));
    const two = await backend(copy("two"));
    const { terminal } = startServe(
      transport,
      ...["--listen", "127.0.0.1:0", "--backend", primary.address],
      ...["--secondary", one.address, "--secondary", two.address],
    );
    const address = await listening(terminal);
    const call = callEcho(client(address), "copied");
    expect(await call.recvMessage()).toEqual(new Frame(Buffer.from("copied")));
    await call.trailer();
    await eventually("both have it", () => seen.length === 2);
    expect(seen.sort()).toEqual(["one copied", "two copied"]);
  });

  it("waits for no secondary that does not answer, and ends with it still at work", async () => {
    const primary = await backend(echo);
    let got = 0;
    const silent = await backend(async (stream) => {
      await stream.recvMessage();
      got++;
      await new Promise((resolve) => stream.context.signal.addEventListener("abort", resolve));
    });
    const { terminal, exitCode } = startServe(
      transport,
      ...["--listen", "127.0.0.1:0", "--backend", primary.address],
      ...["--secondary", silent.address],
    );
    const conn = client(await listening(terminal));
    for (const text of ["one", "two"]) expect(await echoed(conn, text)).toBe(text);
    await eventually("it has both", () => got === 2);
    terminal.signal();
    expect(await within("exit", exitCode)).toBe(0);
  });

  it("does without a secondary that cannot be reached", async () => {
    const primary = await backend(echo);
    const { terminal } = startServe(
      transport,
      ...["--listen", "127.0.0.1:0", "--backend", primary.address],
      ...["--secondary", `unix:${socketPath()}`],
    );
    const conn = client(await listening(terminal));
    await terminal.line(/secondary unix:.* unreachable, calls go on without it: /);
    const call = callEcho(conn, "alone");
    expect(await call.recvMessage()).toEqual(new Frame(Buffer.from("alone")));
    await call.trailer();
  });

  it("with --peek waits for the first message before the backend is asked", async () => {
    let calls = 0;
    const { address } = await backend(async (stream) => {
      calls++;
      await echo(stream as never);
    });
    const { terminal } = startServe(
      transport,
      ...["--listen", "127.0.0.1:0", "--backend", address, "--peek"],
    );
    const conn = client(await listening(terminal));
    const call = conn.newStream("/a.B/C");
    // The second call is through while the first, without a message, is not.
    expect(await echoed(conn, "first")).toBe("first");
    expect(calls).toBe(1);
    await call.sendMessage(Buffer.from("second"));
    expect(await call.recvMessage()).toEqual(new Frame(Buffer.from("second")));
    expect(calls).toBe(2);
    call.cancel();
  });

  it("with --peek passes a call without messages on", async () => {
    const { address } = await backend(echo);
    const { terminal } = startServe(
      transport,
      ...["--listen", "127.0.0.1:0", "--backend", address, "--peek"],
    );
    const call = client(await listening(terminal)).newStream("/a.B/C");
    call.closeSend();
    await call.trailer();
  });

  it.each([
    ["in a compression that nobody here knows", Buffer.from("\xff\xfe"), "snappy"],
    ["compressed by its flag alone", Buffer.from("x"), undefined],
    ["damaged", Buffer.from("no gzip"), "gzip"],
    ["compressed, of no bytes", Buffer.alloc(0), "gzip"],
    ["compressed, of no bytes, in a compression that nobody here knows", Buffer.alloc(0), "br"],
  ])("with --peek passes on a message that is %s", async (_what, payload, encoding) => {
    const { address } = await backend(echo);
    const { terminal } = start(
      ...["serve", "--listen", "127.0.0.1:0", "--backend", address, "--peek"],
    );
    const metadata = encoding === undefined ? {} : { "grpc-encoding": encoding };
    const call = client(await listening(terminal)).newStream("/a.B/C", {
      metadata: Metadata.from(metadata),
    });
    const frame = new Frame(payload, true);
    await call.sendMessage(frame);
    expect(await call.recvMessage()).toEqual(frame);
    call.closeSend();
    await call.trailer();
  });

  it("with --peek passes on a message that is larger than what it waits for", async () => {
    const { address } = await backend(async () => {});
    const { terminal } = start(
      ...["serve", "--listen", "127.0.0.1:0", "--backend", address, "--peek"],
    );
    const call = client(await listening(terminal)).newStream("/a.B/C");
    call.sendMessage(Buffer.alloc(4_194_305)).catch(() => undefined);
    await call.trailer();
  });

  it("says once that the backend cannot be reached, and when it is there and lost, and answers UNAVAILABLE meanwhile", async () => {
    const path = socketPath();
    const { terminal } = startServe(
      transport,
      "--listen",
      "127.0.0.1:0",
      "--backend",
      `unix:${path}`,
    );
    const conn = client(await listening(terminal));
    await terminal.line(/backend unix:.* unreachable/);
    await expect(echoed(conn, "early")).rejects.toMatchObject({ status: 14 });
    await failedToConnect(`unix:${path}`);
    await expect(echoed(conn, "early")).rejects.toMatchObject({ status: 14 });
    const { server } = await backend(echo, `unix:${path}`);
    await terminal.line(/backend unix:.* connected/);
    expect(await echoed(conn, "late")).toBe("late");
    await server.close();
    await expect(echoed(conn, "gone")).rejects.toMatchObject({ status: 14 });
    await terminal.line(/backend unix:.* lost: /);
    await eventually("it is unreachable again", () =>
      /unreachable/.test(terminal.err.at(-1) ?? ""),
    );
    const changes = terminal.err.map((line) => line.replace(`backend unix:${path} `, ""));
    expect(changes).toEqual([
      "connecting: asked to connect",
      "unreachable, calls get UNAVAILABLE: connect ENOENT",
      "connected",
      "lost: the server is going away: NO_ERROR",
      "unreachable, calls get UNAVAILABLE: connect ENOENT",
    ]);
  });

  it("says that the backend was lost, and why, when it is back at once", async () => {
    const scripted = await ScriptedServer.listen();
    const { terminal } = startServe(
      transport,
      ...["--listen", "127.0.0.1:0", "--backend", formatAddress(scripted.address)],
    );
    const peer = await scripted.connection();
    await terminal.line(/ connected$/);
    peer.destroy();
    await scripted.connection();
    await terminal.line(/ connected again$/);
    const name = `backend ${formatAddress(scripted.address)} `;
    const said = terminal.err.map((line) => line.replace(name, ""));
    expect(said).toEqual([
      "connecting: asked to connect",
      "connected",
      expect.stringMatching(/^lost: (?:closed the connection|read ECONNRESET|connection closed)$/),
      "connected again",
    ]);
  });

  it("lets a call finish after the first signal, and ends it at the second", async () => {
    const { address } = await backend(echo);
    const { terminal, exitCode } = startServe(
      transport,
      ...["--listen", "127.0.0.1:0", "--backend", address, "--grace-ms", "600000"],
    );
    const conn = client(await listening(terminal));
    const call = conn.newStream("/a.B/C");
    await call.sendMessage(Buffer.from("one"));
    await call.recvMessage();
    terminal.signal();
    await terminal.line(/closing: 1 call under way, at most 600000 ms/);
    // Passed on a second time by whoever started the process: one signal all the same.
    terminal.signal();
    await call.sendMessage(Buffer.from("two"));
    expect(await call.recvMessage()).toEqual(new Frame(Buffer.from("two")));
    const again = setInterval(() => terminal.signal(), 50);
    closeAtEnd(() => clearInterval(again));
    await expect(within("the end of the call", call.recvMessage())).rejects.toMatchObject({
      status: 14,
      reason: "UPSTREAM_STATUS",
    });
    expect(await within("exit", exitCode)).toBe(1);
  });

  it("ends calls when the grace is over", async () => {
    const { address } = await backend(echo);
    const { terminal, exitCode } = startServe(
      transport,
      ...["--listen", "127.0.0.1:0", "--backend", address, "--grace-ms", "30"],
    );
    const call = client(await listening(terminal)).newStream("/a.B/C");
    await call.sendMessage(Buffer.from("one"));
    await call.recvMessage();
    terminal.signal();
    await expect(call.recvMessage()).rejects.toMatchObject({ status: 14 });
    expect(await within("exit", exitCode)).toBe(0);
  });

  it("logs who was refused, and why, once for each kind", async () => {
    const { address } = await backend(echo);
    const { terminal } = startServe(
      transport,
      ...["--listen", "127.0.0.1:0", "--backend", address],
    );
    const at = parseAddress(await listening(terminal)) as { host: string; port: number };
    for (let i = 0; i < 3; i++) {
      const peer = await ScriptedClient.connect(at, { handshake: false });
      peer.socket.write("GET / HTTP/1.1\r\n\r\n");
      await peer.expectClosed();
    }
    await terminal.line(/^client 127\.0\.0\.1:\d+ refused: .*(HTTP\/1\.1 \(GET\)|magic)/);
    const lines = (): string[] => terminal.err.filter((line) => line.includes("refus"));
    expect(lines()).toHaveLength(1);
    terminal.signal();
    await terminal.line(/^2 more refusals like those above within 60 s$/);
  });

  it("logs a handshake that failed once", async () => {
    const { cert, key } = makeCertificate();
    const { address } = await backend(echo);
    const { terminal } = startServe(
      transport,
      ...["--listen", "127.0.0.1:0", "--backend", address],
      ...["--tls-cert", pemFile("cert", cert), "--tls-key", pemFile("key", key)],
    );
    const at = parseAddress(await listening(terminal)) as { host: string; port: number };
    const peer = await ScriptedClient.connect(at, { handshake: false });
    peer.socket.write("GET / HTTP/1.1\r\n\r\n");
    await terminal.line(/^client 127\.0\.0\.1:\d+ refused: failed the TLS handshake: http request/);
    expect(terminal.err.filter((line) => /refused|failed/.test(line))).toHaveLength(1);
  });

  it("announces on both sides how large headers may be", async () => {
    const upstream = await ScriptedServer.listen({ handshake: false });
    const { terminal } = startServe(
      transport,
      ...["--listen", "127.0.0.1:0", "--backend", formatAddress(upstream.address)],
      ...["--max-header-bytes", "1048576"],
    );
    const downstream = await ScriptedClient.connect(parseAddress(await listening(terminal)), {
      handshake: false,
    });
    downstream.send(frames.preface(), frames.settings());
    for (const peer of [downstream, await upstream.connection()]) {
      const { frame } = await peer.expectSettings();
      expect(settingsOf(frame)).toContainEqual(["MAX_HEADER_LIST_SIZE", 1_048_576]);
    }
  });

  it("waits on both sides for SETTINGS to be acknowledged as long as it is told to", async () => {
    const silent = { ackSettings: false };
    const upstream = await ScriptedServer.listen(silent);
    const { terminal } = startServe(
      transport,
      ...["--listen", "127.0.0.1:0", "--backend", formatAddress(upstream.address)],
      ...["--settings-timeout-ms", "200"],
    );
    const downstream = await ScriptedClient.connect(
      parseAddress(await listening(terminal)),
      silent,
    );
    const peers = [downstream, await upstream.connection()];
    for (const peer of peers) await peer.expectGoAway(ErrorCode.SETTINGS_TIMEOUT);
  });

  it("listens with TLS", async () => {
    const { cert, key } = makeCertificate();
    const { address } = await backend(echo);
    const { terminal } = startServe(
      transport,
      ...["--listen", "127.0.0.1:0", "--backend", address],
      ...["--tls-cert", pemFile("cert", cert), "--tls-key", pemFile("key", key)],
    );
    const conn = client(await listening(terminal), { tls: { ca: cert } });
    expect(await echoed(conn, "secret")).toBe("secret");
  });
});

describe("grpc-relay serve", () => {
  it("answers a port in use with one line and exit code 1", async () => {
    const { address } = await backend(echo);
    expect(await runToEnd("serve", "--listen", address, "--backend", address)).toEqual({
      code: 1,
      out: "",
      err: `grpc-relay: expected an address to listen on, got ${address}: it is in use (EADDRINUSE)`,
    });
  });

  it("does not take over a UNIX socket on which somebody listens, whatever they speak", async () => {
    const path = socketPath();
    const other = createServer((socket) => socket.destroy());
    await new Promise<void>((resolve) => other.listen(path, resolve));
    closeAtEnd(() => other.close());
    const { code, err } = await runToEnd("serve", "--listen", `unix:${path}`, "--backend", "a:1");
    expect(code).toBe(1);
    expect(err).toBe(
      `grpc-relay: expected an address to listen on, got unix:${path}: it is in use (EADDRINUSE)`,
    );
  });

  it("does not remove a file that is no socket", async () => {
    const path = socketPath();
    writeFileSync(path, "precious");
    const { code, err } = await runToEnd("serve", "--listen", `unix:${path}`, "--backend", "a:1");
    expect([code, err]).toEqual([1, expect.stringContaining("it is in use")]);
  });

  it("answers a certificate that cannot be read with one line and exit code 1", async () => {
    const { code, err } = await runToEnd(
      ...["serve", "--listen", "127.0.0.1:0", "--backend", "a:1"],
      ...["--tls-cert", "/nowhere/c.pem", "--tls-key", "/nowhere/k.pem"],
    );
    expect(code).toBe(1);
    expect(err).toMatch(
      /^grpc-relay: --tls-cert: expected a file that can be read, got \/nowhere\/c.pem: ENOENT/,
    );
  });

  it.each<[string, string, string, RegExp]>([
    ["of another pair", makeCertificate().cert, makeCertificate().key, /^key values mismatch$/],
    ["of which one is no certificate", "cert", makeCertificate().key, /^no start line$/],
    ["of which one is no key", makeCertificate().cert, "key", /^[\w ]+$/],
  ])(
    "answers a certificate and a key %s with one line and exit code 1",
    async (_, cert, key, reason) => {
      const [certPath, keyPath] = [pemFile("cert", cert), pemFile("key", key)];
      const { code, out, err } = await runToEnd(
        ...["serve", "--listen", "127.0.0.1:0", "--backend", "a:1"],
        ...["--tls-cert", certPath, "--tls-key", keyPath],
      );
      expect([code, out]).toEqual([1, ""]);
      const expected = `grpc-relay: --tls-cert, --tls-key: expected a certificate chain and its private key, as PEM and not encrypted, got ${certPath} and ${keyPath}: `;
      expect(err.slice(0, expected.length)).toBe(expected);
      expect(err.slice(expected.length)).toMatch(reason);
    },
  );
});
