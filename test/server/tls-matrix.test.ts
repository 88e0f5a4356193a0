// What each side sees of a TLS connection that can or cannot be made: one table, on every pair of
// transports.

import { connect as connectTls, createServer as createTlsServer } from "node:tls";
import { describe, expect, it } from "vitest";
import { Status } from "../../src/grpc/status.ts";
import { refused } from "../../src/observe/channels.ts";
import type { TransportName } from "../../src/transport/select.ts";
import type { ClientTlsOptions, ServerTlsOptions } from "../../src/transport/tls.ts";
import { makeCertificate } from "../support/certificate.ts";
import { closeAtEnd, within } from "../support/cleanup.ts";
import { transportCombos } from "../support/combos.ts";
import { dialTo, eventually, listen, PATH } from "../support/relay-fixture.ts";

const good = makeCertificate();
const expired = makeCertificate("localhost", true);
const stranger = makeCertificate("stranger.test");
const caller = makeCertificate("caller.test");

const serving = ({ cert, key }: typeof good): ServerTlsOptions => ({ cert, key });
const MUTUAL: ServerTlsOptions = { ...serving(good), ca: caller.cert, requestCert: true };
const TRUSTING: ClientTlsOptions = { ca: good.cert, serverName: "localhost" };

const HANDSHAKE = "the backend cannot be reached: the TLS handshake failed";
const HUNG_UP =
  "failed the TLS handshake: it closed the connection, as clients do that do not accept the certificate";
const CLOSED = {
  engine: "closed the connection",
  node: "connection closed before SETTINGS",
} as const;

interface Row {
  readonly name: string;
  /** Left out for plaintext. */
  readonly server?: ServerTlsOptions;
  readonly client?: ClientTlsOptions;
  /** What the operator of the client reads; left out where the call is answered. */
  readonly clientSees?: string | Readonly<Record<TransportName, string>>;
  /** What whoever made the call reads. @default `HANDSHAKE` */
  readonly callerReads?: "the same";
  /** What the server tells on `grpc-relay:refused`, or who the handler sees. */
  readonly serverSees: string | Readonly<Record<TransportName, string>>;
}

const ROWS: readonly Row[] = [
  {
    name: "good",
    server: serving(good),
    client: TRUSTING,
    serverSees: "false, nobody",
  },
  {
    name: "mutual",
    server: MUTUAL,
    client: { ...TRUSTING, cert: caller.cert, key: caller.key },
    serverSees: "true, caller.test",
  },
  {
    name: "an unverified client that may come",
    server: { ...MUTUAL, rejectUnauthorized: false },
    client: { ...TRUSTING, cert: stranger.cert, key: stranger.key },
    serverSees: "false, stranger.test",
  },
  {
    name: "an expired certificate",
    server: serving(expired),
    client: { ...TRUSTING, ca: expired.cert },
    clientSees: "certificate has expired",
    serverSees: HUNG_UP,
  },
  {
    name: "a certificate for another host",
    server: serving(good),
    client: { ...TRUSTING, serverName: "other.test" },
    clientSees:
      "the certificate is not for other.test, but for DNS:localhost, DNS:localhost, IP Address:127.0.0.1",
    serverSees: HUNG_UP,
  },
  {
    name: "an authority that nobody knows",
    server: serving(stranger),
    client: TRUSTING,
    clientSees: "self-signed certificate",
    serverSees: HUNG_UP,
  },
  {
    name: "no client certificate",
    server: MUTUAL,
    client: TRUSTING,
    clientSees: "tlsv13 alert certificate required",
    serverSees: "failed the TLS handshake: peer did not return a certificate",
  },
  {
    name: "a client certificate that is not trusted",
    server: MUTUAL,
    client: { ...TRUSTING, cert: stranger.cert, key: stranger.key },
    clientSees: CLOSED,
    callerReads: "the same",
    serverSees:
      "failed the TLS handshake: its certificate was not accepted (DEPTH_ZERO_SELF_SIGNED_CERT)",
  },
  {
    name: "a client whose TLS is too old",
    server: { ...serving(good), minVersion: "TLSv1.3" },
    client: { ...TRUSTING, maxVersion: "TLSv1.2" },
    clientSees: "tlsv1 alert protocol version",
    serverSees: "failed the TLS handshake: unsupported protocol",
  },
  {
    name: "plaintext to TLS",
    server: serving(good),
    clientSees: CLOSED,
    callerReads: "the same",
    serverSees:
      "failed the TLS handshake: wrong version number (the other side does not speak TLS)",
  },
  {
    name: "TLS to plaintext",
    client: TRUSTING,
    clientSees: "wrong version number (the other side does not speak TLS)",
    serverSees: {
      engine: "TLS on a port without TLS",
      node: "Received bad client magic byte string",
    },
  },
];

