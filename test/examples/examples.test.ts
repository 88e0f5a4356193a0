import { readFileSync } from "node:fs";
import { connect as connectHttp2 } from "node:http2";
import { GrpcError, Metadata, Status } from "grpc-relay";
import { describe, expect, it } from "vitest";
import { serveFlags } from "../../src/cli/serve.ts";
import { closeAtEnd, within } from "../support/cleanup.ts";
import { eventually } from "../support/relay-fixture.ts";
import { createProxy as attached } from "./attach-to-http2-server.ts";
import { ask, connect, listen, startBackend } from "./endpoints.ts";
import { createGateway } from "./local-service.ts";
import { createProxy as mirror } from "./mirror.ts";
import { createProxy as replicate } from "./primary-and-secondaries.ts";
import { createProxy as byAuthority } from "./route-by-authority.ts";
import { createProxy as byPayload } from "./route-by-payload.ts";

const METHOD = "/shop.Orders/List";

describe("in-production.md", () => {
  it("names only flags that the command has", () => {
    const page = readFileSync("test/examples/in-production.md", "utf8");
    const named = [...page.matchAll(/(?<![\w-])--([a-z-]+[a-z])/g)].map(([, name]) => name);
    const known = serveFlags.map(({ name }) => name);
    expect(named.length).toBeGreaterThan(10);
    expect(named.filter((name) => !known.includes(String(name)))).toEqual([]);
  });
});

describe("route-by-authority", () => {
  it("sends each call to the backend of the host that the client asked for, and passes the host on", async () => {
    const blue = await startBackend("blue");
    const green = await startBackend("green");
    const address = await listen(
      byAuthority({ "blue.example": blue.address, "green.example": green.address }),
    );
    const askAs = (authority: string): Promise<string> =>
      ask(connect(address, { authority }), METHOD, ["hi"]);
    expect(await askAs("blue.example")).toBe("blue");
    expect(await askAs("green.example:443")).toBe("green");
    expect(await askAs("red.example")).toBe("UNAVAILABLE: no backend for red.example");
    expect([blue.authority, green.authority]).toEqual(["blue.example", "green.example:443"]);
  });
});

describe("route-by-payload", () => {
  it("sends each call to the shard that its first message names, without that name", async () => {
    const one = await startBackend("shard one");
    const two = await startBackend("shard two");
    const proxy = byPayload(
      new Map([
        ["a", one.conn],
        ["b", two.conn],
      ]),
    );
    const conn = connect(await listen(proxy));
    const first = (tenant: string): string => JSON.stringify({ tenant, query: "all" });
    expect(await ask(conn, METHOD, [first("a")])).toBe("shard one");
    expect(await ask(conn, METHOD, [first("b"), "more"])).toBe("shard two,shard two");
    expect(await ask(conn, METHOD, [first("c")])).toBe('NOT_FOUND: no shard has tenant "c"');
    expect(await ask(conn, METHOD, ["?"])).toMatch(/^INVALID_ARGUMENT: expected a JSON object/);
    expect(one.requests).toEqual(['{"query":"all"}']);
    expect(two.requests).toEqual(['{"query":"all"},more']);
  });
});

describe("mirror", () => {
  it("shows the client only the live backend, and reports where the shadow differs", async () => {
    const live = await startBackend("live");
    const shadow = await startBackend("shadow", new GrpcError(Status.INTERNAL, "not ready yet"));
    const differences: string[] = [];
    const proxy = mirror(live.conn, shadow.conn, (difference) => differences.push(difference));
    const conn = connect(await listen(proxy));
    expect(await ask(conn, METHOD, ["before the shadow is connected"])).toBe("live");
    expect(await ask(conn, METHOD, ["hi"])).toBe("live");
    await eventually("both were reported", () => differences.length === 2);
    expect(live.requests).toEqual(["before the shadow is connected", "hi"]);
    expect(shadow.requests).toEqual(["before the shadow is connected", "hi"]);
    const difference = `${METHOD}: live OK, shadow INTERNAL`;
    expect(differences).toEqual([difference, difference]);
  });

  it("goes on without a shadow that cannot be reached", async () => {
    const live = await startBackend("live");
    const differences: string[] = [];
    const shadow = connect("unix:/nowhere/at/all");
    const proxy = mirror(live.conn, shadow, (difference) => differences.push(difference));
    const conn = connect(await listen(proxy));
    for (const message of ["one", "two"]) expect(await ask(conn, METHOD, [message])).toBe("live");
    await eventually("both were reported", () => differences.length === 2);
    expect(differences[0]).toBe(`${METHOD}: live OK, shadow UNAVAILABLE`);
  });
});

