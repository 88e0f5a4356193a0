// Finds the classes of src/ that hide their members by `private`, and those that use `#`
// (ARCHITECTURE.md, "Hidden members").

import { relative } from "node:path";
import { roomOf, type SourceFile, slashes } from "./sources.ts";

/**
 * The rooms and files whose objects are made per call, stream, frame, chunk or session. Their
 * classes have `private` members. The classes named here use `#`: they live longer, or users hold
 * them.
 */
const PRIVATE_IN: Readonly<Record<string, readonly string[]>> = {
  grpc: ["GrpcError", "Metadata", "ParentCodec", "ResponseJudge"],
  h2: ["SlabPool"],
  "h2/hpack": [],
  proxy: ["CallPeeker", "DestinationView", "StreamParameters"],
  "server/abort.ts": [],
  "server/connections.ts": ["Connections"],
  "server/message-call.ts": [],
  "server/refused-request.ts": [],
  "server/request-head.ts": ["RecentHeads"],
  "server/server-call.ts": [],
  "transport/engine": ["EngineTransport"],
  "transport/failed-session.ts": [],
  "transport/node": ["ServerSessions"],
  wire: ["MessageRules"],
};

export interface HidingClass {
  readonly path: string;
  readonly name: string;
  /**
   * The forms in which the class hides members: `#` and `private`. `protected` counts as `private`.
   */
  readonly forms: string;
}

/** Classes that hide members, constructors aside. */
export function hidingClasses(files: readonly SourceFile[]): HidingClass[] {
  return files.flatMap(({ path, text }) =>
    [...text.matchAll(/^(?:export )?(?:abstract )?class (\w+)[\s\S]*?^}/gm)].map(
      ([body, name = ""]) => {
        const hash = /^ {2}(?:(?:static|readonly|async|get|set) )*\*?#\w/m.test(body);
        const keyword = /^ {2}(?:declare )?(?:private|protected) (?!constructor\b)/m.test(body);
        return { path, name, forms: `${hash ? "#" : ""}${keyword ? "private" : ""}` };
      },
    ),
  );
}

/** The entry of the table that `path` falls under, if any. */
function entryOf(path: string): string | undefined {
  return [slashes(relative("src", path)), roomOf(path)].find((where) => where in PRIVATE_IN);
}

/** Classes that use `#`, but should use `private`. */
export function wronglyHashed(classes: readonly HidingClass[]): string[] {
  return classes
    .filter(({ path, name, forms }) => {
      const entry = entryOf(path);
      return forms === "#" && entry !== undefined && !PRIVATE_IN[entry]?.includes(name);
    })
    .map(({ path, name }) => `${path}: ${name}`);
}

/**
 * Entries that the table does not need: places without such classes, and classes that use no `#`.
 */
export function unneededEntries(classes: readonly HidingClass[]): string[] {
  const needed = new Set<string>();
  for (const { path, name, forms } of classes) {
    const entry = entryOf(path) ?? "";
    needed.add(entry);
    if (forms === "#") needed.add(`${entry}: ${name}`);
  }
  return Object.entries(PRIVATE_IN)
    .flatMap(([entry, names]) => [entry, ...names.map((name) => `${entry}: ${name}`)])
    .filter((each) => !needed.has(each));
}
