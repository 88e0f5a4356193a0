// The header of the PROXY protocol, versions 1 and 2, by which a balancer of connections says whose
// connection it passes on (haproxy.org, proxy-protocol.txt). Bytes in, addresses out: it knows no
// socket.

import { isIPv4, isIPv6 } from "node:net";
import type { SocketAddress } from "./transport.ts";

interface ProxyHeader {
  /** Bytes that it takes; what the client sent follows. */
  readonly length: number;
  /**
   * Whose connection it is, and where the client connected to; `undefined` where the connection is
   * the balancer's own (LOCAL, a health check) or of a kind that has no addresses.
   */
  readonly addresses:
    | { readonly source: SocketAddress; readonly destination: SocketAddress }
    | undefined;
}

/** Version 1: "the longest possible line is 107 bytes", CRLF included (§2.1). */
const MAX_V1_BYTES = 107;
/** Version 2: addresses take 216 bytes at most; the rest are TLVs, which may hold a certificate. */
const MAX_V2_BYTES = 16_384;

const V1_BEGIN = Buffer.from("PROXY ", "latin1");
/** §2.2 */
const V2_SIGNATURE = Buffer.from("0d0a0d0a000d0a515549540a", "hex");
const V2_HEAD_BYTES = 16;

/**
 * @param bytes all that has come so far
 * @returns `undefined` while more has to come
 * @throws {Error} when it is no such header
 */
export function parseProxyHeader(bytes: Buffer): ProxyHeader | undefined {
  if (begins(bytes, V1_BEGIN)) return bytes.length < V1_BEGIN.length ? undefined : parseV1(bytes);
  if (begins(bytes, V2_SIGNATURE)) return parseV2(bytes);
  throw new Error(`expected a PROXY header, got ${JSON.stringify(text(bytes.subarray(0, 24)))}`);
}

function begins(bytes: Buffer, beginning: Buffer): boolean {
  const length = Math.min(bytes.length, beginning.length);
  return beginning.compare(bytes, 0, length, 0, length) === 0;
}

function text(bytes: Buffer): string {
  return bytes.toString("latin1");
}

/** `PROXY TCP4 192.0.2.1 192.0.2.2 4711 50051\r\n`, `PROXY TCP6 ...`, `PROXY UNKNOWN ...` */
function parseV1(bytes: Buffer): ProxyHeader | undefined {
  const end = bytes.subarray(0, MAX_V1_BYTES).indexOf("\r\n", 0, "latin1");
  if (end === -1) {
    if (bytes.length < MAX_V1_BYTES) return undefined;
    throw new Error(`expected the end of a PROXY header within ${MAX_V1_BYTES} bytes, got none`);
  }
  const line = text(bytes.subarray(0, end));
  const length = end + 2;
  const [, family, source, destination, sourcePort, destinationPort, ...more] = line.split(" ");
  // "the receiver must ignore anything presented before the CRLF is found"
  if (family === "UNKNOWN") return { length, addresses: undefined };
  const isAddress = family === "TCP4" ? isIPv4 : family === "TCP6" ? isIPv6 : undefined;
  const ports = [portOf(sourcePort), portOf(destinationPort)] as const;
  if (
    isAddress === undefined ||
    more.length > 0 ||
    source === undefined ||
    destination === undefined ||
    !isAddress(source) ||
    !isAddress(destination) ||
    ports[0] === undefined ||
    ports[1] === undefined
  ) {
    throw new Error(
      `expected PROXY TCP4 or TCP6, two addresses and two ports, got ${JSON.stringify(line)}`,
    );
  }
  return {
    length,
    addresses: {
      source: { host: source, port: ports[0] },
      destination: { host: destination, port: ports[1] },
    },
  };
}

function portOf(digits: string | undefined): number | undefined {
  if (digits === undefined || !/^(?:0|[1-9][0-9]{0,4})$/.test(digits)) return undefined;
  const port = Number(digits);
  return port <= 65_535 ? port : undefined;
}

const LOCAL = 0x20;
const PROXY = 0x21;
const UNSPEC = 0;
const INET = 1;
const INET6 = 2;
const UNIX = 3;

/** Bytes of the addresses, by family (§2.2). */
const ADDRESS_BYTES: Readonly<Record<number, number>> = { [INET]: 12, [INET6]: 36, [UNIX]: 216 };

function parseV2(bytes: Buffer): ProxyHeader | undefined {
  if (bytes.length < V2_HEAD_BYTES) return undefined;
  const command = bytes.readUInt8(12);
  if (command !== LOCAL && command !== PROXY) {
    throw new Error(
      `expected version 2 and LOCAL or PROXY in a PROXY header, got 0x${command.toString(16)}`,
    );
  }
  const family = bytes.readUInt8(13) >> 4;
  const length = V2_HEAD_BYTES + bytes.readUInt16BE(14);
  if (length > MAX_V2_BYTES) {
    throw new Error(`expected a PROXY header of at most ${MAX_V2_BYTES} bytes, got ${length}`);
  }
  if (bytes.length < length) return undefined;
  // "The receiver must accept this connection as valid and must use the real connection endpoints."
  if (command === LOCAL || family === UNSPEC) return { length, addresses: undefined };
  const addressBytes = ADDRESS_BYTES[family];
  if (addressBytes === undefined || length - V2_HEAD_BYTES < addressBytes) {
    throw new Error(
      `expected a PROXY header with the addresses of its family, got ${length - V2_HEAD_BYTES} bytes of family ${family}`,
    );
  }
  // TLVs may follow them.
  const addresses = bytes.subarray(V2_HEAD_BYTES, V2_HEAD_BYTES + addressBytes);
  return { length, addresses: family === UNIX ? unixAddresses(addresses) : ipAddresses(addresses) };
}

function ipAddresses(bytes: Buffer): NonNullable<ProxyHeader["addresses"]> {
  const hostBytes = (bytes.length - 4) / 2;
  const source = bytes.subarray(0, hostBytes);
  const destination = bytes.subarray(hostBytes, 2 * hostBytes);
  return {
    source: { host: hostOf(source), port: bytes.readUInt16BE(2 * hostBytes) },
    destination: { host: hostOf(destination), port: bytes.readUInt16BE(2 * hostBytes + 2) },
  };
}

function hostOf(bytes: Buffer): string {
  if (bytes.length === 4) return bytes.join(".");
  const groups = Array.from({ length: 8 }, (_, i) => bytes.readUInt16BE(2 * i).toString(16));
  // The shortest form (RFC 5952), which URL makes.
  return new URL(`http://[${groups.join(":")}]`).hostname.slice(1, -1);
}

function unixAddresses(bytes: Buffer): NonNullable<ProxyHeader["addresses"]> {
  return {
    source: { path: pathOf(bytes.subarray(0, 108)) },
    destination: { path: pathOf(bytes.subarray(108)) },
  };
}

function pathOf(bytes: Buffer): string {
  const end = bytes.indexOf(0);
  return text(end === -1 ? bytes : bytes.subarray(0, end));
}
