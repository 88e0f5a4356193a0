// The Markdown documents of the repository, and the targets of their links.

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { posix } from "node:path";

/** Every document in the repository: paths from the root, with forward slashes. */
export function documents(): string[] {
  const folders = ["src", "test", "bench"].flatMap((folder) =>
    readdirSync(folder, { recursive: true, encoding: "utf8" }).map((path) => `${folder}/${path}`),
  );
  return [...readdirSync("."), ...folders]
    .map((path) => path.replaceAll("\\", "/"))
    .filter((path) => path.endsWith(".md") && !path.includes("node_modules"));
}

export interface DocumentLink {
  readonly from: string;
  readonly link: string;
  /** The file or folder that the link leads to, from the root. */
  readonly target: string;
  /** Whether the link leads neither to a file nor to a heading of a document. */
  readonly dead: boolean;
}

/** The links of a document, except for those that lead to other sites. */
export function linksOf(from: string): DocumentLink[] {
  const text = readFileSync(from, "utf8").replace(/^```[\s\S]*?^```$/gm, "");
  return [...text.matchAll(/\]\(([^)\s]+)\)/g)]
    .map(([, link = ""]) => link)
    .filter((link) => !/^[a-z]+:/.test(link))
    .map((link) => {
      const [path = "", heading] = link.split("#");
      const target = path === "" ? from : posix.join(posix.dirname(from), path);
      const dead =
        !existsSync(target) || (heading !== undefined && !headingsOf(target).includes(heading));
      return { from, link, target, dead };
    });
}

/**
 * The headings of a document, as links name them: lower case, blanks as hyphens, nothing else but
 * letters and digits.
 */
function headingsOf(path: string): string[] {
  return [...readFileSync(path, "utf8").matchAll(/^#+ (.*)$/gm)].map(([, heading = ""]) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, "")
      .replaceAll(" ", "-"),
  );
}
