// Checks that the two load tools agree. Both make one call at a time against the lean backend,
// without a proxy. Their median latencies are comparable, and each must have counted the calls that
// the backend served.

import { decodeMessage, encodeMessage } from "./backends/message.ts";
import { parseCallReport } from "./backends/service.ts";
import type { Harness } from "./harness.ts";
import { runH2load } from "./load/h2load.ts";
import type { Workload } from "./load/workload.ts";
import type { CrossCheck } from "./record.ts";
import { independentTransport } from "./transport.ts";
import { Probe } from "./verify/probe.ts";

const WORKLOAD: Workload = {
  kind: "unary",
  messageBytes: 32,
  connectionCount: 1,
  streamsPerConnection: 1,
  messagesPerCall: 1,
  metadataCount: 0,
};
const CALL_COUNT = 3_000;

export async function crossCheck(harness: Harness): Promise<CrossCheck> {
  const { port } = await harness.backend("lean");
  const target = { port, tls: false };
  const probe = await Probe.connect(independentTransport(), { port }, 5_000);
  const served = async (): Promise<number> => {
    const call = probe.call("CallState").send(encodeMessage({})).halfClose();
    await call.status();
    return parseCallReport(decodeMessage(call.messages[0] ?? Buffer.alloc(0)).payload).servedCount;
  };
  try {
    const start = await served();
    const byH2load = await runH2load({
      workload: WORKLOAD,
      target,
      amount: { calls: CALL_COUNT },
      directory: harness.directory,
      cpus: harness.cpus.load,
    });
    const between = await served();
    const byGenerator = await harness.generator.run({
      workload: WORKLOAD,
      target,
      warmupMs: 0,
      durationMs: 1_000,
    });
    const end = await served();
    return {
      h2loadP50Us: byH2load.latency?.p50Us ?? Number.NaN,
      generatorP50Us: byGenerator.latency?.p50Us ?? Number.NaN,
      h2loadCalls: byH2load.callCount,
      h2loadServed: between - start,
      generatorCalls: byGenerator.callCount,
      generatorServed: end - between,
    };
  } finally {
    probe.close();
  }
}
