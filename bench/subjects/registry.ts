// Every subject of the harness, in the order of the tables.

import { spawnSync } from "node:child_process";
import { launchNode } from "../process/launch.ts";
import { NATIVE_SUBJECTS } from "./native.ts";
import type { RunningSubject, Subject, SubjectFamily, SubjectSurroundings } from "./subject.ts";

const DIRECT: Subject = {
  id: "direct",
  title: "direct (no proxy)",
  family: "floor",
  tls: false,
  start: async (surroundings) => ({ port: surroundings.backendPort, process: undefined }),
};

/** A program of ours under `bench/subjects/` that carries calls to the backend. */
function nodeSubject(
  id: string,
  title: string,
  family: SubjectFamily,
  module: string,
  extra: readonly string[] = [],
  tls = false,
): Subject {
  const start = async (surroundings: SubjectSurroundings): Promise<RunningSubject> => {
    const backendPort = tls ? surroundings.backendTlsPort : surroundings.backendPort;
    const args = ["--backend-port", String(backendPort), ...extra];
    if (tls) {
      const { certPath, keyPath } = surroundings.certificate;
      args.push("--cert", certPath, "--key", keyPath);
    }
    const { process, where } = await launchNode(`subjects/${module}`, args, surroundings);
    return { port: where.port, process };
  };
  return { id, title, family, tls, start };
}

/** A relay before several backends. */
function spreading(balancing: string): Subject {
  const start = async (surroundings: SubjectSurroundings): Promise<RunningSubject> => {
    const { backendPort, backendPorts } = surroundings;
    const args = ["--backend-port", String(backendPort), "--variant", balancing];
    args.push("--backend-ports", backendPorts.join());
    const { process, where } = await launchNode("subjects/relay", args, surroundings);
    return { port: where.port, process };
  };
  const id = `relay-${balancing}`;
  return {
    ...{ id, title: `grpc-relay, balancing: ${balancing}`, family: "relay" },
    ...{ tls: false, spreads: true, start },
  };
}

function relay(variant: string, title: string, tls = false): Subject {
  return nodeSubject(`relay-${variant}`, title, "relay", "relay", ["--variant", variant], tls);
}

export const SUBJECTS: readonly Subject[] = [
  DIRECT,
  nodeSubject("tcp-relay", "TCP relay in Node (no HTTP/2)", "floor", "tcp-relay"),
  relay("engine", "grpc-relay, engine transport"),
  relay("node", "grpc-relay, node transport"),
  relay("peek", "grpc-relay, director peeks"),
  relay("secondary", "grpc-relay, one secondary"),
  spreading("roundRobin"),
  spreading("leastRequest"),
  nodeSubject("node-http2-pipe", "bare node:http2 pipe", "node", "node-http2-pipe"),
  nodeSubject("grpc-js-proxy", "grpc-js generic proxy", "node", "grpc-js-proxy"),
  ...NATIVE_SUBJECTS.filter((subject) => !subject.tls),
  relay("tls", "grpc-relay, TLS on both legs", true),
  ...NATIVE_SUBJECTS.filter((subject) => subject.tls),
];

/** Why the subject cannot run here; `undefined` when it can. */
export function missing(subject: Subject): string | undefined {
  if (subject.needs === undefined || versionOf(subject.needs.program) !== undefined) {
    return undefined;
  }
  const { program, debianPackage } = subject.needs;
  return `${program} is not installed (Debian package ${debianPackage})`;
}

/** The first line of the program's version output; `undefined` when it is not installed. */
export function versionOf(program: string): string | undefined {
  const asked = spawnSync(
    program,
    [program === "h2load" || program === "nghttpx" ? "--version" : "-v"],
    {
      encoding: "utf8",
    },
  );
  if (asked.error !== undefined || asked.status !== 0) return undefined;
  return `${asked.stdout}${asked.stderr}`.trim().split("\n", 1)[0];
}
