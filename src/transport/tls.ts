// What the layers above need to know of TLS. The only place above the transports that names node:tls, for types.

import type { PeerCertificate, SecureContextOptions } from "node:tls";

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