const on = (
  transport: TransportName,
  text: string | Readonly<Record<TransportName, string>>,
): string => (typeof text === "string" ? text : text[transport]);

function refusals(side: "downstream" | "upstream"): string[] {
  const rules: string[] = [];
  closeAtEnd(
    refused.subscribe((event) => {
      if (event.side === side) rules.push(event.rule);
    }),
  );
  return rules;
}

describe.each(transportCombos)("TLS from $client to $server", (combo) => {
  it.each(ROWS)("$name", async (row) => {
    const seen = refusals("downstream");
    const { server, address } = await listen(
      combo,
      row.server === undefined ? {} : { tls: row.server },
    );
    server.register("test.Service", {
      Method: ({ context }) => {
        const { authorized, peerCertificate } = context.peer.tls ?? {};
        seen.push(`${authorized}, ${peerCertificate?.subject.CN ?? "nobody"}`);
      },
    });
    const conn = dialTo(combo, address, row.client === undefined ? {} : { tls: row.client });
    const stream = conn.newStream(PATH);
    stream.closeSend();
    if (row.clientSees === undefined) {
      await stream.trailer();
    } else {
      const text = on(combo.client, row.clientSees);
      const error: unknown = await stream.trailer().catch((thrown: unknown) => thrown);
      expect(error).toMatchObject({
        status: Status.UNAVAILABLE,
        reason: "UPSTREAM_CONNECT",
        retry: "safe",
        details:
          row.callerReads === undefined ? HANDSHAKE : `the backend cannot be reached: ${text}`,
      });
      // Behind a semicolon Node.js 24 and later say which flag might help.
      const [message] = (error as Error).message.split("; if the root CA");
      expect(message).toBe(`UNAVAILABLE: upstream ${conn.target} cannot be reached: ${text}`);
    }
    await eventually("the server has seen it", () => seen.length > 0);
    expect(seen).toEqual([on(combo.server, row.serverSees)]);
  });
});

describe.each(["engine", "node"] as const)("ALPN without h2, on %s:", (transport) => {
  const combo = { server: transport, client: transport };

  it("a client that offers another protocol gets an alert, and the server says why", async () => {
    const seen = refusals("downstream");
    const { address } = await listen(combo, { tls: serving(good) });
    const { host, port } = address as { host: string; port: number };
    const socket = connectTls({ host, port, ...TRUSTING, ALPNProtocols: ["http/1.1"] });
    closeAtEnd(() => socket.destroy());
    const error = await within(
      "the alert",
      new Promise<Error>((resolve) => socket.once("error", resolve)),
    );
    expect(error.message).toContain("alert no application protocol");
    await eventually("the server has seen it", () => seen.length > 0);
    expect(seen).toEqual(["failed the TLS handshake: no application protocol"]);
  });

  it("a client that offers none is closed, and the server says why", async () => {
    const seen = refusals("downstream");
    const { address } = await listen(combo, { tls: serving(good) });
    const { host, port } = address as { host: string; port: number };
    const socket = connectTls({ host, port, ca: good.cert, servername: "localhost" });
    closeAtEnd(() => socket.destroy());
    socket.on("error", () => {}).resume();
    await within("its end", new Promise((resolve) => socket.once("close", resolve)));
    await eventually("the server has seen it", () => seen.length > 0);
    expect(seen).toEqual(["did not negotiate HTTP/2 (ALPN h2)"]);
  });

  it.each([
    [["http/1.1"], "tlsv1 alert no application protocol", HANDSHAKE],
    [[], "the server did not choose h2 by ALPN", undefined],
  ])("a server that speaks %j is no backend", async (ALPNProtocols, text, callerReads) => {
    const server = createTlsServer({ ...serving(good), ALPNProtocols });
    server.on("tlsClientError", () => {});
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    closeAtEnd(() => server.close());
    const { port } = server.address() as { port: number };
    const conn = dialTo(combo, { host: "127.0.0.1", port }, { tls: TRUSTING });
    await expect(conn.newStream(PATH).trailer()).rejects.toMatchObject({
      status: Status.UNAVAILABLE,
      details: callerReads ?? `the backend cannot be reached: ${text}`,
      message: `UNAVAILABLE: upstream ${conn.target} cannot be reached: ${text}`,
    });
  });
});

