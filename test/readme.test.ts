// Every TypeScript block of the README and of the reference is type-checked and run; its addresses
// become UNIX sockets in a folder of the test. Their tables are held to the code.

import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { serveFlags } from "../src/cli/serve.ts";
import {
  type ClientConn,
  dial,
  ErrorReason,
  Frame,
  GrpcError,
  Server,
  Status,
  statusName,
} from "../src/index.ts";
import { ErrorCode } from "../src/wire/error-code.ts";
import { closeAtEnd } from "./support/cleanup.ts";

// Starting processes and compilers takes long on a machine that is busy with other tests.
vi.setConfig({ testTimeout: 60_000 });

const readme = readFileSync("README.md", "utf8");
const reference = readFileSync(join("src", "README.md"), "utf8");

interface Snippet {
  readonly name: string;
  readonly code: string;
}

const snippets: readonly Snippet[] = [
  ...`${readme}${reference}`.matchAll(/<!-- test: (\w+) -->\n```ts\n([\s\S]*?)```/g),
].map(([, name = "", code = ""]) => ({ name, code }));

/** Beneath the repository, where tsc finds what it needs, and vitest the package by its name. */
let folder: string;
/** Short, because the path of a UNIX socket has about a hundred bytes. */
let sockets: string;

/** Where `127.0.0.1:PORT` of a snippet is in this test. */
function addressOf(port: number): string {
  return `unix:${join(sockets, String(port))}`;
}

beforeAll(() => {
  mkdirSync(".build", { recursive: true });
  folder = mkdtempSync(resolve(".build", "readme-"));
  sockets = mkdtempSync(join(tmpdir(), "readme-"));
  for (const { name, code } of snippets) {
    const moved = code.replace(/127\.0\.0\.1:(\d+)/g, (_, port) => addressOf(Number(port)));
    const names = [...code.matchAll(/^const (\w+)/gm)].map(([, constant]) => constant);
    writeFileSync(join(folder, `${name}.ts`), `${moved}\nexport { ${names.join(", ")} };\n`);
  }
});

afterAll(() => {
  for (const path of [folder, sockets]) rmSync(path, { recursive: true, force: true });
});

let runCount = 0;

/** Runs a snippet; what it opened is closed at the end of the test. */
async function run(name: string): Promise<void> {
  // The same path would be the same module, whose connections are closed.
  const path = `${join(folder, `${name}.ts`)}?${runCount++}`;
  const module: Record<string, unknown> = await import(path);
  for (const opened of Object.values(module).reverse()) {
    if (typeof opened === "object" && opened !== null && "close" in opened) {
      closeAtEnd(() => (opened as { close(): unknown }).close());
    }
  }
}

/** A backend where the README has one; gives what it got. */
async function startBackend(port: number, name: string, failure?: GrpcError): Promise<string[]> {
  const requests: string[] = [];
  const server = new Server({
    unknownServiceHandler: async (stream) => {
      for (let frame = await stream.recvMessage(); frame instanceof Frame; ) {
        requests.push(
          [frame.payload.toString(), ...stream.context.metadata.get("x-replica")].join(" "),
        );
        await stream.sendMessage(Buffer.from(name));
        frame = await stream.recvMessage();
      }
      if (failure !== undefined) throw failure;
    },
  });
  closeAtEnd(() => server.close());
  await server.listen(addressOf(port));
  return requests;
}

/** A unary call to the proxy of the README: the answer, or `STATUS: details`. */
async function ask(method: string, request: string): Promise<string> {
  const conn: ClientConn = dial(addressOf(50_051));
  closeAtEnd(() => conn.close());
  const call = conn.newStream(method);
  try {
    await call.sendMessage(Buffer.from(request));
    call.closeSend();
    const answer = await call.recvMessage();
    await call.trailer();
    return answer instanceof Frame ? answer.payload.toString() : String(answer);
  } catch (error) {
    if (error instanceof GrpcError) return `${statusName(error.status)}: ${error.details}`;
    throw error;
  }
}

