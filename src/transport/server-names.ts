// Selects the certificate for a client by the name that the client asks for (SNI, RFC 6066 §3).

import { createSecureContext, type SecureContext, type TlsOptions } from "node:tls";
import { contextOptionsOf, type ServerCertificate, type ServerTlsOptions } from "./tls.ts";

/** `tls` in the form of node:tls. @throws the error of OpenSSL */
export function withServerNames(tls: ServerTlsOptions): TlsOptions {
  const { certificates = {}, ...options } = tls;
  const entries = Object.entries(certificates);
  if (entries.length === 0) return options;
  const contextOf = new Map(
    entries.map(([host, certificate]) => [host.toLowerCase(), makeContext(tls, certificate)]),
  );
  return {
    ...options,
    // Without a context the server's own certificate is used, if it has one.
    SNICallback: (name, callback) => callback(null, lookUp(contextOf, name)),
  };
}

function makeContext(tls: ServerTlsOptions, certificate: ServerCertificate): SecureContext {
  return createSecureContext(contextOptionsOf(tls, certificate));
}

/** @param asked as the client wrote it: some end it with a dot, against RFC 6066 §3 */
function lookUp(
  contextOf: ReadonlyMap<string, SecureContext>,
  asked: string,
): SecureContext | undefined {
  const name = (asked.endsWith(".") ? asked.slice(0, -1) : asked).toLowerCase();
  return contextOf.get(name) ?? contextOf.get(`*${name.slice(name.indexOf("."))}`);
}
