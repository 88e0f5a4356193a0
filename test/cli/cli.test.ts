// The command as a process of its own, from the build that `npm test` makes first.

import { existsSync } from "node:fs";
import { describe, expect, it, vi } from "vitest";
import { dial } from "../../src/index.ts";
import { closeAtEnd, socketPath, within } from "../support/cleanup.ts";
import { PROCESS_LIMIT_MS } from "../support/patience.ts";
import { grpcRelay } from "./process.ts";

// Each test starts a process or two.
vi.setConfig({ testTimeout: 2 * PROCESS_LIMIT_MS });

describe("grpc-relay as a process", () => {
  it("runs the demo once and exits with 0", async () => {
    const child = grpcRelay("demo", "--once");
    expect(await within("exit", child.exit, PROCESS_LIMIT_MS)).toBe(0);
    expect(child.output).toContain("Upper          OK");
  });

  it("exits with 2 for a wrong command line", async () => {
    const child = grpcRelay("serve");
    expect(await within("exit", child.exit, PROCESS_LIMIT_MS)).toBe(2);
    expect(child.output).toBe("grpc-relay: expected --listen ADDRESS, got none\n");
  });

  it.each(["SIGINT", "SIGTERM"] as const)(
    "closes on %s, removes its UNIX socket and exits with 0",
    async (signal) => {
      const path = socketPath();
      const child = grpcRelay("serve", "--listen", `unix:${path}`, "--backend", "127.0.0.1:1");
      await child.printed(/listening on unix:/);
      child.process.kill(signal);
      expect(await within("exit", child.exit, PROCESS_LIMIT_MS)).toBe(0);
      expect(existsSync(path)).toBe(false);
    },
  );

  it("takes the place of a process that was killed and left its UNIX socket behind", async () => {
    const path = socketPath();
    const args = ["serve", "--listen", `unix:${path}`, "--backend", "127.0.0.1:1"];
    const killed = grpcRelay(...args);
    await killed.printed(/listening/);
    killed.process.kill("SIGKILL");
    await killed.exit;
    expect(existsSync(path)).toBe(true);
    const child = grpcRelay(...args);
    await child.printed(/listening/);
    const conn = dial(`unix:${path}`);
    closeAtEnd(() => conn.close());
    const call = conn.newStream("/a.B/C");
    await expect(call.recvMessage()).rejects.toMatchObject({ status: 14 });
  });
});
