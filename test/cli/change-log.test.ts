import { expect, it } from "vitest";
import { ChangeLog } from "../../src/cli/change-log.ts";

function setUp() {
  const lines: string[] = [];
  let nowMs = 0;
  const log = new ChangeLog(
    "backend b:1",
    "calls get UNAVAILABLE",
    (line) => lines.push(line),
    () => nowMs,
  );
  return {
    log,
    said: () => lines.splice(0).map((line) => line.replace("backend b:1 ", "")),
    pass: (ms: number) => {
      nowMs += ms;
    },
  };
}

it("each change of a connection is said, with the reason", () => {
  const { log, said } = setUp();
  log.changed("connecting", false, "asked to connect");
  log.changed("ready", false, "the server has sent its SETTINGS");
  log.changed("idle", true, "read ECONNRESET");
  log.changed("connecting", false, "a call wants it");
  log.changed("ready", false, "the server has sent its SETTINGS");
  log.changed("idle", false, "its stream ids are used up");
  log.changed("shutdown", false, "closed by its owner");
  log.changed("shutdown", true, "the session ended");
  expect(said()).toEqual([
    "connecting: asked to connect",
    "connected",
    "lost: read ECONNRESET",
    "connecting: a call wants it",
    "connected again",
    "left: its stream ids are used up",
    "lost: the session ended",
  ]);
});

it("attempts that fail for the same reason are said once, for another once more", () => {
  const { log, said } = setUp();
  for (const reason of ["connect ECONNREFUSED", "connect ECONNREFUSED", "timed out"]) {
    log.changed("connecting", false, "calls wait for it");
    log.changed("transientFailure", true, reason);
    log.changed("idle", false, "the backoff is over, and nobody waits");
  }
  log.changed("ready", false, "");
  expect(said()).toEqual([
    "connecting: calls wait for it",
    "unreachable, calls get UNAVAILABLE: connect ECONNREFUSED",
    "unreachable, calls get UNAVAILABLE: timed out",
    "connected",
  ]);
});

it("a backend that comes and goes does not fill the log, which says what it left out", () => {
  const { log, said, pass } = setUp();
  const flap = (): void => {
    log.changed("ready", false, "");
    log.changed("idle", true, "closed");
  };
  for (let i = 0; i < 500; i++) flap();
  expect(said()).toHaveLength(30);
  pass(10_000);
  flap();
  expect(said()).toEqual(["connected again (970 changes before were not logged)"]);
  pass(3_600_000);
  for (let i = 0; i < 500; i++) flap();
  expect(said()).toHaveLength(30);
});
