// What the layers above need to know of TLS, and the check of what users pass for it. The only place above the transports that names
// node:tls.

import { createSecureContext, type PeerCertificate, type SecureContextOptions } from "node:tls";
import { checkObject, shown } from "../check/check.ts";

/** Keys and trust, as `tls.createSecureContext` takes them. */
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
>;

export interface ServerTlsOptions extends TlsMaterial {
  /** Ask clients for a certificate (mutual TLS). @default false */
  readonly requestCert?: boolean;
  /** Refuse clients whose certificate is missing or not trusted; only with `requestCert`. @default true */
  readonly rejectUnauthorized?: boolean;
}

export interface ClientTlsOptions extends TlsMaterial {
  /** The name to send as SNI and to verify the certificate against. @default the host of the target */
  readonly serverName?: string;
  /** Refuse a server whose certificate does not verify. @default true */
  readonly rejectUnauthorized?: boolean;
}

export interface TlsInfo {
  /** `TLSv1.3`, ... */
  readonly protocol: string;
  /** The peer's certificate chain verified. */
  readonly authorized: boolean;
  /** SNI that the client sent. */
  readonly serverName: string | undefined;
  /** The peer's certificate; `undefined` when it sent none. Read on demand. */
  readonly peerCertificate: PeerCertificate | undefined;
}

/** @throws {TypeError} for what no client could connect with */
export function checkClientTls(tls: ClientTlsOptions): void {
  checkObject("tls", tls);
  if ("servername" in tls) {
    throw new TypeError("tls: expected the option serverName, got servername");
  }
  const { serverName } = tls;
  if (serverName !== undefined && typeof serverName !== "string") {
    throw new TypeError(`tls.serverName: expected a string, got ${shown(serverName)}`);
  }
  checkMaterial(tls);
}

/** @throws {TypeError} for what no server could accept a connection with */
export function checkServerTls(tls: ServerTlsOptions): void {
  checkObject("tls", tls);
  const { cert, key, pfx } = tls;
  if (pfx === undefined && (cert === undefined || key === undefined)) {
    const got = cert !== undefined ? "cert alone" : key !== undefined ? "key alone" : "neither";
    throw new TypeError(`tls: expected cert and key, or pfx, got ${got}`);
  }
  checkMaterial(tls);
}

/** What OpenSSL refuses it refuses now, not when the first connection is made. */
function checkMaterial(tls: TlsMaterial): void {
  try {
    createSecureContext(tls);
  } catch (cause) {
    throw new TypeError(
      `tls: expected certificates, keys and settings that OpenSSL takes, got: ${opensslReason(cause)}`,
      { cause },
    );
  }
}

/** What OpenSSL says, without its numbers and the places in its source that Node puts around it. */
export function opensslReason(error: unknown): string {
  if (!(error instanceof Error)) return shown(error);
  return "reason" in error && typeof error.reason === "string" ? error.reason : error.message;
}