describe("the TypeScript of the README and the reference", () => {
  it("is all tested", () => {
    const blocks = [...`${readme}${reference}`.matchAll(/^```ts$/gm)];
    expect(snippets.map(({ name }) => name)).toEqual(["director", "fanout", "observe"]);
    expect(blocks).toHaveLength(snippets.length);
  });

  it("passes the type checker", () => {
    const config = {
      extends: resolve("tsconfig.json"),
      compilerOptions: {
        rootDir: resolve("."),
        declaration: false,
        isolatedDeclarations: false,
        noUnusedParameters: false,
      },
      include: ["*.ts"],
      exclude: [],
    };
    writeFileSync(join(folder, "tsconfig.json"), JSON.stringify(config));
    const tsc = resolve("node_modules", "typescript", "bin", "tsc");
    let output = "";
    try {
      execFileSync(process.execPath, [tsc, "-p", folder], { encoding: "utf8" });
    } catch (error) {
      output = String((error as { stdout?: unknown }).stdout);
    }
    expect(output).toBe("");
  });

  it("begins with a director of at most 15 lines that sends each service to its backend", async () => {
    const code = snippets[0]?.code ?? "";
    expect(readme.indexOf("```ts")).toBe(readme.indexOf("```"));
    expect(code.trimEnd().split("\n").length).toBeLessThanOrEqual(15);
    await startBackend(50_052, "orders");
    await startBackend(50_053, "users");
    await run("director");
    expect(await ask("/shop.Orders/List", "?")).toBe("orders");
    expect(await ask("/shop.Users/List", "?")).toBe("users");
    expect(await ask("/shop.Carts/List", "?")).toBe(
      "UNIMPLEMENTED: no backend for /shop.Carts/List",
    );
  });

  it("peeks, rewrites and fans out", async () => {
    const log = vi.spyOn(console, "log").mockImplementation(() => {});
    const warn = vi.spyOn(console, "warn").mockImplementation(() => {});
    closeAtEnd(() => vi.restoreAllMocks());
    const primary = await startBackend(50_052, "done");
    const replica = await startBackend(50_053, "copied", new GrpcError(13, "disk full"));
    await run("fanout");
    expect(await ask("/shop.Orders/Create", "order 6")).toBe("done");
    expect(await ask("/shop.Orders/Create", "order 7")).toBe("done");
    expect(primary).toEqual(["order 6", "order 7"]);
    expect(replica).toEqual(["order 6 (copy) 1", "order 7 (copy) 1"]);
    const outcome = ["/shop.Orders/Create 0, replica is behind"];
    expect(log.mock.calls).toEqual([outcome, outcome]);
    const warning = ["replica: INTERNAL: disk full"];
    expect(warn.mock.calls).toEqual([warning, warning]);
  });

  it("fans out without the replica when that cannot be connected", async () => {
    const log = vi.spyOn(console, "log").mockImplementation(() => {});
    const warn = vi.spyOn(console, "warn").mockImplementation(() => {});
    closeAtEnd(() => vi.restoreAllMocks());
    await startBackend(50_052, "done");
    await run("fanout");
    expect(await ask("/shop.Orders/Create", "order 8")).toBe("done");
    expect(await ask("/shop.Orders/Create", "order 9")).toBe("done");
    const outcome = ["/shop.Orders/Create 0, replica is behind"];
    expect(log.mock.calls).toEqual([outcome, outcome]);
    expect(warn).toHaveBeenCalledTimes(2);
    expect(warn).toHaveBeenCalledWith(expect.stringMatching(/^replica: UNAVAILABLE: /));
  });

  it("hears how calls ended", async () => {
    const log = vi.spyOn(console, "log").mockImplementation(() => {});
    closeAtEnd(() => vi.restoreAllMocks());
    await startBackend(50_051, "hi");
    await run("observe");
    expect(await ask("/a.B/C", "hello")).toBe("hi");
    expect(log.mock.calls).toEqual([[expect.stringMatching(/^\/a\.B\/C OK \d+\.\d ms 10 > 7$/)]]);
  });
});

/**
 * The cells of every row of a table that begins with a name in backticks, or has one in its first
 * cell.
 */
function rowsOf(text: string): string[][] {
  return [...text.matchAll(/^\| (.*`.*) \|$/gm)].map(([, row = ""]) =>
    row.split("|").map((cell) => cell.trim()),
  );
}

describe("the option table of the README", () => {
  it("says of each option what the reference says: name, unit and default", () => {
    const table = readme.slice(readme.indexOf("| option |"));
    const rows = rowsOf(table).map((cells) => cells.slice(0, 3).join("|"));
    const known = rowsOf(reference).map((cells) => cells.slice(0, 3).join("|"));
    expect(rows.length).toBeGreaterThanOrEqual(8);
    expect(rows.filter((row) => !known.includes(row))).toEqual([]);
  });
});

/** `name` to the default that its comment states, `undefined` where it states none. */
function optionsOf(path: string, type: string): [string, string | undefined][] {
  const text = readFileSync(path, "utf8");
  const body = new RegExp(`export interface ${type}\\b[^{]*{([\\s\\S]*?)\n}`).exec(text)?.[1] ?? "";
  return [...body.matchAll(/(?:\/\*\*((?:(?!\*\/)[\s\S])*)\*\/\s*)?readonly (\w+)\??:/g)]
    .filter(([, comment = ""]) => !comment.includes("@internal"))
    .map(([, comment = "", name = ""]) => [name, /@default ([\d_.]+)/.exec(comment)?.[1]]);
}

describe("the table of timeouts", () => {
  const section = reference.slice(reference.indexOf("## Timeouts"));
  const rows = rowsOf(section.slice(0, section.indexOf("## Observability"))).slice(1);
  const isTimeout = (name: string): boolean =>
    /^(?:timeout|\w+Timeout|maxConnection(?:Age|AgeGrace|Idle)|maxDetached)Ms$/.test(name);
  const options = [
    ["src/transport/transport.ts", "SessionOptions"],
    ["src/transport/transport.ts", "ProxyProtocolOptions"],
    ["src/transport/keepalive.ts", "KeepaliveOptions"],
    ["src/transport/keepalive.ts", "ServerKeepaliveOptions"],
    ["src/server/server.ts", "ServerOptions"],
    ["src/server/connection-options.ts", "ServerConnectionOptions"],
    ["src/client/dial-options.ts", "DialOptions"],
    ["src/client/health/health-options.ts", "HealthCheckOptions"],
    ["src/client/call-options.ts", "CallOptions"],
    ["src/proxy/transparent-handler.ts", "TransparentHandlerOptions"],
    ["src/proxy/director.ts", "Destination"],
  ].flatMap(([path = "", type = ""]) => optionsOf(path, type).filter(([name]) => isTimeout(name)));
  const nameOf = ([cell = ""]: readonly string[]): string => /(\w+)`/.exec(cell)?.[1] ?? "";

  it("has each timeout that is an option, and no other", () => {
    const names = new Set([...options.map(([name]) => name), "graceMs"]);
    expect(new Set(rows.map(nameOf))).toEqual(names);
  });

  it("says of each the default of its comment", () => {
    for (const [name, value] of options) {
      const ofOption = rows.filter((row) => nameOf(row) === name);
      if (value === undefined) continue;
      const digits = value.replaceAll("_", "");
      const said = ofOption.some(([, , cell = ""]) => cell.replaceAll(",", "") === digits);
      expect(said, `default of ${name}: ${value}`).toBe(true);
    }
  });

  it("names each flag for a time, and its default", () => {
    const flags = rows.flatMap(([, cell = "", value = ""]) => {
      const [, name] = /^`--([\w-]+)`$/.exec(cell) ?? [];
      return name === undefined ? [] : [{ name, value }];
    });
    const known = serveFlags.filter(({ name }) => name.endsWith("-ms") && name !== "keepalive-ms");
    expect(flags.map(({ name }) => name).sort()).toEqual(known.map(({ name }) => name).sort());
    for (const { name, value } of flags) {
      const text = serveFlags.find((flag) => flag.name === name)?.text.replaceAll("\n", " ");
      const [digits = value] = value.replaceAll(",", "").match(/\d+$/) ?? [];
      expect(text, name).toMatch(new RegExp(`milliseconds.*\\(default ${digits}\\b`));
    }
  });

  it("ends what it ends by reasons, statuses, codes and on channels that there are", () => {
    const known = new Set<string>([
      ...Object.keys(ErrorReason),
      ...Object.keys(Status),
      ...Object.keys(ErrorCode),
    ]);
    for (const [name, , , , , end = "", channel = ""] of rows) {
      const words = end.match(/\b[A-Z][A-Z_]{3,}\b/g) ?? [];
      expect(
        words.filter((word) => !known.has(word)),
        name,
      ).toEqual([]);
      if (channel === "") continue;
      expect(reference, name).toContain(`\n| ${channel} | `);
    }
  });
});

describe("the option tables of the reference", () => {
  it.each([
    ["src/transport/transport.ts", "SessionOptions"],
    ["src/server/server.ts", "ServerOptions"],
    ["src/client/dial-options.ts", "DialOptions"],
    ["src/client/health/health-options.ts", "HealthCheckOptions"],
    ["src/client/subchannel/connection-backoff.ts", "ConnectionBackoffOptions"],
    ["src/transport/keepalive.ts", "KeepaliveOptions"],
    ["src/transport/keepalive.ts", "ServerKeepaliveOptions"],
    ["src/client/call-options.ts", "CallOptions"],
    ["src/client/retry-policy.ts", "RetryPolicy"],
    ["src/client/retry-policy.ts", "RetryThrottlingOptions"],
    ["src/proxy/director.ts", "Destination"],
    ["src/proxy/transparent-handler.ts", "TransparentHandlerOptions"],
    ["src/h2/limits.ts", "EngineLimits"],
  ])("have every option of %s, %s, with the default of its comment", (path, type) => {
    const options = optionsOf(path, type);
    expect(options.length).toBeGreaterThan(0);
    const rows = reference.split("\n").filter((line) => line.startsWith("| "));
    for (const [name, value] of options) {
      const ofOption = rows.filter((row) => new RegExp(`\\b${name}\\b`).test(row));
      expect(ofOption, `rows that name ${name}`).not.toEqual([]);
      if (value === undefined) continue;
      const digits = value.replaceAll("_", "");
      const said = ofOption.some((row) => row.replaceAll(",", "").includes(` ${digits}`));
      expect(said, `default of ${name}: ${value}`).toBe(true);
    }
  });
});
