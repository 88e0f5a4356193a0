// Every scenario of the harness. An id says kind, size and connections x streams: `unary_32b_8x32`.

import type { CallKind, Workload } from "./load/workload.ts";

/** `uneven`: ten backends of different speed, for subjects that spread calls over them. */
export type BackendKind = "lean" | "grpc-js" | "uneven";
/** The unit that a figure is divided by. A MiB counts once, although it is carried both ways. */
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
  /**
   * `slowest`: for all subjects, half the rate that the slowest carries. `own`: for each subject,
   * half the rate that it carries. A number: as many calls per second.
   */
  readonly rate: "slowest" | "own" | number;
}

export interface MemoryScenario extends ScenarioBase {
  readonly measures: "memory";
  readonly connectionCount: number;
  /** 0: bare connections. */
  readonly streamsPerConnection: number;
}

export type Scenario = ThroughputScenario | LatencyScenario | MemoryScenario;

type Traits = Partial<Pick<ThroughputScenario, "backend" | "smoke" | "withTls" | "unit">>;

function workload(
  kind: CallKind,
  messageBytes: number,
  [connectionCount, streamsPerConnection]: readonly [number, number],
  more: Partial<Workload> = {},
): Workload {
  return {
    kind,
    messageBytes,
    connectionCount,
    streamsPerConnection,
    messagesPerCall: 1,
    metadataCount: 0,
    ...more,
  };
}

function throughput(id: string, carried: Workload, traits: Traits = {}): ThroughputScenario {
  const backend = traits.backend ?? "lean";
  return {
    measures: "throughput",
    id,
    title: `${describe(carried)}${backend === "lean" ? "" : `, ${backend} backend`}`,
    backend,
    smoke: traits.smoke ?? false,
    withTls: traits.withTls ?? false,
    unit: traits.unit ?? (carried.kind === "unary" ? "call" : "message"),
    workload: carried,
  };
}

function describe(carried: Workload): string {
  const { kind, messageBytes, messagesPerCall, metadataCount } = carried;
  const size =
    messageBytes >= MIB
      ? `${messageBytes / MIB} MiB`
      : messageBytes >= KIB
        ? `${messageBytes / KIB} KiB`
        : `${messageBytes} B`;
  const count = messagesPerCall.toLocaleString("en-US");
  const messages =
    kind === "unary"
      ? size
      : kind === "bidi"
        ? `${size}, ${count} in flight on each stream`
        : `of ${count} messages of ${size}`;
  const metadata = metadataCount === 0 ? "" : ` with ${metadataCount} metadata entries`;
  const { connectionCount, streamsPerConnection } = carried;
  const connections = `${connectionCount.toLocaleString("en-US")} connection${connectionCount === 1 ? "" : "s"}`;
  const calls = `${kind.replace("_", " ")} ${messages}${metadata}, ${connections} x ${streamsPerConnection}`;
  if (carried.bulkStreams === undefined) return calls;
  return carried.bulkStreams === 0
    ? `${calls}, nothing beside it`
    : `${calls}, beside a bulk stream on the same connection`;
}

function latency(id: string, rate: "slowest" | "own"): LatencyScenario {
  const whose =
    rate === "own" ? "each at half of what it carries" : "all at half of what the slowest carries";
  return {
    measures: "latency",
    id,
    title: `unary 32 B, ${whose}`,
    backend: "lean",
    smoke: rate === "own",
    withTls: false,
    rate,
    workload: workload("unary", 32, [8, 32]),
  };
}

const KIB = 1_024;
const MIB = 1_048_576;

export const SCENARIOS: readonly Scenario[] = [
  throughput("unary_32b_8x32", workload("unary", 32, [8, 32]), { smoke: true, withTls: true }),
  throughput("unary_32b_1x1", workload("unary", 32, [1, 1]), { withTls: true }),
  // These two belong together: they show how much longer calls take beside bulk, by the same load.
  throughput("unary_32b_1x1_alone", workload("unary", 32, [1, 1], { bulkStreams: 0 })),
  throughput("unary_32b_1x1_bulk", workload("unary", 32, [1, 1], { bulkStreams: 1 })),
  throughput("unary_32b_1x100", workload("unary", 32, [1, 100])),
  throughput("unary_32b_64x1", workload("unary", 32, [64, 1])),
  throughput("unary_32b_1000x10", workload("unary", 32, [1_000, 10])),
  throughput("unary_1kb_8x32", workload("unary", KIB, [8, 32])),
  throughput("unary_64kb_8x4", workload("unary", 64 * KIB, [8, 4]), { unit: "MiB" }),
  throughput("unary_1mb_4x4", workload("unary", MIB, [4, 4]), {
    unit: "MiB",
    smoke: true,
    withTls: true,
  }),
  throughput("metadata_20_8x32", workload("unary", 32, [8, 32], { metadataCount: 20 })),
  throughput(
    "server_stream_100b_8x4",
    workload("server_stream", 100, [8, 4], { messagesPerCall: 1_000 }),
    { smoke: true },
  ),
  throughput(
    "client_stream_100b_8x4",
    workload("client_stream", 100, [8, 4], { messagesPerCall: 1_000 }),
  ),
  throughput("bidi_100b_1x10x100", workload("bidi", 100, [1, 10], { messagesPerCall: 100 }), {
    smoke: true,
  }),
  throughput("bidi_100b_8x4x1", workload("bidi", 100, [8, 4])),
  throughput("unary_32b_8x32_grpcjs", workload("unary", 32, [8, 32]), {
    backend: "grpc-js",
    smoke: true,
  }),
  throughput("bidi_100b_8x4x1_grpcjs", workload("bidi", 100, [8, 4]), { backend: "grpc-js" }),
  latency("latency_same_rate", "slowest"),
  latency("latency_half_load", "own"),
  {
    measures: "latency",
    id: "latency_uneven",
    title:
      "unary 32 B, ten backends that take 2 to 20 ms for a call on the average, four at a time",
    backend: "uneven",
    smoke: true,
    withTls: false,
    // By turns the slowest backend gets 150, and can do 190.
    rate: 1_500,
    workload: workload("unary", 32, [8, 32]),
  },
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

/** The scenario as a smoke run uses it. A smoke run shows that everything works, not how fast. */
export function shrunk(scenario: Scenario): Scenario {
  if (scenario.measures !== "memory") return scenario;
  const connectionCount = Math.ceil(scenario.connectionCount / 10);
  return { ...scenario, connectionCount };
}
