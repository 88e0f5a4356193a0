// Options of node:tls for a client, on either transport.

import { isIP } from "node:net";
import type { ConnectionOptions } from "node:tls";
import type { ClientTlsOptions } from "./tls.ts";
import type { SocketAddress } from "./transport.ts";

/**
 * The options of `tls.connect` for a connection to `address` that speaks h2.
 * @throws {TypeError} for an invalid server name
 */
export function tlsConnectOptions(
  address: SocketAddress,
  tls: ClientTlsOptions,
): ConnectionOptions {
  const { serverName, rejectUnauthorized = true, ...material } = tls;
  const name = serverName ?? ("path" in address ? "localhost" : address.host);
  // node:tls checks this only when its socket is connecting already.
  if (typeof name !== "string") throw new TypeError(`serverName: expected a string, got ${name}`);
  return {
    ...material,
    ...("path" in address ? { path: address.path } : { host: address.host, port: address.port }),
    rejectUnauthorized,
    ALPNProtocols: ["h2"],
    // SNI takes only names (RFC 6066 §3). The certificate is checked against addresses, too.
    ...(isIP(name) === 0 ? { servername: name } : {}),
  };
}
