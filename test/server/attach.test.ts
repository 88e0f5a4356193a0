// A server of node:http2 that is shared: gRPC is ours, everything else belongs to whoever made the
// server.

import { once } from "node:events";
import {
  type ClientHttp2Session,
  connect as connectHttp2,
  createSecureServer,
  createServer,
  type Http2SecureServer,
  type Http2Server,
  type Http2ServerRequest,
  type Http2ServerResponse,
  type ServerHttp2Stream,
} from "node:http2";
import { get as getHttps } from "node:https";
import type { AddressInfo } from "node:net";
import { describe, expect, it } from "vitest";
import { Status } from "../../src/grpc/status.ts";
import type { AttachOptions } from "../../src/server/attach-options.ts";
import { Server } from "../../src/server/server.ts";
import { engineTransport } from "../../src/transport/select.ts";
import { ErrorCode } from "../../src/wire/error-code.ts";
import { makeCertificate } from "../support/certificate.ts";
import { closeAtEnd, within } from "../support/cleanup.ts";
import { frames, request } from "../support/frames.ts";
import { eventually, PATH, statusOf, watchServer } from "../support/relay-fixture.ts";
import { resetBeforeAccepted } from "../support/reset-client.ts";
import { ScriptedClient } from "../support/scripted-endpoints.ts";
import type { ScriptedPeer } from "../support/scripted-peer.ts";

const GET = [
  [":method", "GET"],
  [":scheme", "http"],
  [":path", "/index.html"],
  [":authority", "localhost"],
] as const;

interface Answer {
  readonly status: number;
  readonly body: string;
}

function makeRelay(http2Server: Http2Server | Http2SecureServer, options?: AttachOptions): Server {
  const relay = watchServer(new Server());
  relay.register("test.Service", { Method: () => {} });
  relay.attach(http2Server, options);
  return relay;
}

async function listening<T extends Http2Server | Http2SecureServer>(
  server: T,
): Promise<AddressInfo> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  closeAtEnd(() => server.close());
  return server.address() as AddressInfo;
}

async function connected({ port }: AddressInfo): Promise<ScriptedPeer> {
  return ScriptedClient.connect({ host: "127.0.0.1", port });
}

async function get(client: ScriptedPeer, streamId: number): Promise<Answer> {
  client.send(frames.headers(streamId, GET, { endStream: true }));
  const head = await client.expectHeaders(streamId);
  const body = await client.expectBody(streamId);
  return { status: Number(head.find(({ name }) => name === ":status")?.value), body: `${body}` };
}

async function callStatus(client: ScriptedPeer, streamId: number): Promise<number> {
  client.send(frames.headers(streamId, request(PATH), { endStream: true }));
  return statusOf(await client.expectTrailers(streamId));
}

function sessionTo({ port }: AddressInfo): ClientHttp2Session {
  const session = connectHttp2(`http://127.0.0.1:${port}`);
  session.on("error", () => {});
  closeAtEnd(() => session.destroy());
  return session;
}

it("gives no address of UNIX sockets to a TCP client that was gone before it was accepted", async () => {
  const http2Server = createServer();
  const peers: string[] = [];
  const relay = watchServer(new Server());
  relay.register("test.Service", {
    Method: ({ context }) => void peers.push(context.peer.remoteAddress),
  });
  relay.attach(http2Server);
  const { port } = await listening(http2Server);
  const bytes = frames.bytes(
    Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "latin1"),
    frames.settings(),
    frames.headers(1, request(PATH), { endStream: true }),
  );
  resetBeforeAccepted(port, bytes);
  await eventually("the call", () => peers.length > 0);
  expect(peers).toEqual(["unknown"]);
});

