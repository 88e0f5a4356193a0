// Assigns processors: the subject gets one for itself, and load and backend get the rest.

import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";

export interface CpuPlan {
  readonly subject: string | undefined;
  readonly backend: string | undefined;
  readonly load: string | undefined;
  /** For the report. */
  readonly description: string;
}

/** `3` and `0-2,5` style lists, as the kernel writes them. */
export function parseCpuList(text: string): number[] {
  const cpus: number[] = [];
  for (const part of text.trim().split(",")) {
    const [first = Number.NaN, last = first] = part.split("-").map(Number);
    for (let cpu = first; cpu <= last; cpu++) cpus.push(cpu);
  }
  return cpus;
}

export function planCpus(cpus: readonly number[], canPin: boolean): CpuPlan {
  const none = { subject: undefined, backend: undefined, load: undefined };
  if (!canPin) return { ...none, description: "not pinned: taskset is not available" };
  if (cpus.length < 2) return { ...none, description: "not pinned: only one CPU is allowed" };
  const subject = String(cpus.at(-1));
  const others = cpus.slice(0, -1);
  const backend = String(others.at(-1));
  const load = others.length === 1 ? backend : others.slice(0, -1).join(",");
  const sharing =
    load === backend
      ? `load and backend share CPU ${load}`
      : `backend on CPU ${backend}, load on ${load}`;
  return { subject, backend, load, description: `subject alone on CPU ${subject}, ${sharing}` };
}

export function cpuPlan(pin: boolean): CpuPlan {
  if (!pin) {
    return { subject: undefined, backend: undefined, load: undefined, description: "not pinned" };
  }
  const canPin = spawnSync("taskset", ["--version"]).status === 0;
  return planCpus(allowedCpus(), canPin);
}

function allowedCpus(): number[] {
  try {
    const status = readFileSync("/proc/self/status", "utf8");
    return parseCpuList(/^Cpus_allowed_list:\s*(.+)$/m.exec(status)?.[1] ?? "");
  } catch {
    return [];
  }
}
