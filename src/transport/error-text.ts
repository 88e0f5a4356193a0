// The text of a failed socket as one readable line: without places in OpenSSL's source, and without
// an address that is named beside it.

import { opensslReason } from "./tls.ts";

/**
 * @param peer the address that the reader is told in addition; the text leaves it out. A name with
 *   several addresses fails with an AggregateError, whose own message is empty.
 */
export function errorText(error: Error, peer = ""): string {
  if (error.message === "" && "errors" in error && Array.isArray(error.errors)) {
    return error.errors
      .map((each) => (each instanceof Error ? errorText(each, peer) : String(each)))
      .join("; ");
  }
  return wrongNameText(error, peer) ?? withoutAddress(opensslReason(error), error, peer);
}

/**
 * The error of a handshake that `peer` failed.
 * @param untrusted why its certificate does not verify, in the words of node:tls, if that was
 *   checked
 */
export function handshakeError(peer: string, error: Error, untrusted?: unknown): Error {
  const reason = handshakeReason(errorText(error, peer), untrusted);
  const told = new Error(`${peer} failed the TLS handshake: ${reason}`, { cause: error });
  return "code" in error ? Object.assign(told, { code: error.code }) : told;
}

/** Node says that the socket hung up, whichever side closed it within a handshake. */
function handshakeReason(text: string, untrusted: unknown): string {
  if (text !== "socket hang up") return text;
  return typeof untrusted === "string"
    ? `its certificate was not accepted (${untrusted})`
    : "it closed the connection, as clients do that do not accept the certificate";
}

/** Node names the host twice, and ends with white space when the certificate has no names. */
function wrongNameText(error: Error, peer: string): string | undefined {
  if (!("code" in error) || error.code !== "ERR_TLS_CERT_ALTNAME_INVALID") return undefined;
  const host = "host" in error && typeof error.host === "string" ? error.host : "this host";
  const cert: unknown = "cert" in error ? error.cert : undefined;
  const names =
    typeof cert === "object" && cert !== null && "subjectaltname" in cert
      ? cert.subjectaltname
      : undefined;
  const whose = isHostOf(host, peer) ? "this host" : host;
  return `the certificate is not for ${whose}, but for ${names ? String(names) : "no name"}`;
}

/** Shortens `connect ECONNREFUSED 10.0.0.7:50051` for a reader who knows the address. */
function withoutAddress(text: string, error: Error, peer: string): string {
  if (peer.startsWith("unix:")) {
    const path = peer.slice("unix:".length);
    return path !== "" && text.endsWith(` ${path}`) ? text.slice(0, -path.length - 1) : text;
  }
  if (text.endsWith(` ${peer}`)) return text.slice(0, -peer.length - 1);
  if ("address" in error && "port" in error) {
    // Node writes IPv6 addresses without brackets.
    const { address, port } = error;
    const said = ` ${address}:${port}`;
    if (peer === `[${address}]:${port}` && text.endsWith(said)) return text.slice(0, -said.length);
  }
  const hostname = "hostname" in error ? ` ${error.hostname}` : "";
  return hostname !== "" && isHostOf(hostname.slice(1), peer) && text.endsWith(hostname)
    ? text.slice(0, -hostname.length)
    : text;
}

function isHostOf(host: string, peer: string): boolean {
  return peer.startsWith(`${host}:`) || peer.startsWith(`[${host}]:`);
}
