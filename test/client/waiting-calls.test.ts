// Calls that wait for a connection: their order, and what they keep meanwhile.

import { describe, expect, it } from "vitest";
import type { StreamRequest } from "../../src/client/stream-request.ts";
import { Metadata } from "../../src/grpc/metadata.ts";
import { fieldValue, type HeaderList } from "../../src/wire/field.ts";
import { PATH } from "../support/relay-fixture.ts";
import { type StubSession, stubConn } from "../support/stub-session.ts";

/** Timers of Node.js that keep the process. */
function timerCount(): number {
  return process.getActiveResourcesInfo().filter((name) => name === "Timeout").length;
}

describe("calls that wait", () => {
  it("are opened before one that comes while they are being opened", async () => {
    const { conn, sessions } = stubConn();
    const metadata = new Metadata();
    const calls = [conn.newStream("/a.B/First", { metadata }), conn.newStream("/a.B/Second")];
    metadata.toFields = () => {
      calls.push(conn.newStream("/a.B/Third"));
      return [];
    };
    const [session] = sessions as [StubSession];
    const { openStream } = session;
    const opened: (string | undefined)[] = [];
    session.openStream = (headers, ...rest) => {
      opened.push(fieldValue(headers as HeaderList, ":path"));
      return openStream.call(session, headers, ...rest);
    };
    session.becomeReady();
    expect(opened).toEqual(["/a.B/First", "/a.B/Second", "/a.B/Third"]);
    for (const call of calls) call.cancel();
    await conn.close();
  });

  it("for the backoff keep the process, and no longer", async () => {
    const before = timerCount();
    const { conn, sessions } = stubConn();
    const calls = [1, 2].map(() => conn.newStream(PATH, { waitForReady: true }));
    sessions[0]?.closed();
    expect([conn.state, timerCount()]).toEqual(["transientFailure", before + 1]);
    for (const call of calls) call.cancel();
    expect(timerCount()).toBe(before);
    await conn.close();
  });

  it("keep the process, too, when they come during the backoff, until it is over", async () => {
    const before = timerCount();
    const { conn, sessions, clock } = stubConn();
    conn.connect();
    sessions[0]?.closed();
    expect([conn.state, timerCount()]).toEqual(["transientFailure", before]);
    const call = conn.newStream(PATH, { waitForReady: true });
    expect(timerCount()).toBe(before + 1);
    clock.advance(1_004);
    expect([conn.state, timerCount()]).toEqual(["connecting", before]);
    call.cancel();
    await conn.close();
  });

  it("may end others when they fail, which are told nothing then", async () => {
    const { conn, sessions } = stubConn();
    const failed: string[] = [];
    const request = (name: string, onOpenFailed: () => void): StreamRequest =>
      ({
        ...{ waitForReady: false, waitingAt: -1, method: PATH, name },
        onOpenFailed: () => {
          failed.push(name);
          onOpenFailed();
        },
      }) as unknown as StreamRequest;
    const second = request("second", () => {});
    conn.open(request("first", () => conn.abandon(second)));
    conn.open(second);
    sessions[0]?.closed();
    expect([failed, conn.waitingCount]).toEqual([["first"], 0]);
    await conn.close();
  });
});
