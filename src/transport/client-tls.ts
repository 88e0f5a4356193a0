// How a client calls node:tls, on either transport.

import { isIP } from "node:net";
import type { ConnectionOptions } from "node:tls";
import type { ClientTlsOptions } from "./tls.ts";
import type { SocketAddress } from "./transport.ts";

/**
 * What `tls.connect` takes for a connection to `address` that speaks h2.
 * @throws {TypeError} for a server name that is none
 */
export function tlsConnectOptions(
  address: SocketAddress,
  tls: ClientTlsOptions,
): ConnectionOptions {
  const { serverName, rejectUnauthorized = true, ...material } = tls;
  const name = serverName ?? ("path" in address ? "localhost" : address.host);
  // node:tls looks at it when its socket is connecting already.
  if (typeof name !== "string") throw new TypeError(`serverName: expected a string, got ${name}`);
  return {
    ...material,
    ...("path" in address ? { path: address.path } : { host: address.host, port: address.port }),
    rejectUnauthorized,
    ALPNProtocols: ["h2"],
    // SNI takes names only (RFC 6066 §3); the certificate is checked against addresses as well.
    ...(isIP(name) === 0 ? { servername: name } : {}),
  };
}
