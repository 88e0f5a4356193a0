// Converts header lists to and from the forms of node:http2. This file must not know streams.

import {
  sensitiveHeaders as declaredSensitiveHeaders,
  type Http2Session,
  type OutgoingHttpHeaders,
} from "node:http2";
import {
  HeaderField,
  type HeaderList,
  listTooLarge,
  UNANNOUNCED_MAX_LIST_BYTES,
} from "../../wire/field.ts";
import { classifyJudged } from "../../wire/field-rules.ts";
import type { Verdict } from "../../wire/message-rules.ts";
import { HeaderError } from "../transport.ts";

/** node:http2 keeps the names of never-indexed fields under this symbol, in both directions. */
const sensitiveHeaders: unique symbol = declaredSensitiveHeaders as never;

type Marked = { [sensitiveHeaders]?: string[] };

/**
 * The form that `request()` and `respond()` take here: an object, or name and value in turn if this
 * Node can send that.
 */
export type NodeHeaders = OutgoingHttpHeaders;

const [nodeMajor = 0, nodeMinor = 0] = process.versions.node.split(".").map(Number);

/**
 * Name and value in turn keep the order of duplicates among other fields. Older Node takes only
 * objects.
 */
export const REQUEST_TAKES_LISTS: boolean =
  nodeMajor >= 24 || (nodeMajor === 22 && nodeMinor >= 17);
/** `request()` fills in priority fields that newer Node has deprecated. */
export const PRESETS_PRIORITY: boolean = nodeMajor < 22;
export const RESPOND_TAKES_LISTS: boolean =
  nodeMajor >= 25 || (nodeMajor === 24 && nodeMinor >= 7) || (nodeMajor === 22 && nodeMinor >= 20);

/**
 * Checks the verdict of a list to send, and its size against the limit of `session`'s peer. Every
 * list is checked before node:http2 gets it: on Node 20 node:http2 destroys the session for a bad
 * name, and on every Node it takes CR and LF in values.
 * @throws {HeaderError}
 */
export function checkSent(
  { problem, listBytes }: Verdict,
  session: Http2Session | undefined,
): void {
  if (problem !== undefined) throw new HeaderError(problem);
  const maxBytes = maxListBytes(session);
  if (listBytes > maxBytes) throw listTooLarge(listBytes, maxBytes);
}

/**
 * The value that node:http2 gives for a peer that has announced no SETTINGS_MAX_HEADER_LIST_SIZE,
 * or this very number.
 */
const UNANNOUNCED = 0xffffffff;

/**
 * The largest list that the peer takes (RFC 9113 §6.5.2). A session that is over has no settings,
 * and sends nothing.
 */
function maxListBytes(session: Http2Session | undefined): number {
  const announced = session?.remoteSettings.maxHeaderListSize ?? UNANNOUNCED;
  return announced === UNANNOUNCED ? UNANNOUNCED_MAX_LIST_BYTES : announced;
}

/**
 * The fields that the peer sent: node:http2 gives one character per byte, in wire order, with
 * duplicates.
 */
export function receivedFields(rawHeaders: readonly string[], headers: object): HeaderList {
  const names = (headers as Marked)[sensitiveHeaders];
  const marked = names !== undefined && names.length > 0 ? names : undefined;
  const fields: HeaderField[] = [];
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] ?? "";
    const field = new HeaderField(name, rawHeaders[i + 1] ?? "", marked?.includes(name) ?? false);
    classifyJudged(field);
    fields.push(field);
  }
  return fields;
}

/**
 * For `request()` and `respond()` if they take lists. The declared type is that of older Node; the
 * `…_TAKES_LISTS` constants say when `flat` is allowed.
 */
export function toNodeList(fields: HeaderList): NodeHeaders {
  const flat: string[] & Marked = [];
  for (let i = 0; i < fields.length; i++) {
    const field = fields[i];
    if (field === undefined) continue;
    flat.push(field.name, field.value);
    if (field.sensitive) mark(flat, field.name);
  }
  const list: object = flat;
  return list as NodeHeaders;
}

/** Duplicates become arrays. node:http2 sends their values one by one, but next to each other. */
export function toNodeObject(fields: HeaderList): NodeHeaders {
  const headers: NodeHeaders & Marked = Object.create(null);
  for (let i = 0; i < fields.length; i++) {
    const field = fields[i];
    if (field === undefined) continue;
    const before = headers[field.name];
    if (before === undefined) headers[field.name] = field.value;
    else if (Array.isArray(before)) before.push(field.value);
    else headers[field.name] = [String(before), field.value];
    if (field.sensitive) mark(headers, field.name);
  }
  return headers;
}

/**
 * node:http2 refuses to repeat a field that has one value by its rules (`authorization`,
 * `user-agent`, ...). gRPC lets values of one name be joined with a comma, so only the borders are
 * lost.
 */
export function toJoinedNodeObject(fields: HeaderList): NodeHeaders {
  const headers = toNodeObject(fields);
  for (const name of Object.keys(headers)) {
    const value = headers[name];
    if (Array.isArray(value)) headers[name] = value.join(name === "cookie" ? "; " : ",");
  }
  return headers;
}

function mark(headers: Marked, name: string): void {
  const marked = headers[sensitiveHeaders];
  // node:http2 marks names: one sensitive value makes all values of that name sensitive.
  if (marked !== undefined) marked.push(name);
  else headers[sensitiveHeaders] = [name];
}

/** `send` refused a repeated single-value field. Nothing was sent. */
export function isSingleValueRefusal(error: unknown): boolean {
  return (
    error instanceof Error && "code" in error && error.code === "ERR_HTTP2_HEADER_SINGLE_VALUE"
  );
}
