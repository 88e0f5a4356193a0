import { describe, expect, it } from "vitest";
import { textCodec } from "../../src/cli/demo-backend.ts";
import { dial } from "../../src/index.ts";
import { closeAtEnd, socketPath } from "../support/cleanup.ts";
import { runToEnd, start } from "./terminal.ts";

describe("grpc-relay demo", () => {
  it("shows one call of each kind, an error and an unknown method, then ends with --once", async () => {
    const { code, out, err } = await runToEnd("demo", "--once");
    expect([code, err]).toEqual([0, ""]);
    const rows = out.split("\n").map((line) => line.split(/ {2,}/));
    const row = (method: string): string[] => rows.find(([first]) => first === method) ?? [];
    const latency = expect.stringMatching(/^-?\d+\.\d\d ms$/) as string;
    const served = "served-by: primary";
    expect(row("Upper")).toEqual([
      "Upper",
      "OK",
      "1 > 1",
      "12 > 12",
      served,
      "letters: 5",
      latency,
    ]);
    expect(row("Letters").slice(1, 6)).toEqual(["OK", "1 > 5", "12 > 40", served, "letters: 5"]);
    expect(row("Join").slice(1, 6)).toEqual(["OK", "3 > 1", "32 > 20", served, "words: 3"]);
    expect(row("Echo").slice(1, 6)).toEqual(["OK", "4 > 4", "44 > 44", served, "echoed: 4"]);
    expect(row("Refuse").slice(1, 6)).toEqual([
      "FAILED_PRECONDITION",
      "1 > 0",
      "13 > 0",
      served,
      "retry-pushback: never",
    ]);
    expect(row("Missing").slice(1, 4)).toEqual(["UNIMPLEMENTED", "1 > 0", "21 > 0"]);
    // What the director saw by peeking went to the backend and came back.
    expect(row("unary")).toContain("peeked-bytes: 7");
    expect(row("unary")).toContain("(OK)");
  });

  it("goes on serving where it was told to, until a signal", async () => {
    const path = socketPath();
    const { terminal, exitCode } = start("demo", "--listen", `unix:${path}`);
    await terminal.line(/Ctrl-C ends it/);
    const conn = dial(`unix:${path}`);
    closeAtEnd(() => conn.close());
    const call = conn.newStream("/demo.Text/Upper", { codec: textCodec });
    await call.sendMessage("still here");
    call.closeSend();
    expect(await call.recvMessage()).toBe("STILL HERE");
    terminal.signal();
    expect(await exitCode).toBe(0);
  });
});
