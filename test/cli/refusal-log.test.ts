import { describe, expect, it } from "vitest";
import { RefusalLog } from "../../src/cli/refusal-log.ts";
import type { RefusedEvent } from "../../src/index.ts";
import { refused } from "../../src/observe/channels.ts";
import { closeAtEnd } from "../support/cleanup.ts";
import { FakeClock } from "../support/clock.ts";
import { FakeTerminal } from "./terminal.ts";

const MALFORMED: RefusedEvent = {
  scope: "stream",
  side: "downstream",
  peer: "192.0.2.1:4000",
  streamId: 7,
  rule: "no :path",
};

function start() {
  const terminal = new FakeTerminal();
  const clock = new FakeClock();
  const log = new RefusalLog(terminal, clock);
  closeAtEnd(() => log.end());
  const told = (event: Partial<RefusedEvent>): void => refused.publish({ ...MALFORMED, ...event });
  return { terminal, clock, log, told };
}

describe("the log of refusals", () => {
  it("names the peer, its side, the stream, the rule and the limit", () => {
    const { terminal, told } = start();
    told({});
    const limit = { name: "settingsTimeoutMs", value: 60_000 };
    told({ scope: "connection", side: "upstream", peer: "b:1", rule: "no SETTINGS", limit });
    told({
      peer: "unix:",
      rule: "our limit is 5 (maxThings)",
      limit: { name: "maxThings", value: 5 },
    });
    expect(terminal.err).toEqual([
      "stream 7 of client 192.0.2.1:4000 refused: no :path",
      "backend b:1 refused: no SETTINGS (settingsTimeoutMs 60000)",
      "stream 7 of client unix: refused: our limit is 5 (maxThings)",
    ]);
  });

  it("has one line a minute for a kind, whatever the port and the numbers, and counts the rest", () => {
    const { terminal, clock, told } = start();
    for (let i = 1; i <= 4; i++) told({ peer: `192.0.2.1:${i}`, streamId: i, rule: `size ${i}` });
    told({ peer: "192.0.2.2:1", rule: "size 1" });
    expect(terminal.err).toHaveLength(2);
    clock.advance(60_010);
    expect(terminal.err.slice(2)).toEqual(["3 more refusals like those above within 60 s"]);
    told({ rule: "size 9" });
    clock.advance(60_010);
    expect(terminal.err.slice(3)).toEqual(["stream 7 of client 192.0.2.1:4000 refused: size 9"]);
    expect(clock.timerCount).toBe(0);
  });

  it("has 20 lines a minute for all kinds together", () => {
    const { terminal, told, log } = start();
    for (let i = 0; i < 50; i++) told({ rule: `rule ${String.fromCharCode(65 + i)}` });
    expect(terminal.err).toHaveLength(20);
    log.end();
    expect(terminal.err.at(-1)).toBe("30 more refusals like those above within 60 s");
  });

  it("shows what a peer sent in one line of ASCII that ends", () => {
    const { terminal, told } = start();
    told({ rule: "a\r\nb\u001b[2J\xe9" });
    told({ rule: "x".repeat(1_000) });
    expect(terminal.err[0]).toBe(
      "stream 7 of client 192.0.2.1:4000 refused: a\\x0d\\x0ab\\x1b[2J\\xe9",
    );
    expect(terminal.err[1]).toHaveLength(303);
  });

  it("tells of a listening socket that failed, and of no refusal twice", () => {
    const { terminal, told, log } = start();
    const cause = new Error("http request");
    told({ scope: "connection", rule: "TLS handshake failed: http request", cause });
    log.onConnectionError(cause);
    log.onConnectionError(new Error("accept EMFILE"));
    expect(terminal.err).toEqual([
      "client 192.0.2.1:4000 refused: TLS handshake failed: http request",
      "listening failed: accept EMFILE",
    ]);
  });

  it("hears nothing after its end", () => {
    const { terminal, told, log } = start();
    log.end();
    told({});
    expect(terminal.err).toEqual([]);
  });
});
