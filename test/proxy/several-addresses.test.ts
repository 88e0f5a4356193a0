// A relay before backends at several addresses, on real sockets: what is lost when they come and
// go.

import { createServer as createHttp2Server, type Http2Server } from "node:http2";
import type { Socket } from "node:net";
import { describe, expect, it } from "vitest";
import type { ClientConn } from "../../src/client/client-conn.ts";
import { dial } from "../../src/client/dial.ts";
import type { DialOptions } from "../../src/client/dial-options.ts";
import type { DialTarget } from "../../src/client/target.ts";
import { Frame } from "../../src/grpc/frame.ts";
import { Metadata } from "../../src/grpc/metadata.ts";
import { Status } from "../../src/grpc/status.ts";
import { StreamParameters } from "../../src/proxy/director.ts";
import { Server } from "../../src/server/server.ts";
import { formatAddress } from "../../src/transport/address.ts";
import type { ClientTlsOptions } from "../../src/transport/tls.ts";
import { ErrorCode } from "../../src/wire/error-code.ts";
import { makeCertificate } from "../support/certificate.ts";
import { closeAtEnd, within } from "../support/cleanup.ts";
import { type TransportCombo, transportCombos } from "../support/combos.ts";
import { frames, trailersOnly } from "../support/frames.ts";
import { answerLookups } from "../support/lookup.ts";
import { dialTo, eventually, listenRelay, PATH, watchConn } from "../support/relay-fixture.ts";
import { ScriptedServer } from "../support/scripted-endpoints.ts";

/** A backend that answers each message with its name, until it is told to go. */
class Backend {
  readonly name: string;
  readonly server: Server;
  calls = 0;
  /** Calls of `Hold` that have not been let go. */
  held: (() => void)[] = [];

  constructor(combo: TransportCombo, name: string) {
    this.name = name;
    this.server = new Server({ transport: combo.server });
    this.server.register("test.Service", {
      Method: async (stream) => {
        this.calls++;
        await stream.recvMessage();
        await stream.sendMessage(Buffer.from(name));
      },
      Hold: () => new Promise<void>((resolve) => this.held.push(resolve)),
    });
    closeAtEnd(() => this.server.close());
  }

  static async listen(combo: TransportCombo, address: string, name = address): Promise<Backend> {
    const backend = new Backend(combo, name);
    await backend.server.listen(address);
    return backend;
  }
}

/** Backends at 127.0.0.1, 127.0.0.2, ... of one port. */
async function listenAll(combo: TransportCombo, count: number): Promise<Backend[]> {
  const first = new Backend(combo, "127.0.0.1");
  const { address } = await first.server.listen("127.0.0.1:0");
  const { port } = address as { port: number };
  const all = [first];
  for (let i = 2; i <= count; i++) {
    all.push(await Backend.listen(combo, `127.0.0.${i}:${port}`, `127.0.0.${i}`));
  }
  ports.set(all, port);
  return all;
}

const ports = new WeakMap<readonly Backend[], number>();

/** A client of a relay that sends all calls to `target`. */
async function relayTo(combo: TransportCombo, target: DialTarget, options: DialOptions = {}) {
  const upstream = watchConn(dial(target, { transport: combo.client, ...options }));
  const { address } = await listenRelay(combo, (ctx) => {
    const [hashKey] = ctx.metadata.get("x-key");
    const callOptions = hashKey === undefined ? {} : { hashKey: String(hashKey) };
    return new StreamParameters({ conn: upstream }, [], undefined, callOptions);
  });
  return { upstream, client: dialTo(combo, address) };
}

async function ask(client: ClientConn, options = {}): Promise<string> {
  const call = client.newStream<Buffer, Frame>(PATH, options);
  call.sendMessage(Buffer.from("who?")).catch(() => undefined);
  call.closeSend();
  const answer = await call.recvMessage();
  await call.trailer();
  return answer instanceof Frame ? answer.payload.toString() : "nothing";
}

/** Calls, `width` at a time, until `isOver`. */
async function load(client: ClientConn, width: number, isOver: () => boolean) {
  const answers = new Map<string, number>();
  const failures: unknown[] = [];
  const caller = async (): Promise<void> => {
    while (!isOver()) {
      await ask(client).then(
        (answer) => answers.set(answer, (answers.get(answer) ?? 0) + 1),
        (error: unknown) => failures.push(error),
      );
    }
  };
  await Promise.all(Array.from({ length: width }, caller));
  return { answers, failures };
}

