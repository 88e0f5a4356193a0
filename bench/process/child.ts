// The child's end of the subject protocol: one JSON line on stdout says where it listens, and the
// end of stdin ends it, so that nothing survives a harness that was killed.

import { createInterface } from "node:readline";

export interface Announcement {
  readonly port: number;
  /** The port of TLS, if it listens with TLS. */
  readonly tlsPort?: number;
  /** All ports, if several backends of one service listen. */
  readonly ports?: readonly number[];
}

export function announce(where: Announcement): void {
  process.stdout.write(`${JSON.stringify(where)}\n`);
}

/** Calls `onCommand` for each JSON line of stdin; the process exits when stdin ends. */
export function followParent(onCommand: (command: unknown) => void = () => {}): void {
  const lines = createInterface({ input: process.stdin });
  lines.on("line", (line) => onCommand(JSON.parse(line)));
  lines.on("close", () => process.exit(0));
}

/** The arguments of a subject: `--name value` pairs. */
export function childArguments(): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  const words = process.argv.slice(2);
  for (let i = 0; i + 1 < words.length; i += 2) found.set(words[i]!.slice(2), words[i + 1]!);
  return found;
}

/** @throws {TypeError} when the harness did not pass it */
export function requiredArgument(args: ReadonlyMap<string, string>, name: string): string {
  const value = args.get(name);
  if (value === undefined) throw new TypeError(`expected --${name}`);
  return value;
}