describe("an attached server with handlers of its own", () => {
  const hello = (_: Http2ServerRequest, response: Http2ServerResponse): void => {
    response.end("hello");
  };
  const later = async (_: Http2ServerRequest, response: Http2ServerResponse): Promise<void> => {
    await new Promise(setImmediate);
    response.end("later");
  };
  const onStream = (stream: ServerHttp2Stream): void => {
    stream.respond({ ":status": 200 });
    stream.end("stream");
  };

  it.each<[string, string, (server: Http2Server, attach: () => void) => void]>([
    [
      "request, added before",
      "hello",
      (server, attach) => {
        server.on("request", hello);
        attach();
      },
    ],
    [
      "request, added behind",
      "hello",
      (server, attach) => {
        attach();
        server.on("request", hello);
      },
    ],
    [
      "request, asynchronous, added before",
      "later",
      (server, attach) => {
        server.on("request", later);
        attach();
      },
    ],
    [
      "request, asynchronous, added behind",
      "later",
      (server, attach) => {
        attach();
        server.on("request", later);
      },
    ],
    [
      "stream, added before",
      "stream",
      (server, attach) => {
        server.on("stream", onStream);
        attach();
      },
    ],
    [
      "stream, added behind",
      "stream",
      (server, attach) => {
        attach();
        server.on("stream", onStream);
      },
    ],
  ])("of %s, answers what is not gRPC, and sees nothing of what is", async (_, body, install) => {
    const http2Server = createServer();
    let seen = 0;
    install(http2Server, () => makeRelay(http2Server));
    http2Server.on("stream", () => seen++);
    const client = await connected(await listening(http2Server));
    expect(await get(client, 1)).toEqual({ status: 200, body });
    expect(await callStatus(client, 3)).toBe(Status.OK);
    expect(await get(client, 5)).toEqual({ status: 200, body });
    expect(await callStatus(client, 7)).toBe(Status.OK);
    expect(seen).toBe(2);
  });

  it("answers a listener that was added while it listened", async () => {
    const http2Server = createServer();
    makeRelay(http2Server);
    const client = await connected(await listening(http2Server));
    expect(await callStatus(client, 1)).toBe(Status.OK);
    http2Server.on("request", hello);
    expect(await get(client, 3)).toEqual({ status: 200, body: "hello" });
    expect(await callStatus(client, 5)).toBe(Status.OK);
  });

  it("has connections without gRPC to itself", async () => {
    const http2Server = createServer(hello);
    const relay = makeRelay(http2Server);
    const client = await connected(await listening(http2Server));
    expect(await get(client, 1)).toEqual({ status: 200, body: "hello" });
    expect(relay.sessionCount).toBe(0);
    await relay.close();
    expect(await get(client, 3)).toEqual({ status: 200, body: "hello" });
    expect(client.printTrace()).not.toContain("GOAWAY");
  });

  it("keeps its streams on a connection that had calls when the relay closes", async () => {
    const http2Server = createServer();
    let own: ServerHttp2Stream | undefined;
    http2Server.on("stream", (stream) => {
      own = stream;
      stream.respond({ ":status": 200 });
      stream.write("first,");
    });
    const relay = new Server();
    relay.register("test.Service", { Method: () => new Promise<void>(() => {}) });
    relay.attach(http2Server);
    const client = await connected(await listening(http2Server));
    client.send(frames.headers(1, GET, { endStream: true }));
    await client.expectHeaders(1);
    client.send(frames.headers(3, request(PATH)));
    await eventually("the call is there", () => relay.openCallCount === 1);
    const closed = relay.close();
    expect(statusOf(await client.expectTrailers(3))).toBe(Status.UNAVAILABLE);
    await within("the relay is closed", closed);
    expect([relay.sessionCount, relay.openCallCount, own?.closed]).toEqual([0, 0, false]);
    own?.end("last");
    expect(`${await client.expectBody(1)}`).toBe("first,last");
    await client.expectClosed();
  });

  it("gets gRPC, too, once the relay is closed", async () => {
    const http2Server = createServer(hello);
    const relay = makeRelay(http2Server);
    const address = await listening(http2Server);
    await relay.close();
    const client = await connected(address);
    client.send(frames.headers(1, request(PATH), { endStream: true }));
    await client.expectHeaders(1);
    expect(`${await client.expectBody(1)}`).toBe("hello");
  });

  it("serves HTTP/1 on a TLS port that allows it", async () => {
    const { cert, key } = makeCertificate();
    const http2Server = createSecureServer({ cert, key, allowHTTP1: true });
    const relay = makeRelay(http2Server);
    http2Server.on("request", (asked, response) => response.end(`HTTP/${asked.httpVersion}`));
    const { port } = await listening(http2Server);
    const body = await within(
      "HTTP/1.1 is answered",
      new Promise<string>((resolve, reject) => {
        const options = {
          host: "127.0.0.1",
          port,
          ca: cert,
          servername: "localhost",
          agent: false,
        };
        getHttps(options, (response) => {
          let text = "";
          response.on("data", (chunk) => {
            text += chunk;
          });
          response.on("end", () => resolve(text));
        }).on("error", reject);
      }),
    );
    expect(body).toBe("HTTP/1.1");
    const address = { host: "127.0.0.1", port };
    const client = await ScriptedClient.connect(address, { tls: { ca: cert } });
    expect(await get(client, 1)).toEqual({ status: 200, body: "HTTP/2.0" });
    expect(await callStatus(client, 3)).toBe(Status.OK);
    expect(relay.sessionCount).toBe(1);
  });
});

