// What a server is given that it cannot use, and what it does not let the end of one call do to
// others.

import { expect, it } from "vitest";
import { dial } from "../../src/client/dial.ts";
import { codecWithParent } from "../../src/grpc/codec.ts";
import { Status } from "../../src/grpc/status.ts";
import { Server } from "../../src/server/server.ts";
import { formatAddress } from "../../src/transport/address.ts";
import { makeCertificate } from "../support/certificate.ts";
import { memoryTransport } from "../support/memory-transport.ts";
import { eventually, PATH, watchConn, watchServer } from "../support/relay-fixture.ts";

const { cert, key } = makeCertificate();
const other = makeCertificate();

it.each([
  [null, "options of Server: expected an object, got null"],
  [{ unknownServiceHandler: 5 }, "unknownServiceHandler: expected a function, got 5"],
  [{ interceptors: () => {} }, "interceptors: expected an array, got a function"],
  [{ interceptors: [1] }, "interceptors: expected functions, got 1"],
  [{ codec: "proto" }, 'codec: expected an object, got "proto"'],
  [{ codec: { marshal: () => {} } }, "codec: expected a codec with the method unmarshal, got none"],
  [{ onConnectionError: {} }, "onConnectionError: expected a function, got an object (Object)"],
  [{ maxRequestMessageBytes: "5" }, 'maxRequestMessageBytes: expected a number from 0 up, got "5"'],
  [
    { transport: { name: "mine", connect() {}, listen() {} } },
    'transport: expected "engine", "node" or an engineTransport(), got an object (Object)',
  ],
  [{ transport: null }, 'transport: expected "engine", "node" or an engineTransport(), got null'],
  [{ tls: true }, "tls: expected an object, got true"],
  [{ tls: {} }, "tls: expected cert and key, or pfx, got neither"],
  [{ tls: { cert } }, "tls: expected cert and key, or pfx, got cert alone"],
  [{ tls: { key } }, "tls: expected cert and key, or pfx, got key alone"],
  [
    { tls: { cert, key: other.key } },
    "tls: expected certificates, keys and settings that OpenSSL takes, got: ",
  ],
])("refuses options that it cannot use: %#", (options, message) => {
  expect(() => new Server(options as never)).toThrow(message);
});

it.each([50051, undefined, {}, { host: "a", port: -1 }, { host: 5, port: 1 }, { path: 5 }])(
  "refuses to listen on %j",
  async (address) => {
    await expect(new Server().listen(address as never)).rejects.toThrow(
      "address: expected HOST:PORT",
    );
  },
);

it("refuses TLS for one socket as it does for all, a service without handlers, and a codec without parent", async () => {
  const server = new Server();
  await expect(server.listen("127.0.0.1:0", { tls: {} })).rejects.toThrow("got neither");
  expect(() => server.register("a.B", undefined as never)).toThrow(
    "handlers of service a.B: expected an object, got undefined",
  );
  expect(() => codecWithParent(undefined as never)).toThrow(
    "parent of codecWithParent: expected an object",
  );
});

it("ends every call when its grace is over, also where the end of one ends another", async () => {
  const transport = memoryTransport();
  const server = watchServer(new Server({ transport }));
  server.register("test.Service", {
    Method: ({ context }) =>
      new Promise<void>((_resolve, reject) => {
        context.signal.addEventListener("abort", () => {
          for (const call of calls.slice(1, 4)) call.cancel();
          reject(context.signal.reason);
        });
      }),
  });
  const conn = watchConn(
    dial(formatAddress((await server.listen("127.0.0.1:0")).address), { transport }),
  );
  const calls = Array.from({ length: 6 }, () => conn.newStream(PATH));
  const ends = calls.map((call) => call.trailer().catch((error) => error.status));
  await eventually("all calls have come", () => server.openCallCount === 6);
  await server.close();
  expect((await ends[0]) as number).toBe(Status.UNAVAILABLE);
  expect((await ends[5]) as number).toBe(Status.UNAVAILABLE);
});

it("takes Infinity for no limit of connections", () => {
  const none = Number.POSITIVE_INFINITY;
  expect(
    () => new Server({ maxConnections: none, maxConnectionsPerClientAddress: none }),
  ).not.toThrow();
});
