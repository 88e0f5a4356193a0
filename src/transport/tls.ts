// The TLS options and facts for the layers above, and the checks of users' TLS options. This is the
// only file above the transports that names node:tls.

import type { ServerOpts, TcpNetConnectOpts } from "node:net";
import {
  type ConnectionOptions,
  createSecureContext,
  type PeerCertificate,
  type SecureContextOptions,
  type TlsOptions,
} from "node:tls";
import { checkBoolean, checkFunction, checkObject, shown } from "../check/check.ts";
import { anything, type OptionChecks, type OptionTable, optionTable } from "../check/options.ts";

/**
 * Keys and trust, as `tls.createSecureContext` takes them, and further options of node:tls and
 * node:net for either side.
 */
export type TlsMaterial = Pick<
  SecureContextOptions,
  | "ca"
  | "cert"
  | "key"
  | "passphrase"
  | "pfx"
  | "crl"
  | "ciphers"
  | "minVersion"
  | "maxVersion"
  | "sigalgs"
  | "ecdhCurve"
  | "dhparam"
  | "honorCipherOrder"
  | "secureOptions"
  | "secureProtocol"
  | "sessionIdContext"
  | "sessionTimeout"
  | "ticketKeys"
  | "allowPartialTrustChain"
  | "clientCertEngine"
  | "privateKeyEngine"
  | "privateKeyIdentifier"
> &
  Pick<ConnectionOptions, "enableTrace"> &
  Pick<ServerOpts, "keepAlive" | "keepAliveInitialDelay">;

/** The certificate that a server shows to clients that ask for one of its names. */
export type ServerCertificate = Pick<TlsMaterial, "cert" | "key" | "passphrase" | "pfx">;

export interface ServerTlsOptions extends TlsMaterial, Pick<TlsOptions, "SNICallback"> {
  /**
   * Certificates by the name that a client asks for (SNI): `{ "a.example": { cert, key } }`. A name
   * `*.a.example` stands for each name with one more label. A client that asks for another name, or
   * for none, is shown the `cert` of `tls`; without a `cert` its handshake fails. Not together with
   * `SNICallback`.
   * @default `cert` for every client
   */
  readonly certificates?: Readonly<Record<string, ServerCertificate>>;
  /** Ask clients for a certificate (mutual TLS). @default false */
  readonly requestCert?: boolean;
  /**
   * Refuse clients whose certificate is missing or not trusted; only with `requestCert`. @default
   * true
   */
  readonly rejectUnauthorized?: boolean;
}

export interface ClientTlsOptions
  extends TlsMaterial,
    Pick<
      ConnectionOptions,
      "checkServerIdentity" | "lookup" | "minDHSize" | "secureContext" | "session"
    >,
    Pick<TcpNetConnectOpts, "family" | "hints" | "localAddress" | "localPort"> {
  /**
   * The name to send as SNI and to verify the certificate against. @default the host of the target
   */
  readonly serverName?: string;
  /** Refuse a server whose certificate does not verify. @default true */
  readonly rejectUnauthorized?: boolean;
}

export interface TlsInfo {
  /** `TLSv1.3`, ... */
  readonly protocol: string;
  /** The peer's certificate chain was verified. */
  readonly authorized: boolean;
  /** SNI that the client sent. */
  readonly serverName: string | undefined;
  /** The peer's certificate; `undefined` when it sent none. Read on demand. */
  readonly peerCertificate: PeerCertificate | undefined;
}

const MATERIAL: OptionChecks<TlsMaterial> = {
  ca: pem,
  cert: pem,
  key: pem,
  passphrase: anything,
  pfx: anything,
  crl: pem,
  ciphers: anything,
  minVersion: anything,
  maxVersion: anything,
  sigalgs: anything,
  ecdhCurve: anything,
  dhparam: anything,
  honorCipherOrder: anything,
  secureOptions: anything,
  secureProtocol: anything,
  sessionIdContext: anything,
  sessionTimeout: anything,
  ticketKeys: anything,
  allowPartialTrustChain: anything,
  clientCertEngine: anything,
  privateKeyEngine: anything,
  privateKeyIdentifier: anything,
  enableTrace: anything,
  keepAlive: anything,
  keepAliveInitialDelay: anything,
};