describe("an attached server without handlers of its own", () => {
  it("answers what is not gRPC with 415", async () => {
    const http2Server = createServer();
    makeRelay(http2Server);
    const client = await connected(await listening(http2Server));
    expect(await get(client, 1)).toMatchObject({ status: 415 });
    expect(await callStatus(client, 3)).toBe(Status.OK);
  });

  it("sends calls elsewhere once the relay is closed, instead of leaving them unanswered", async () => {
    const http2Server = createServer();
    const relay = makeRelay(http2Server);
    const address = await listening(http2Server);
    await relay.close();
    const client = await connected(address);
    client.send(frames.headers(1, request(PATH), { endStream: true }));
    await client.expectReset(1, ErrorCode.REFUSED_STREAM);
  });
});

describe("match", () => {
  it("decides by the header fields, whatever the content type", async () => {
    const http2Server = createServer();
    const paths: unknown[] = [];
    http2Server.on("stream", (stream, headers) => {
      paths.push(headers[":path"]);
      stream.respond({ ":status": 200 });
      stream.end();
    });
    makeRelay(http2Server, { match: (headers) => headers[":path"] !== PATH });
    const client = await connected(await listening(http2Server));
    client.send(frames.headers(1, request(PATH), { endStream: true }));
    await client.expectHeaders(1);
    expect(await get(client, 3)).toMatchObject({ status: 415 });
    expect(paths).toEqual([PATH]);
  });

  it("lets several relays share a server", async () => {
    const http2Server = createServer();
    const prefixed = (prefix: string): AttachOptions => ({
      match: (headers) => headers[":path"]?.startsWith(prefix) ?? false,
    });
    const other = watchServer(new Server());
    other.register("other.Service", { Method: () => {} });
    other.attach(http2Server, prefixed("/other."));
    const relay = makeRelay(http2Server, prefixed("/test."));
    const session = await connected(await listening(http2Server));
    expect(await callStatus(session, 1)).toBe(Status.OK);
    session.send(frames.headers(3, request("/other.Service/Method"), { endStream: true }));
    expect(statusOf(await session.expectTrailers(3))).toBe(Status.OK);
    expect([relay.sessionCount, other.sessionCount]).toEqual([1, 1]);
    await relay.close();
    await eventually("relay has let go", () => relay.sessionCount === 0);
    expect(other.openCallCount).toBe(0);
  });

  it("gives what two relays match to the one that was attached last", async () => {
    const http2Server = createServer();
    const first = makeRelay(http2Server);
    const last = watchServer(new Server());
    last.attach(http2Server);
    const client = await connected(await listening(http2Server));
    expect(await callStatus(client, 1)).toBe(Status.UNIMPLEMENTED);
    expect([first.sessionCount, last.sessionCount]).toEqual([0, 1]);
  });

  it.each<[string, () => unknown]>([
    [
      "throws",
      () => {
        throw new Error("mine");
      },
    ],
    ["answers with a promise", () => Promise.resolve(true)],
  ])("that %s takes nothing, and the process is warned", async (_, match) => {
    const http2Server = createServer((_asked, response) => void response.end("hello"));
    makeRelay(http2Server, { match: match as () => boolean });
    const client = await connected(await listening(http2Server));
    const warned = once(process, "warning");
    client.send(frames.headers(1, request(PATH), { endStream: true }));
    await client.expectHeaders(1);
    expect(`${await client.expectBody(1)}`).toBe("hello");
    expect((await warned)[0]).toMatchObject({ message: "match must not throw" });
  });

  it("is a function", () => {
    const attach = (): void => new Server().attach(createServer(), { match: true as never });
    expect(attach).toThrow("match: expected a function, got true");
  });
});

it.each([
  ["the engine", "engine" as const],
  ["an engine with limits", engineTransport({ limits: { pingBurst: 5 } })],
])("a Server that was made for %s is not attached", (_, transport) => {
  expect(() => new Server({ transport }).attach(createServer())).toThrow(
    'attach: expected a Server without the option transport or with "node"',
  );
  expect(() => new Server({ transport: "node" }).attach(createServer())).not.toThrow();
});

it("refuses a server that it is attached to already, and takes another one", () => {
  const relay = new Server();
  const http2Server = createServer();
  relay.attach(http2Server);
  expect(() => relay.attach(http2Server)).toThrow("attached to already");
  new Server().attach(http2Server);
  relay.attach(createServer());
});

it("a session that was connected before the relay was attached is taken with its first call", async () => {
  const http2Server = createServer();
  const address = await listening(http2Server);
  const session = sessionTo(address);
  await once(session, "connect");
  const relay = makeRelay(http2Server);
  const stream = session.request({
    ":method": "POST",
    ":path": PATH,
    "content-type": "application/grpc",
    te: "trailers",
  });
  stream.end();
  const [headers] = await once(stream, "response");
  expect(headers["grpc-status"]).toBe(String(Status.OK));
  expect(relay.sessionCount).toBe(1);
  session.destroy();
});
