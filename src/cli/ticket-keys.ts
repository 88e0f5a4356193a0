// Keys of TLS session tickets that all workers have: a client resumes its session at any of them.

import { createHmac, randomBytes } from "node:crypto";
import type { ServerTlsOptions } from "../index.ts";

/**
 * How often the process that holds the workers makes a new secret, in milliseconds. Whoever gets
 * the keys can read TLS 1.2 sessions that were recorded under them, so they do not live long. Node
 * has one key at a time and gives tickets for five minutes: one ticket in twelve meets a new key,
 * and costs a full handshake.
 */
export const TICKET_SECRET_MS = 3_600_000;

const SECRET_BYTES = 32;
/** As node:tls takes them. */
const TICKET_KEY_BYTES = 48;

export function newTicketSecret(): string {
  return randomBytes(SECRET_BYTES).toString("hex");
}

/**
 * The same for workers with the same secret and the same certificates. With others, a client that
 * was let in by former authorities has to show its certificate again.
 */
export function withTicketKeys(secret: string, tls: ServerTlsOptions): ServerTlsOptions {
  const hmac = createHmac("sha512", Buffer.from(secret, "hex"));
  hmac.update(JSON.stringify([tls.cert, tls.key, tls.ca].map(String)));
  return { ...tls, ticketKeys: hmac.digest().subarray(0, TICKET_KEY_BYTES) };
}
