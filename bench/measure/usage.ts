// CPU time and resident memory of a process and its children, from /proc, or from `ps` where there
// is no /proc.

import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";

export interface Usage {
  /**
   * CPU time since the process began, in microseconds, children included. It is as exact as the
   * system allows.
   */
  readonly cpuUs: number;
  /** Its parts. Most systems count them only in ticks. */
  readonly userUs: number;
  readonly systemUs: number;
  readonly rssBytes: number;
}

/** USER_HZ, which is 100 on every architecture that Node runs on. */
const TICK_US = 10_000;

export interface ProcessRow {
  readonly pid: number;
  readonly parent: number;
  readonly userUs: number;
  readonly systemUs: number;
  readonly rssBytes: number;
}

/** @throws when neither /proc nor ps can be read */
export function usageOfTree(pid: number): Usage {
  const onLinux = process.platform === "linux";
  const rows = onLinux ? linuxRows() : psRows();
  const usage = { cpuUs: 0, userUs: 0, systemUs: 0, rssBytes: 0 };
  for (const row of treeOf(pid, rows)) {
    const countedUs = row.userUs + row.systemUs;
    const scheduled = onLinux ? scheduledUs(row.pid) : undefined;
    // The scheduler's figure lacks threads that have ended. If there were such, the ticks are
    // taken.
    const exact = scheduled !== undefined && scheduled > countedUs - 2 * TICK_US;
    usage.cpuUs += exact ? scheduled : countedUs;
    usage.userUs += row.userUs;
    usage.systemUs += row.systemUs;
    usage.rssBytes += onLinux ? residentBytes(row.pid) : row.rssBytes;
  }
  return usage;
}

/** The CPU time between two readings: the exact total, divided as the ticks divide it. */
export function cpuBetween(before: Usage, after: Usage): { userUs: number; systemUs: number } {
  const cpuUs = Math.max(0, after.cpuUs - before.cpuUs);
  const userTicksUs = Math.max(0, after.userUs - before.userUs);
  const systemTicksUs = Math.max(0, after.systemUs - before.systemUs);
  const ticksUs = userTicksUs + systemTicksUs;
  const userUs = ticksUs > 0 ? (cpuUs * userTicksUs) / ticksUs : cpuUs;
  return { userUs, systemUs: cpuUs - userUs };
}

export function* treeOf(pid: number, rows: readonly ProcessRow[]): Generator<ProcessRow> {
  for (const row of rows) {
    if (row.pid === pid) yield row;
    else if (row.parent === pid) yield* treeOf(row.pid, rows);
  }
}

function linuxRows(): ProcessRow[] {
  const rows: ProcessRow[] = [];
  for (const name of readdirSync("/proc")) {
    if (!/^[0-9]+$/.test(name)) continue;
    const stat = readIfThere(`/proc/${name}/stat`);
    if (stat !== undefined) rows.push(parseStat(stat));
  }
  return rows;
}

/** One line of /proc/PID/stat (proc(5)); the command may hold spaces and parentheses. */
export function parseStat(line: string): ProcessRow {
  const fields = line.slice(line.lastIndexOf(")") + 2).split(" ");
  const field = (number: number): number => Number(fields[number - 3]);
  return {
    pid: Number.parseInt(line, 10),
    parent: field(4),
    userUs: field(14) * TICK_US,
    systemUs: field(15) * TICK_US,
    rssBytes: 0,
  };
}

/** Resident memory. /proc/PID/status has it in KiB, whatever the page size is. */
function residentBytes(pid: number): number {
  const status = readIfThere(`/proc/${pid}/status`) ?? "";
  return Number(/^VmRSS:\s+([0-9]+) kB$/m.exec(status)?.[1] ?? 0) * 1_024;
}

/** CPU time of all threads by the scheduler's account; `undefined` where the kernel keeps none. */
function scheduledUs(pid: number): number | undefined {
  let totalNs = 0;
  try {
    for (const thread of readdirSync(`/proc/${pid}/task`)) {
      const line = readIfThere(`/proc/${pid}/task/${thread}/schedstat`);
      if (line === undefined) return undefined;
      totalNs += Number(line.split(" ", 1)[0]);
    }
  } catch {
    return undefined;
  }
  return totalNs > 0 ? totalNs / 1_000 : undefined;
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, "latin1");
  } catch {
    return undefined; // It ended between the listing and the reading.
  }
}

function psRows(): ProcessRow[] {
  const listing = execFileSync("ps", ["-axo", "pid=,ppid=,rss=,utime=,time="], {
    encoding: "utf8",
  });
  return listing.split("\n").filter(Boolean).map(parsePsLine);
}

/** `pid ppid rss utime time`, the times as `[[DD-]HH:]MM:SS.cc`. */
export function parsePsLine(line: string): ProcessRow {
  const [pid, parent, rss, user = "", total = ""] = line.trim().split(/\s+/);
  const userUs = clockUs(user);
  return {
    pid: Number(pid),
    parent: Number(parent),
    userUs,
    systemUs: Math.max(0, clockUs(total) - userUs),
    rssBytes: Number(rss) * 1_024,
  };
}

function clockUs(text: string): number {
  let seconds = 0;
  for (const part of text.replace("-", ":").split(":")) seconds = seconds * 60 + Number(part);
  // Days are apart, as a day has 24 hours, not 60.
  const days = text.includes("-") ? Number(text.split("-", 1)[0]) : 0;
  return (seconds - days * (60 - 24) * 3_600) * 1e6;
}