const named = (option: string): string => `tls.${option}`;

/** Options of node:tls that users may not set. */
const OURS = {
  ALPNProtocols: "no ALPN protocols, because only h2 is spoken here",
  ALPNCallback: "no ALPN protocols, because only h2 is spoken here",
};

/** Refuses options with which no client could connect. */
export const CLIENT_TLS_OPTIONS: OptionTable = optionTable<
  ClientTlsOptions & Pick<ConnectionOptions, "pskCallback">
>(
  "tls",
  {
    ...MATERIAL,
    serverName: (name, value) => {
      if (typeof value === "string") return;
      throw new TypeError(`${name}: expected a string, got ${shown(value)}`);
    },
    rejectUnauthorized: checkBoolean,
    checkServerIdentity: checkFunction,
    lookup: checkFunction,
    minDHSize: anything,
    pskCallback: checkFunction,
    secureContext: anything,
    session: anything,
    family: anything,
    hints: anything,
    localAddress: anything,
    localPort: anything,
  },
  {
    named,
    instead: {
      ...OURS,
      servername: "the option serverName",
      host: "the host in the target",
      port: "the port in the target",
      path: "the path in the target",
      timeout: "the option connectTimeoutMs of dial",
    },
    together: checkMaterial,
    orFunction: true,
  },
);

/**
 * The current value of a client's option `tls`.
 * @throws the error of its function, and `TypeError` for options with which no client could connect
 */
export function currentTls(
  tls: ClientTlsOptions | (() => ClientTlsOptions) | undefined,
): ClientTlsOptions | undefined {
  if (typeof tls !== "function") return tls;
  let given: unknown;
  try {
    given = tls();
  } catch (cause) {
    const text = cause instanceof Error ? cause.message : shown(cause);
    throw new Error(`the function tls threw: ${text}`, { cause });
  }
  if (given instanceof Promise) {
    // Nobody waits for this promise, so its rejection is ignored.
    given.catch(() => {});
    throw new TypeError(
      "tls: expected a function that returns an object, got one that returns a promise: read files before, or with readFileSync",
    );
  }
  checkObject("what the function tls returned", given);
  CLIENT_TLS_OPTIONS.check(given);
  return given as ClientTlsOptions;
}

/** Refuses options with which no server could accept a connection. */
export const SERVER_TLS_OPTIONS: OptionTable = optionTable<
  ServerTlsOptions & Pick<TlsOptions, "pskCallback" | "pskIdentityHint">
>(
  "tls",
  {
    ...MATERIAL,
    requestCert: checkBoolean,
    rejectUnauthorized: checkBoolean,
    SNICallback: checkFunction,
    certificates: checkCertificates,
    pskCallback: checkFunction,
    pskIdentityHint: anything,
  },
  {
    named,
    instead: { ...OURS, handshakeTimeout: "the option handshakeTimeoutMs of the server" },
    together: checkServerMaterial,
  },
);

function checkServerMaterial(tls: ServerTlsOptions): void {
  const { cert, key, pfx, certificates = {}, SNICallback } = tls;
  const hosts = Object.keys(certificates);
  if (hosts.length > 0 && SNICallback !== undefined) {
    throw new TypeError("tls: expected certificates or SNICallback, got both");
  }
  const isByNameAlone =
    hosts.length > 0 && cert === undefined && key === undefined && pfx === undefined;
  if (!isByNameAlone) checkPair("tls", tls);
  checkMaterial(tls);
  for (const host of hosts) {
    const what = certificateName(host);
    const certificate = certificates[host] as ServerCertificate;
    checkPair(what, certificate);
    checkMaterial(contextOptionsOf(tls, certificate), what);
  }
}

