// A conn over one session that it was given: it has no other, and closes it in any case.

import { describe, expect, it } from "vitest";
import type { GrpcError } from "../../src/grpc/error.ts";
import { PATH } from "../support/relay-fixture.ts";
import { type StubSession, stubConnOver } from "../support/stub-session.ts";

function failureOf(promise: Promise<unknown>): Promise<GrpcError> {
  return promise.then(
    () => expect.fail("expected a failure"),
    (error: GrpcError) => error,
  );
}

/** Its SETTINGS have come before it was handed over. */
function readyAlready(session: StubSession): void {
  session.accepting = true;
}

describe("a conn over a session", () => {
  it("that is ready already opens its first call at once, even where no call may wait", async () => {
    const { conn, sessions } = stubConnOver(readyAlready, { maxWaitingCalls: 0 });
    const call = conn.newStream(PATH);
    expect([conn.state, conn.waitingCount, sessions[0]?.opened.length]).toEqual(["ready", 0, 1]);
    call.cancel();
    await conn.close();
  });

  it("that was never used closes it, and tells of nothing but its end", async () => {
    const { conn, sessions } = stubConnOver(readyAlready);
    const states: string[] = [];
    conn.onState((state) => states.push(state));
    const closed = conn.close(1_000);
    expect(sessions[0]?.drained).toBe(1);
    sessions[0]?.closed();
    await closed;
    expect([states, sessions.length]).toEqual([["shutdown"], 1]);
  });

  it("that a listener closes while the first call begins to use it closes it all the same", async () => {
    const { conn, sessions } = stubConnOver();
    let closed: Promise<void> | undefined;
    conn.onState((state) => {
      if (state === "connecting") closed = conn.close(1_000);
    });
    const failure = failureOf(conn.newStream(PATH).trailer());
    expect(sessions.map(({ drained }) => drained)).toEqual([1]);
    sessions[0]?.closed();
    await closed;
    expect(await failure).toMatchObject({ reason: "CONN_CLOSED" });
  });

  it("that cannot be taken says so to the calls that wait for it, and then that it is closed", async () => {
    const { conn, clock } = stubConnOver(() => {
      throw "no session";
    });
    expect(await failureOf(conn.newStream(PATH, { waitForReady: true }).trailer())).toMatchObject({
      reason: "UPSTREAM_CONNECT",
      message: expect.stringContaining("no session"),
    });
    expect([conn.state, clock.timerCount]).toEqual(["shutdown", 0]);
    expect(await failureOf(conn.newStream(PATH).trailer())).toMatchObject({
      reason: "CONN_CLOSED",
    });
    await conn.close();
  });

  it("that cannot be taken closes without it", async () => {
    const { conn } = stubConnOver(() => {
      throw new Error("no session");
    });
    await conn.close();
    expect(conn.state).toBe("shutdown");
  });

  it("keeps it however many of its streams are reset", async () => {
    const { conn, sessions } = stubConnOver(readyAlready);
    for (let i = 0; i < 1_000; i++) conn.newStream(PATH).cancel();
    expect([conn.state, sessions.length, sessions[0]?.drained]).toEqual(["ready", 1, 0]);
    await conn.close();
  });

  it("tells once that it has ended, also when it is closed afterwards", async () => {
    const { conn, sessions } = stubConnOver(readyAlready);
    const told: unknown[] = [];
    conn.onState((state, error) => told.push([state, error?.reason]));
    conn.connect();
    sessions[0]?.closed();
    await conn.close();
    expect(told).toEqual([
      ["connecting", undefined],
      ["ready", undefined],
      ["shutdown", "UPSTREAM_SESSION"],
    ]);
  });

  it("that says GOAWAY fails the calls that wait for room with the end of the connection", async () => {
    const { conn, sessions } = stubConnOver(readyAlready);
    const under = conn.newStream(PATH);
    const [session] = sessions as [StubSession];
    session.isBlocked = true;
    const failure = failureOf(conn.newStream(PATH, { waitForReady: true }).trailer());
    session.listener.onGoAway(1, 0, "");
    expect(await failure).toMatchObject({ reason: "CONN_CLOSED", retry: "safe" });
    under.cancel();
    await conn.close();
  });
});
