// Certificates of the command that change: on SIGHUP, and when their files do.

import { writeFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { Server } from "../../src/index.ts";
import { formatAddress } from "../../src/transport/address.ts";
import { makeCertificate, pemFile, type TestCertificate } from "../support/certificate.ts";
import { closeAtEnd, within } from "../support/cleanup.ts";
import { PROCESS_LIMIT_MS } from "../support/patience.ts";
import { backend, client, echo, echoed, listening, startServe } from "./serving.ts";

/** A pair in files, and how it is replaced. */
function files(first: TestCertificate) {
  const [cert, key] = [pemFile("cert", first.cert), pemFile("key", first.key)];
  const write = (pair: TestCertificate): void => {
    writeFileSync(cert, pair.cert);
    writeFileSync(key, pair.key);
  };
  return { cert, key, write };
}

describe.each(["engine", "node"] as const)("grpc-relay serve --transport %s", (transport) => {
  it("reads its certificate again on SIGHUP; connections that stand go on", async () => {
    const [before, after] = [makeCertificate(), makeCertificate()];
    const pair = files(before);
    const { address } = await backend(echo);
    const { terminal, exitCode } = startServe(
      transport,
      ...["--listen", "127.0.0.1:0", "--backend", address],
      ...["--tls-cert", pair.cert, "--tls-key", pair.key],
    );
    const at = await listening(terminal);
    const old = client(at, { tls: { ca: before.cert } });
    expect(await echoed(old, "before")).toBe("before");
    pair.write(after);
    terminal.reload();
    await terminal.line(/^read again: /);
    expect(await echoed(client(at, { tls: { ca: after.cert } }), "new")).toBe("new");
    expect(await echoed(old, "still")).toBe("still");
    await expect(echoed(client(at, { tls: { ca: before.cert } }), "x")).rejects.toMatchObject({
      status: 14,
    });
    terminal.signal();
    expect(await exitCode).toBe(0);
  });

  it("goes on with the certificate it has when the files do not fit each other", async () => {
    const first = makeCertificate();
    const pair = files(first);
    const { address } = await backend(echo);
    const { terminal } = startServe(
      transport,
      ...["--listen", "127.0.0.1:0", "--backend", address],
      ...["--tls-cert", pair.cert, "--tls-key", pair.key],
    );
    const at = await listening(terminal);
    writeFileSync(pair.cert, makeCertificate().cert);
    terminal.reload();
    await terminal.line(/^what was read before stays in use: --tls-cert, --tls-key: expected /);
    expect(await echoed(client(at, { tls: { ca: first.cert } }), "old")).toBe("old");
  });

  it("shows backends its new certificate when it connects again", async () => {
    const [before, after, theirs] = [
      ...["relay-1", "relay-2"].map((name) => makeCertificate(name)),
      makeCertificate(),
    ] as [TestCertificate, TestCertificate, TestCertificate];
    const seen: unknown[] = [];
    const server = new Server({
      unknownServiceHandler: async (stream) => {
        seen.push(stream.context.peer.tls?.peerCertificate?.subject.CN);
        await echo(stream as never);
      },
      tls: { ...theirs, ca: [before.cert, after.cert], requestCert: true },
      maxConnectionIdleMs: 50,
    });
    closeAtEnd(() => server.close());
    const address = formatAddress((await server.listen("127.0.0.1:0")).address);
    const pair = files(before);
    const { terminal } = startServe(
      transport,
      ...["--listen", "127.0.0.1:0", "--backend", address, "--backend-tls"],
      ...["--backend-ca", pemFile("ca", theirs.cert)],
      ...["--backend-cert", pair.cert, "--backend-key", pair.key],
    );
    const conn = client(await listening(terminal));
    await echoed(conn, "one");
    pair.write(after);
    terminal.reload();
    await terminal.line(/^read again: /);
    const count = terminal.err.length;
    await within("another connection", terminal.lineAfter(count, /connected again$/));
    await echoed(conn, "two");
    expect(seen).toEqual(["relay-1", "relay-2"]);
  });
});

it(
  "grpc-relay serve reads its certificate again when the files change",
  async () => {
    const [before, after] = [makeCertificate(), makeCertificate()];
    const pair = files(before);
    const { address } = await backend(echo);
    const { terminal } = startServe(
      "engine",
      ...["--listen", "127.0.0.1:0", "--backend", address],
      ...["--tls-cert", pair.cert, "--tls-key", pair.key],
    );
    const at = await listening(terminal);
    pair.write(after);
    await within("the files", terminal.line(/^read again: /), PROCESS_LIMIT_MS);
    expect(await echoed(client(at, { tls: { ca: after.cert } }), "new")).toBe("new");
  },
  PROCESS_LIMIT_MS,
);