function checkPair(what: string, { cert, key, pfx }: ServerCertificate): void {
  if (pfx !== undefined || (cert !== undefined && key !== undefined)) return;
  const got = cert !== undefined ? "cert alone" : key !== undefined ? "key alone" : "neither";
  throw new TypeError(`${what}: expected cert and key, or pfx, got ${got}`);
}

/** All of `tls` except the server's identity, which is in `certificate`. */
export function contextOptionsOf(
  tls: ServerTlsOptions,
  certificate: ServerCertificate,
): SecureContextOptions {
  const { cert, key, passphrase, pfx, certificates, SNICallback, ...shared } = tls;
  return { ...shared, ...certificate };
}

/** A host name, or one whose first label may be `*`. */
const HOST_NAME = /^(?:\*\.)?(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_-]{1,63}$/i;

const certificateName = (host: string): string => `tls.certificates[${JSON.stringify(host)}]`;

function checkCertificates(name: string, value: unknown): void {
  checkObject(name, value);
  for (const [host, certificate] of Object.entries(value as object)) {
    if (host.length > 253 || !HOST_NAME.test(host)) {
      throw new TypeError(
        `${name}: expected host names like "a.example" or "*.a.example", got ${shown(host)}`,
      );
    }
    const what = certificateName(host);
    const table = optionTable<ServerCertificate>(
      what,
      { cert: pem, key: pem, passphrase: anything, pfx: anything },
      { named: (option) => `${what}.${option}` },
    );
    table.check(certificate);
  }
}

/** Finds now what OpenSSL refuses, and not when the first connection is made. */
function checkMaterial(tls: TlsMaterial, what = "tls"): void {
  try {
    createSecureContext(tls);
  } catch (cause) {
    throw new TypeError(
      `${what}: expected certificates, keys and settings that OpenSSL takes, got: ${opensslReason(cause)}`,
      { cause },
    );
  }
}

/**
 * The content of the file, not its name. OpenSSL silently takes nothing from a `ca` that is no PEM,
 * and for the other options it complains about a start line.
 */
function pem(name: string, value: unknown): void {
  for (const each of Array.isArray(value) ? value : [value]) {
    const isText = typeof each === "string";
    if (!isText && !(each instanceof Uint8Array)) continue;
    const text = isText ? each : Buffer.from(each).toString("latin1");
    if (text.includes(PEM_BEGIN)) continue;
    const isPath = isText && /^[^\n]{0,1000}[/\\.][^\n]{0,1000}$/.test(text);
    if (!isPath && name !== "tls.ca") continue;
    const got = isPath ? `${shown(text)}: a file has to be read first` : "none of that";
    throw new TypeError(`${name}: expected what is in a PEM file (${PEM_BEGIN} ...), got ${got}`);
  }
}

const PEM_BEGIN = "-----BEGIN";

/** One line of OpenSSL's text, without its numbers and the places in its source that Node adds. */
export function opensslReason(error: unknown): string {
  if (!(error instanceof Error)) return shown(error);
  const reason = "library" in error && "reason" in error ? error.reason : undefined;
  const said = /:?error:[0-9A-F]+:[^:]*:[^:]*:([^:]*)/.exec(error.message)?.[1];
  const text = (typeof reason === "string" ? reason : (said ?? error.message)).trim();
  const [line = ""] = text.split("\n", 1);
  const meaning = MEANINGS[line];
  return meaning === undefined ? line : `${line} (${meaning})`;
}

const NO_CERTIFICATE = "there is no certificate for this client, or for the name that it asks for";

/** Explanations for reasons that are hard to understand. */
const MEANINGS: Readonly<Record<string, string>> = {
  "wrong version number": "the other side does not speak TLS",
  "packet length too long": "the other side does not speak TLS",
  "http request": "the other side speaks HTTP without TLS",
  "no shared cipher": NO_CERTIFICATE,
  "no suitable signature algorithm": NO_CERTIFICATE,
};
