// Every scenario of the harness. An id says kind, size and connections x streams: `unary_32b_8x32`.

import type { CallKind, Workload } from "./load/workload.ts";

export type BackendKind = "lean" | "grpc-js";
/** What a figure is "per". A MiB is counted once, although it is carried both ways. */
export type Unit = "call" | "message" | "MiB";

interface ScenarioBase {
  readonly id: string;
  readonly title: string;
  readonly backend: BackendKind;
  /** Part of `--smoke`. */
  readonly smoke: boolean;
  /** TLS subjects take part. */
  readonly withTls: boolean;
}

export interface ThroughputScenario extends ScenarioBase {
  readonly measures: "throughput";
  readonly workload: Workload;
  readonly unit: Unit;
}

/** Open loop: calls begin at a fixed rate, whatever the subject does. */
export interface LatencyScenario extends ScenarioBase {
  readonly measures: "latency";
  readonly workload: Workload;
  /** Half of what the slowest subject carries, for all of them; or half of what each one carries itself. */
  readonly rate: "slowest" | "own";
}

export interface MemoryScenario extends ScenarioBase {
  readonly measures: "memory";
  readonly connectionCount: number;
  /** 0: bare connections. */
  readonly streamsPerConnection: number;
}

export type Scenario = ThroughputScenario | LatencyScenario | MemoryScenario;

interface Extras {
  readonly messagesPerCall?: number;
  readonly metadataCount?: number;
  readonly backend?: BackendKind;
  readonly smoke?: boolean;
  readonly withTls?: boolean;
  readonly unit?: Unit;
}

function throughput(
  id: string,
  title: string,
  kind: CallKind,
  messageBytes: number,
  connectionCount: number,
  streamsPerConnection: number,
  extras: Extras = {},
): ThroughputScenario {
  const { messagesPerCall = 1, metadataCount = 0, backend = "lean" } = extras;
  return {
    measures: "throughput",
    id,
    title,
    backend,
    smoke: extras.smoke ?? false,
    withTls: extras.withTls ?? false,
    unit: extras.unit ?? (kind === "unary" ? "call" : "message"),
    workload: {
      kind,
      messageBytes,
      connectionCount,
      streamsPerConnection,
      messagesPerCall,
      metadataCount,
    },
  };
}

function latency(id: string, title: string, rate: LatencyScenario["rate"]): LatencyScenario {
  return {
    measures: "latency",
    id,
    title,
    backend: "lean",
    smoke: rate === "own",
    withTls: false,
    rate,
    workload: {
      kind: "unary",
      messageBytes: 32,
      connectionCount: 8,
      streamsPerConnection: 32,
      messagesPerCall: 1,
      metadataCount: 0,
    },
  };
}

const KIB = 1_024;
const MIB = 1_048_576;

export const SCENARIOS: readonly Scenario[] = [
  throughput("unary_32b_8x32", "unary 32 B, 8 connections x 32 streams", "unary", 32, 8, 32, {
    smoke: true,
    withTls: true,
  }),
  throughput("unary_32b_1x1", "unary 32 B, one call at a time", "unary", 32, 1, 1, {
    withTls: true,
  }),
  throughput("unary_32b_1x100", "unary 32 B, 1 connection x 100 streams", "unary", 32, 1, 100),
  throughput("unary_32b_64x1", "unary 32 B, 64 connections x 1 stream", "unary", 32, 64, 1),
  throughput("unary_32b_1000x10", "unary 32 B, 1,000 connections x 10", "unary", 32, 1_000, 10),
  throughput("unary_1kb_8x32", "unary 1 KiB, 8 x 32", "unary", KIB, 8, 32),
  throughput("unary_64kb_8x4", "unary 64 KiB, 8 x 4", "unary", 64 * KIB, 8, 4, { unit: "MiB" }),
  throughput("unary_1mb_4x4", "unary 1 MiB, 4 x 4", "unary", MIB, 4, 4, {
    unit: "MiB",
    smoke: true,
    withTls: true,
  }),
  throughput(
    "metadata_20_8x32",
    "unary 32 B with 20 metadata entries, 8 x 32",
    "unary",
    32,
    8,
    32,
    {
      metadataCount: 20,
    },
  ),
  throughput(
    "server_stream_100b_8x4",
    "server stream, 1,000 x 100 B, 8 x 4",
    "server_stream",
    100,
    8,
    4,
    {
      messagesPerCall: 1_000,
      smoke: true,
    },
  ),
  throughput(
    "client_stream_100b_8x4",
    "client stream, 1,000 x 100 B, 8 x 4",
    "client_stream",
    100,
    8,
    4,
    {
      messagesPerCall: 1_000,
      smoke: true,
    },
  ),
  throughput(
    "bidi_100b_1x10x100",
    "bidi echo 100 B, 10 streams x 100 in flight",
    "bidi",
    100,
    1,
    10,
    {
      messagesPerCall: 100,
      smoke: true,
    },
  ),
  throughput("bidi_100b_8x4x1", "bidi ping-pong 100 B, 8 x 4", "bidi", 100, 8, 4),
  throughput("unary_32b_8x32_grpcjs", "unary 32 B, 8 x 32, grpc-js backend", "unary", 32, 8, 32, {
    backend: "grpc-js",
  }),
  throughput(
    "bidi_100b_8x4x1_grpcjs",
    "bidi ping-pong 100 B, 8 x 4, grpc-js backend",
    "bidi",
    100,
    8,
    4,
    {
      backend: "grpc-js",
    },
  ),
  latency("latency_same_rate", "unary 32 B, all at half of what the slowest carries", "slowest"),
  latency("latency_half_load", "unary 32 B, each at half of what it carries", "own"),
  {
    measures: "memory",
    id: "idle_connections",
    title: "idle connections",
    backend: "lean",
    smoke: true,
    withTls: true,
    connectionCount: 5_000,
    streamsPerConnection: 0,
  },
  {
    measures: "memory",
    id: "idle_streams",
    title: "idle open streams, 100 on each connection",
    backend: "lean",
    smoke: true,
    withTls: false,
    connectionCount: 50,
    streamsPerConnection: 100,
  },
];

/** How a smoke run shrinks a scenario: it shows that everything works, not how fast. */
export function shrunk(scenario: Scenario): Scenario {
  if (scenario.measures !== "memory") return scenario;
  const connectionCount = Math.ceil(scenario.connectionCount / 10);
  return { ...scenario, connectionCount };
}