describe.each(["engine", "node"] as const)("certificates by name, on %s:", (transport) => {
  const combo = { server: transport, client: transport };
  const a = makeCertificate("a.example");
  const wild = makeCertificate("*.b.example");
  const certificates = { "A.example": serving(a), "*.b.example": serving(wild) };
  const all = [good.cert, a.cert, wild.cert];

  async function shownTo(tls: ServerTlsOptions, serverName: string, extra = {}): Promise<unknown> {
    const { server, address } = await listen(combo, { tls });
    server.register("test.Service", { Method: () => {} });
    const names: unknown[] = [];
    const checkServerIdentity = (_: string, cert: { subject: { CN: string } }): undefined => {
      names.push(cert.subject.CN);
      return undefined;
    };
    const options = { ca: all, serverName, checkServerIdentity, ...extra } as ClientTlsOptions;
    const conn = dialTo(combo, address, { tls: options });
    const stream = conn.newStream(PATH);
    stream.closeSend();
    await stream.trailer();
    return names[0];
  }

  it.each([
    ["a.example", "a.example"],
    ["A.EXAMPLE", "a.example"],
    ["a.example.", "a.example"],
    ["x.b.example", "*.b.example"],
    ["x.y.b.example", "localhost"],
    ["b.example", "localhost"],
    ["localhost", "localhost"],
    // No name is sent for an address.
    ["127.0.0.1", "localhost"],
  ])("who asks for %s is shown that of %s", async (serverName, shown) => {
    expect(await shownTo({ ...serving(good), certificates }, serverName)).toBe(shown);
  });

  it("trust in clients is the same for all names", async () => {
    const own = { cert: caller.cert, key: caller.key };
    expect(await shownTo({ ...MUTUAL, certificates }, "a.example", own)).toBe("a.example");
    await expect(shownTo({ ...MUTUAL, certificates }, "a.example")).rejects.toThrow("certificate");
  });

  it("without one for everybody, who asks for another name is refused", async () => {
    const seen = refusals("downstream");
    expect(await shownTo({ certificates }, "a.example")).toBe("a.example");
    await expect(shownTo({ certificates }, "c.example")).rejects.toThrow("handshake failure");
    await eventually("the server has seen it", () => seen.length > 0);
    expect(seen[0]).toContain(
      "there is no certificate for this client, or for the name that it asks for",
    );
  });
});

describe("certificates that cannot be used", () => {
  const { cert, key } = good;
  it.each<[string, unknown, string]>([
    ["no object", { certificates: 5 }, "tls.certificates: expected an object, got 5"],
    [
      "a name that is none",
      { certificates: { "a*.b": { cert, key } } },
      'tls.certificates: expected host names like "a.example" or "*.a.example", got "a*.b"',
    ],
    [
      "a key alone",
      { certificates: { "a.b": { key } } },
      'tls.certificates["a.b"]: expected cert and key, or pfx, got key alone',
    ],
    [
      "a key of another",
      { certificates: { "a.b": { cert, key: stranger.key } } },
      'tls.certificates["a.b"]: expected certificates, keys and settings that OpenSSL takes',
    ],
    [
      "a file's name",
      { certificates: { "a.b": { cert: "/a.pem", key } } },
      'tls.certificates["a.b"].cert: expected what is in a PEM file',
    ],
    [
      "an option that is not theirs",
      { certificates: { "a.b": { cert, key, requestCert: true } } },
      'tls.certificates["a.b"]: expected one of cert, key, passphrase, pfx, got "requestCert"',
    ],
    [
      "SNICallback besides",
      { cert, key, certificates: { "a.b": { cert, key } }, SNICallback: () => {} },
      "tls: expected certificates or SNICallback, got both",
    ],
    ["none at all", { certificates: {} }, "tls: expected cert and key, or pfx, got neither"],
  ])("%s", async (_, tls, text) => {
    await expect(listen({ server: "engine", client: "engine" }, { tls } as never)).rejects.toThrow(
      text,
    );
  });
});
