// h2load (Debian package nghttp2-client) as load for unary calls. It takes any 2xx for success, so
// the bytes of the replies are compared with the expected number: a call without its message is a
// failure.

import { spawn } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { messageOfSize, PREFIX_BYTES, withPrefix } from "../backends/message.ts";
import { methodPath } from "../backends/service.ts";
import { Histogram, latencyFigures } from "../measure/statistics.ts";
import { type LoadResult, type LoadTarget, metadataOf, type Workload } from "./workload.ts";

export interface H2loadPlan {
  readonly workload: Workload;
  readonly target: LoadTarget;
  /** Either a number of calls or a time. */
  readonly amount: { readonly calls: number } | { readonly seconds: number };
  /** The folder of the request body and the latency log. */
  readonly directory: string;
  readonly cpus: string | undefined;
}

const TIME_LIMIT_MS = 60_000;

/** @throws when h2load cannot be run at all */
export async function runH2load(plan: H2loadPlan): Promise<LoadResult> {
  const { workload, target, directory, amount } = plan;
  const bodyPath = join(directory, "h2load-body");
  const logPath = join(directory, "h2load-log");
  writeFileSync(bodyPath, withPrefix(messageOfSize(workload.messageBytes)));
  writeFileSync(logPath, "");
  const headers: [string, string][] = [
    ["content-type", "application/grpc"],
    ["te", "trailers"],
    ...metadataOf(workload.metadataCount),
  ];
  const counted = "calls" in amount;
  const args = [
    counted
      ? `-n${Math.max(amount.calls, workload.connectionCount)}`
      : `-D${Math.round(amount.seconds * 1_000)}ms`,
    `-c${workload.connectionCount}`,
    `-m${workload.streamsPerConnection}`,
    "-t1",
    "-d",
    bodyPath,
    ...headers.flatMap(([name, value]) => ["-H", `${name}: ${value}`]),
    ...(counted ? [`--log-file=${logPath}`] : []),
    `${target.tls ? "https" : "http"}://127.0.0.1:${target.port}${methodPath("Unary")}`,
  ];
  const output = await capture("h2load", args, plan.cpus);
  const result = parseH2load(output, workload.messageBytes, counted);
  return counted ? { ...result, latency: latencyOf(readFileSync(logPath, "latin1")) } : result;
}

function capture(program: string, args: string[], cpus: string | undefined): Promise<string> {
  const [command, all] =
    cpus === undefined ? [program, args] : ["taskset", ["-c", cpus, program, ...args]];
  return new Promise((resolve, reject) => {
    const child = spawn(command, all, { stdio: ["ignore", "pipe", "pipe"] });
    const timer = setTimeout(() => child.kill("SIGKILL"), TIME_LIMIT_MS);
    let output = "";
    child.stdout.on("data", (chunk: Buffer) => {
      output += chunk.toString("utf8");
    });
    let errors = "";
    child.stderr.on("data", (chunk: Buffer) => {
      errors += chunk.toString("utf8");
    });
    child.on("error", reject);
    child.on("close", (code, signal) => {
      clearTimeout(timer);
      if (code === 0) resolve(output);
      else reject(new Error(`${program} ended (${signal ?? code}): ${errors.trim().slice(-300)}`));
    });
  });
}

/** @throws when the output is not h2load's */
export function parseH2load(output: string, messageBytes: number, counted: boolean): LoadResult {
  const requests =
    /requests: (\d+) total, (\d+) started, (\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout/.exec(
      output,
    );
  const finished = /finished in ([0-9.]+)(us|ms|s|min)?, ([0-9.]+) req\/s/.exec(output);
  const traffic = /traffic: .*\((\d+)\) data/.exec(output);
  if (requests === null || finished === null || traffic === null) {
    throw new Error(`cannot read the output of h2load: ${output.trim().slice(-300)}`);
  }
  const [total = 0, , , succeeded = 0, failed = 0] = requests.slice(1).map(Number);
  const failures: Record<string, number> = {};
  if (failed > 0) failures["h2load: failed requests"] = failed;
  if (counted && total > succeeded + failed) {
    failures["h2load: requests without an answer"] = total - succeeded - failed;
  }
  const expectedBytes = succeeded * (messageBytes + PREFIX_BYTES);
  const dataBytes = Number(traffic[1]);
  // In a run by time the sum has replies to calls that h2load dropped at the end, so only too few
  // bytes are a failure.
  if (counted ? dataBytes !== expectedBytes : dataBytes < expectedBytes) {
    failures[`h2load: ${dataBytes} reply bytes instead of ${expectedBytes}`] = 1;
  }
  const rate = Number(finished[3]);
  return {
    callCount: succeeded,
    messageCount: succeeded,
    elapsedMs: rate > 0 ? (succeeded / rate) * 1_000 : 0,
    failures,
    latency: undefined,
  };
}

/**
 * The lines of --log-file: start in microseconds since the epoch, HTTP status, duration in
 * microseconds.
 */
export function latencyOf(log: string): LoadResult["latency"] {
  const histogram = new Histogram();
  let at = 0;
  while (at < log.length) {
    const end = log.indexOf("\n", at);
    const line = log.slice(at, end === -1 ? log.length : end);
    at = end === -1 ? log.length : end + 1;
    const us = Number(line.slice(line.lastIndexOf("\t") + 1));
    if (line !== "" && Number.isFinite(us)) histogram.record(us);
  }
  return latencyFigures(histogram);
}
