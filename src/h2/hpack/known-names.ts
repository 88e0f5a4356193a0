// The encoder's knowledge of field names: their static table entries, and which of them must stay
// out of the dynamic table.

import { STATIC_FIELDS } from "./static-table.ts";

export interface KnownName {
  /** The first static entry with this name, 0 for none. */
  readonly staticIndex: number;
  /** Static entries by value. */
  readonly staticValues: ReadonlyMap<string, number>;
  /** The value is another one in each call: indexing it would only push out values that repeat. */
  readonly perCall: boolean;
}

const PER_CALL_NAMES: readonly string[] = [
  // gRPC: the time left, the text of an error and its details.
  "grpc-timeout",
  "grpc-message",
  "grpc-status-details-bin",
  // Sizes and times of this message.
  "content-length",
  "content-range",
  "date",
  "age",
  "expires",
  "last-modified",
  "etag",
  "set-cookie",
  // Trace context: a new span id for every call.
  "traceparent",
  "tracestate",
  "grpc-trace-bin",
  "b3",
  "x-b3-traceid",
  "x-b3-spanid",
  "x-b3-parentspanid",
  "x-cloud-trace-context",
  "x-amzn-trace-id",
  "x-datadog-trace-id",
  "x-datadog-parent-id",
  "uber-trace-id",
  "sentry-trace",
  // Call identities, and times measured by other proxies.
  "x-request-id",
  "x-correlation-id",
  "idempotency-key",
  "x-envoy-expected-rq-timeout-ms",
  "x-envoy-upstream-service-time",
];

/**
 * By name. `:path`, `authorization` and the like are not per call: a connection carries few of
 * them, many times.
 */
export const KNOWN_NAMES: ReadonlyMap<string, KnownName> = buildKnownNames();

function buildKnownNames(): ReadonlyMap<string, KnownName> {
  const perCall = new Set(PER_CALL_NAMES);
  const names = new Map<string, KnownName & { readonly staticValues: Map<string, number> }>();
  for (const field of STATIC_FIELDS) {
    if (field === undefined) continue;
    const { name, value, encoderSlot: staticIndex } = field;
    const known = names.get(name);
    if (known !== undefined) known.staticValues.set(value, staticIndex);
    else {
      const staticValues = new Map([[value, staticIndex]]);
      names.set(name, { staticIndex, staticValues, perCall: perCall.has(name) });
    }
  }
  for (const name of PER_CALL_NAMES) {
    if (!names.has(name))
      names.set(name, { staticIndex: 0, staticValues: new Map(), perCall: true });
  }
  return names;
}