describe.each(transportCombos)("a relay from $server to several addresses on $client", (combo) => {
  it("loses nothing when the five addresses of a name change under load", async () => {
    const backends = await listenAll(combo, 5);
    const listed = ["127.0.0.1", "127.0.0.2", "127.0.0.3"];
    const { upstream, client } = await relayTo(combo, `orders.test:${ports.get(backends)}`, {
      balancing: "roundRobin",
      minResolveIntervalMs: 0,
    });
    answerLookups(listed);
    await upstream.ready();
    let isOver = false;
    const loaded = load(client, 8, () => isOver);
    const hasCalls = (i: number) => {
      const before = backends[i]?.calls ?? 0;
      return eventually(`${i} gets calls`, () => (backends[i]?.calls ?? 0) > before + 20);
    };
    await hasCalls(0);
    // The first goes, the last two come; DNS says so before the first goes.
    listed.splice(0, 1, "127.0.0.4", "127.0.0.5");
    await backends[0]?.server.close(60_000);
    await Promise.all([hasCalls(1), hasCalls(3), hasCalls(4)]);
    expect(upstream.addresses.map(({ address }) => address.split(":")[0])).toEqual([
      "127.0.0.4",
      "127.0.0.5",
      "127.0.0.2",
      "127.0.0.3",
    ]);
    isOver = true;
    const { answers, failures } = await within("the end of the load", loaded, 10_000);
    expect(failures).toEqual([]);
    expect(answers.size).toBe(5);
  });

  it("loses nothing in a rolling restart: each backend says GOAWAY, goes, and comes back", async () => {
    const backends = await listenAll(combo, 3);
    const targets = backends.map(({ name }) => `${name}:${ports.get(backends)}`);
    const { upstream, client } = await relayTo(combo, targets, {
      balancing: "leastRequest",
      backoff: { initialMs: 10, maxMs: 10 },
    });
    await upstream.ready();
    let isOver = false;
    const loaded = load(client, 8, () => isOver);
    for (const [i, target] of targets.entries()) {
      await eventually("all are ready", () =>
        upstream.addresses.every(({ state }) => state === "ready"),
      );
      await backends[i]?.server.close(60_000);
      const back = await Backend.listen(combo, target);
      await eventually("it gets calls again", () => back.calls > 10);
    }
    isOver = true;
    const { failures } = await within("the end of the load", loaded, 10_000);
    expect(failures).toEqual([]);
  });

  it("loses the calls under way alone when one of three is killed", async () => {
    const killed = await KillableBackend.listen();
    const others = await listenAll(combo, 2);
    const targets = [killed.target, ...others.map(({ name }) => `${name}:${ports.get(others)}`)];
    const { upstream, client } = await relayTo(combo, targets, { balancing: "roundRobin" });
    upstream.connect();
    await eventually("all are ready", () =>
      upstream.addresses.every(({ state }) => state === "ready"),
    );
    const under = Array.from({ length: 6 }, () => client.newStream("/test.Service/Hold"));
    const endings = under.map((call) =>
      call.trailer().then(
        () => "OK",
        (error: { status: number }) => error.status,
      ),
    );
    const heldBy = [killed, ...others].map(({ held }) => held);
    await eventually("all are under way", () => heldBy.every(({ length }) => length === 2));
    killed.kill();
    await eventually("it is noticed", () => upstream.addresses[0]?.state !== "ready");
    const answers = await Promise.all(Array.from({ length: 20 }, () => ask(client)));
    expect(new Set(answers)).toEqual(new Set(others.map(({ name }) => name)));
    for (const letGo of others.flatMap(({ held }) => held)) letGo();
    const ended = await Promise.all(endings);
    expect(ended.sort()).toEqual([Status.UNAVAILABLE, Status.UNAVAILABLE, "OK", "OK", "OK", "OK"]);
  });

  it.each(["REFUSED_STREAM", "GOAWAY"])(
    "sends a call that one address refuses by %s to another one",
    async (how) => {
      const scripted = [await ScriptedServer.listen(), await ScriptedServer.listen()] as const;
      const { upstream, client } = await relayTo(
        combo,
        scripted.map(({ address }) => formatAddress(address)),
        { balancing: "roundRobin", random: () => 0 },
      );
      upstream.connect();
      const [first, second] = [await scripted[0].connection(), await scripted[1].connection()];
      await eventually("all are ready", () =>
        upstream.addresses.every(({ state }) => state === "ready"),
      );
      const call = client.newStream(PATH);
      call.closeSend();
      const refused = await first.expectRequest(PATH);
      // In turn, the second is next, then the first again; the refused call skips it.
      const other = client.newStream(PATH);
      const { streamId: otherId } = await second.expectRequest(PATH);
      if (how === "GOAWAY") first.send(frames.goaway(0, ErrorCode.NO_ERROR));
      else first.send(frames.rst(refused.streamId, ErrorCode.REFUSED_STREAM));
      const { streamId } = await second.expectRequest(PATH);
      for (const id of [otherId, streamId]) {
        second.send(frames.headers(id, trailersOnly(0), { endStream: true }));
      }
      await call.trailer();
      await other.trailer();
    },
  );

  it("sends calls with the same key to the same address", async () => {
    const backends = await listenAll(combo, 4);
    const targets = backends.map(({ name }) => `${name}:${ports.get(backends)}`);
    const { upstream, client } = await relayTo(combo, targets, { balancing: "ringHash" });
    const byKey = (key: number) => ask(client, { metadata: Metadata.from({ "x-key": `${key}` }) });
    let asked = 0;
    // Each address is connected with the first call for it.
    while (upstream.addresses.some(({ state }) => state !== "ready")) await byKey(asked++);
    const answers = await Promise.all(Array.from({ length: 40 }, (_, key) => byKey(key)));
    expect(new Set(answers).size).toBe(4);
    const again = await Promise.all(Array.from({ length: 40 }, (_, key) => byKey(key)));
    expect(again).toEqual(answers);
  });
});

