// Which certificate a client is shown, by the name that it asks for (SNI, RFC 6066 §3).

import { createSecureContext, type SecureContext, type TlsOptions } from "node:tls";
import { contextOptionsOf, type ServerCertificate, type ServerTlsOptions } from "./tls.ts";

/** `tls` as node:tls takes it. @throws what OpenSSL refuses */
export function withServerNames(tls: ServerTlsOptions): TlsOptions {
  const { certificates = {}, ...options } = tls;
  const entries = Object.entries(certificates);
  if (entries.length === 0) return options;
  const contextOf = new Map(
    entries.map(([host, certificate]) => [host.toLowerCase(), makeContext(tls, certificate)]),
  );
  return {
    ...options,
    // Without a context it is the server's own certificate, if it has one.
    SNICallback: (name, callback) => callback(null, lookUp(contextOf, name.toLowerCase())),
  };
}

function makeContext(tls: ServerTlsOptions, certificate: ServerCertificate): SecureContext {
  return createSecureContext(contextOptionsOf(tls, certificate));
}

function lookUp(
  contextOf: ReadonlyMap<string, SecureContext>,
  name: string,
): SecureContext | undefined {
  return contextOf.get(name) ?? contextOf.get(`*${name.slice(name.indexOf("."))}`);
}