describe("primary-and-secondaries", () => {
  const disk = new GrpcError(Status.INTERNAL, "disk full");

  it("gives every node its own message and metadata, and names the replicas that did not agree", async () => {
    const nodes = [
      await startBackend("p"),
      await startBackend("r1"),
      await startBackend("r2", disk),
    ];
    const [primary, one, two] = nodes as [(typeof nodes)[0], (typeof nodes)[0], (typeof nodes)[0]];
    const outdated: string[] = [];
    const proxy = replicate(
      { storage: "main", conn: primary.conn },
      [
        { storage: "copy-1", conn: one.conn },
        { storage: "copy-2", conn: two.conn },
      ],
      (storages) => outdated.push(...storages),
    );
    const conn = connect(await listen(proxy));
    expect(await ask(conn, "/repo.Refs/Update", ['{"ref":"x","storage":"?"}'])).toBe("p");
    expect(nodes.map(({ requests }) => requests)).toEqual([
      ['{"ref":"x","storage":"main"}'],
      ['{"ref":"x","storage":"copy-1"}'],
      ['{"ref":"x","storage":"copy-2"}'],
    ]);
    expect(nodes.map(({ metadata }) => metadata.first("node"))).toEqual([
      "main",
      "copy-1",
      "copy-2",
    ]);
    expect(new Set(nodes.map(({ metadata }) => metadata.first("transaction"))).size).toBe(1);
    expect(outdated).toEqual(["copy-2"]);
  });

  it("turns the success of the primary into an error when most nodes did not agree", async () => {
    const primary = await startBackend("p");
    const one = await startBackend("r1", disk);
    const two = await startBackend("r2", disk);
    const proxy = replicate(
      { storage: "main", conn: primary.conn },
      [
        { storage: "copy-1", conn: one.conn },
        { storage: "copy-2", conn: two.conn },
      ],
      () => {},
    );
    const conn = connect(await listen(proxy));
    expect(await ask(conn, "/repo.Refs/Update", ["{}"])).toBe("ABORTED: 1 of 3 nodes agreed");
  });

  it("counts a replica that failed exactly like the primary as up to date", async () => {
    const exists = new GrpcError(Status.ALREADY_EXISTS, "ref exists");
    const primary = await startBackend("p", exists);
    const replica = await startBackend("r", exists);
    const outdated: string[] = [];
    const proxy = replicate(
      { storage: "main", conn: primary.conn },
      [{ storage: "copy", conn: replica.conn }],
      (storages) => outdated.push(...storages),
    );
    const conn = connect(await listen(proxy));
    expect(await ask(conn, "/repo.Refs/Create", ["{}"])).toBe("ALREADY_EXISTS: ref exists");
    expect(outdated).toEqual([]);
  });
});

describe("local-service", () => {
  it("answers, checks and passes on, each method as registered", async () => {
    const backend = await startBackend("backend");
    const conn = connect(await listen(createGateway(backend.conn, "secret")));
    const token = Metadata.from({ authorization: "Bearer secret" });
    expect(await ask(conn, "/shop.Orders/List", ["{}"], token)).toBe("backend");
    expect(await ask(conn, "/shop.Orders/Create", ['{"amount":3}'], token)).toBe("backend");
    expect(await ask(conn, "/shop.Orders/Create", ['{"amount":0}'], token)).toBe(
      "INVALID_ARGUMENT: expected an amount above 0",
    );
    expect(await ask(conn, "/gateway.Info/State", ["{}"], token)).toBe(
      '{"backend":"ready","calls":1}',
    );
    expect(await ask(conn, "/shop.Orders/List", ["{}"])).toBe(
      "UNAUTHENTICATED: expected a valid token",
    );
    expect(backend.requests).toEqual(["{}", '{"amount":3,"checkedBy":"gateway"}']);
  });
});

describe("attach-to-http2-server", () => {
  it("relays the calls of a server and over a session that it did not make", async () => {
    const backend = await startBackend("backend");
    const session = connectHttp2(`http://${backend.address}`);
    closeAtEnd(() => session.close());
    const { http2Server, relay } = attached(session);
    const address = await new Promise<string>((resolve) => {
      http2Server.listen(0, "127.0.0.1", () => {
        const bound = http2Server.address();
        resolve(typeof bound === "object" ? `127.0.0.1:${bound?.port}` : "");
      });
    });
    closeAtEnd(() => new Promise((resolve) => http2Server.close(resolve)));
    const conn = connect(address);
    expect(await ask(conn, METHOD, ["hi", "there"])).toBe("backend,backend");
    await within("the relay has let go", relay.close(1_000));
    expect(relay.sessionCount).toBe(0);
  });
});