/** A backend whose sockets are cut, without a word. */
class KillableBackend {
  readonly target: string;
  readonly held: (() => void)[] = [];
  readonly #http2Server: Http2Server;
  readonly #sockets = new Set<Socket>();

  private constructor(http2Server: Http2Server) {
    this.#http2Server = http2Server;
    const { port } = http2Server.address() as { port: number };
    this.target = `127.0.0.1:${port}`;
    http2Server.on("connection", (socket: Socket) => this.#sockets.add(socket));
    const server = new Server();
    server.register("test.Service", {
      Method: (stream) => stream.sendMessage(Buffer.from("killed")),
      Hold: () => new Promise<void>((resolve) => this.held.push(resolve)),
    });
    server.attach(http2Server);
    closeAtEnd(() => {
      this.kill();
      return server.close();
    });
  }

  static async listen(): Promise<KillableBackend> {
    const http2Server = createHttp2Server();
    await new Promise<void>((resolve) => http2Server.listen(0, "127.0.0.1", resolve));
    return new KillableBackend(http2Server);
  }

  kill(): void {
    this.#http2Server.close();
    for (const socket of this.#sockets) socket.destroy();
    for (const letGo of this.held) letGo();
  }
}

describe.each(["engine", "node"] as const)("a name on %s", (transport) => {
  it.each([
    ["lookup", false],
    ["lookup, of TLS settings that are asked for each time", true],
  ])("is looked up by the user's %s, and its certificate is that of the name", async (_, asks) => {
    const { cert, key } = makeCertificate("orders.test");
    const combo = { server: transport, client: transport };
    const backend = new Backend(combo, "orders");
    const { address } = await backend.server.listen("127.0.0.1:0", { tls: { cert, key } });
    const { port } = address as { port: number };
    const asked: string[] = [];
    const tls: ClientTlsOptions = {
      ca: cert,
      lookup: (host, _options, callback) => {
        asked.push(host);
        callback(null, "127.0.0.1", 4);
      },
    };
    const conn = dial(`dns:///orders.test:${port}`, { transport, tls: asks ? () => tls : tls });
    watchConn(conn);
    expect(await ask(conn)).toBe("orders");
    expect(asked).toEqual(["orders.test"]);
    expect(conn.addresses).toMatchObject([{ address: `127.0.0.1:${port}`, state: "ready" }]);
  });

  it("that is not known fails calls with UNAVAILABLE, without a word of the name", async () => {
    answerLookups(
      Object.assign(new Error("getaddrinfo ENOTFOUND orders.test"), { code: "ENOTFOUND" }),
    );
    const conn = watchConn(dial("orders.test:1", { transport }));
    await expect(ask(conn)).rejects.toMatchObject({
      status: Status.UNAVAILABLE,
      reason: "UPSTREAM_CONNECT",
      retry: "safe",
      details: "the backend cannot be reached: its name is not known",
      message: expect.stringContaining("upstream orders.test:1 cannot be reached: getaddrinfo"),
    });
  });

  it("passes to the next address where one refuses connections", async () => {
    const combo = { server: transport, client: transport };
    const backend = new Backend(combo, "second");
    const { address } = await backend.server.listen("127.0.0.2:0");
    const { port } = address as { port: number };
    answerLookups(["127.0.0.1", "127.0.0.2"]);
    const conn = watchConn(dial(`orders.test:${port}`, { transport }));
    expect(await ask(conn)).toBe("second");
    expect(conn.addresses.map(({ state }) => state)).toEqual(["idle", "ready"]);
  });
});
