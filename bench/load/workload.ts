// The task and the report of a load: the types between the harness and the load tools.

import type { LatencyFigures } from "../measure/statistics.ts";

/** The shape of the calls. */
export type CallKind = "unary" | "server_stream" | "client_stream" | "bidi";

export interface Workload {
  readonly kind: CallKind;
  readonly connectionCount: number;
  /** Calls under way on each connection. */
  readonly streamsPerConnection: number;
  /** Encoded size of every message, without gRPC's prefix. */
  readonly messageBytes: number;
  /**
   * Messages in a streamed direction. For `bidi`: how many are in flight on each stream, which
   * stays open.
   */
  readonly messagesPerCall: number;
  /** Metadata entries beside those that every call has. */
  readonly metadataCount: number;
  /**
   * Server streams of 1 GiB that run on each connection beside the calls and begin again when they
   * have ended. Their messages are not counted, but they must not fail.
   * @default 0
   */
  readonly bulkStreams?: number;
}

/** The workload of the bulk streams beside the calls. */
export const BULK: Workload = {
  kind: "server_stream",
  connectionCount: 1,
  streamsPerConnection: 1,
  messageBytes: 65_536,
  messagesPerCall: 16_384,
  metadataCount: 0,
};

export interface LoadTarget {
  readonly port: number;
  readonly tls: boolean;
}

/** The findings of one round of load. A unit is a call; for streamed kinds it is a message. */
export interface LoadResult {
  readonly callCount: number;
  readonly messageCount: number;
  readonly elapsedMs: number;
  /** How many calls went wrong, by the reason. */
  readonly failures: Readonly<Record<string, number>>;
  readonly latency: LatencyFigures | undefined;
  /** Open loop only: the subject fell so far behind that the load was given up. */
  readonly overloaded?: boolean;
  /** Open loop only: how late the generator itself was, 99th percentile. */
  readonly latenessP99Us?: number | undefined;
}

export function failureCount(result: LoadResult): number {
  return Object.values(result.failures).reduce((sum, count) => sum + count, 0);
}

/**
 * Metadata beside content-type and te: the same values of about 20 bytes for every call, as tracing
 * and auth headers are.
 */
export function metadataOf(count: number): [name: string, value: string][] {
  return Array.from({ length: count }, (_, i) => [
    `x-meta-${String(i).padStart(2, "0")}`,
    `value-of-entry-${String(i).padStart(2, "0")}-0123456789`,
  ]);
}
