// Processes that are started with listening sockets, from the build that `npm test` makes first.

import { once } from "node:events";
import { connect } from "node:net";
import { describe, expect, it, vi } from "vitest";
import { type ClientTlsOptions, Frame } from "../../src/index.ts";
import { parseAddress } from "../../src/transport/address.ts";
import { makeCertificate, pemFile } from "../support/certificate.ts";
import { closeAtEnd, socketPath, within } from "../support/cleanup.ts";
import { Inheritable, startWith } from "../support/inheritable.ts";
import { PROCESS_LIMIT_MS } from "../support/patience.ts";
import { backend, client, echo, echoed } from "./serving.ts";
import { runToEnd } from "./terminal.ts";

vi.setConfig({ testTimeout: 4 * PROCESS_LIMIT_MS });

const PROGRAM = "test/cli/listening-process.mjs";

/** What the server at `address` says of its own end. */
async function localAddress(address: string, tls?: ClientTlsOptions): Promise<string> {
  const call = client(address, tls === undefined ? {} : { tls }).newStream("/a.B/C");
  call.closeSend();
  const message = await call.recvMessage();
  return message instanceof Frame ? message.payload.toString() : String(message);
}

describe("Server.listen", () => {
  it("listens on sockets that the process was started with, and closes them", async () => {
    const { cert, key } = makeCertificate();
    const kinds = ["engine", "node"].flatMap((transport) =>
      [undefined, { cert, key }].flatMap((tls) =>
        [false, true].map((isUnix) => ({ transport, tls, isUnix })),
      ),
    );
    const sockets = await Promise.all(
      kinds.map(({ isUnix }) => Inheritable.listen(isUnix ? socketPath() : undefined)),
    );
    const asked = kinds.map(({ transport, tls }, at) => ({
      address: at === 0 ? "systemd:first" : `fd:${3 + at}`,
      transport,
      tls,
    }));
    const names = kinds.map((_, at) => (at === 0 ? "first" : `other-${at}`));
    const named = Object.fromEntries(sockets.map((socket, at) => [names[at]!, socket]));
    const child = startWith(named, PROGRAM, JSON.stringify(asked));
    await child.printed(new RegExp(`(?:.*\n){${kinds.length}}`));
    const said = child.output.split("\n").slice(0, kinds.length);
    const addresses = sockets.map(({ address }) => address);
    expect(said.map((line) => JSON.parse(line))).toEqual(addresses.map(parseAddress));
    const heard = kinds.map(({ tls }, at) =>
      localAddress(addresses[at]!, tls && { ca: cert, serverName: "localhost" }),
    );
    expect(await Promise.all(heard)).toEqual(addresses);
    child.process.kill("SIGTERM");
    const open = await child.printed(/open: (.*)\n/);
    expect(JSON.parse(open)).toEqual(kinds.map(() => false));
    expect(sockets.map(({ hasFile }) => hasFile)).toEqual(kinds.map(({ isUnix }) => isUnix));
    expect(await within("exit", child.exit, PROCESS_LIMIT_MS)).toBe(0);
  });

  it("says what is wrong with a descriptor", async () => {
    const socket = await Inheritable.listen();
    const connection = connect(parseAddress(socket.address));
    closeAtEnd(() => connection.destroy());
    await once(connection, "connect");
    const asked = ["fd:3", "fd:3", "fd:4", "systemd:b"].map((address) => ({ address }));
    const child = startWith({ a: socket, b: connection }, PROGRAM, JSON.stringify(asked));
    await child.printed(/(?:.*\n){4}/);
    const [, ...said] = child.output.split("\n").slice(0, 4);
    const expected = "expected a listening TCP or UNIX socket, got";
    expect(said.map((line) => JSON.parse(line))).toEqual([
      `fd:3: ${expected} one that this process uses already`,
      `fd:4: ${expected} a socket that cannot listen, such as a connection (listen EINVAL: invalid argument)`,
      expect.stringMatching(/^systemd:b: .* got a descriptor that is not open/),
    ]);
    child.process.kill("SIGTERM");
    expect(await within("exit", child.exit, PROCESS_LIMIT_MS)).toBe(0);
  });
});

describe("grpc-relay serve", () => {
  it.each([[[]], [["--workers", "2"]]])(
    "serves the sockets that it was started with (%j)",
    async (workers) => {
      const { address: target } = await backend(echo);
      const { cert, key } = makeCertificate();
      const tcp = await Inheritable.listen();
      const unix = await Inheritable.listen(socketPath());
      const child = startWith(
        { tcp, unix },
        ...["dist/cli.js", "serve", "--listen", "fd:3", "--listen", "systemd:unix", ...workers],
        ...["--backend", target, "--tls-cert", pemFile("cert", cert), "--tls-key"],
        pemFile("key", key),
      );
      expect(await child.printed(/listening on (127\S+)/)).toBe(tcp.address);
      expect(await child.printed(/listening on (unix\S+)/)).toBe(unix.address);
      const tls = { ca: cert, serverName: "localhost" };
      const texts = ["a", "b", "c", "d"];
      const heard = texts.flatMap((text) =>
        [tcp, unix].map(({ address }) => echoed(client(address, { tls }), text)),
      );
      expect(await Promise.all(heard)).toEqual(texts.flatMap((text) => [text, text]));
      child.process.kill("SIGTERM");
      expect(await within("exit", child.exit, PROCESS_LIMIT_MS)).toBe(0);
      expect(unix.hasFile).toBe(true);
    },
  );

  it.each([[[]], [["--workers", "2"]]])(
    "says that a descriptor is not open (%j)",
    async (workers) => {
      const { code, err } = await runToEnd(
        ...["serve", "--listen", "fd:1000000", "--backend", "127.0.0.1:1", ...workers],
      );
      expect(err).toMatch(
        /^grpc-relay: fd:1000000: expected a listening TCP or UNIX socket, got a descriptor that is not open/,
      );
      expect(code).toBe(1);
    },
  );
});
