// Several sessions to one address: when another is made, which takes a call, when one is left.

import { describe, expect, it } from "vitest";
import type { ClientStream } from "../../../src/client/client-stream.ts";
import type { DialOptions } from "../../../src/client/dial-options.ts";
import { PATH } from "../../support/relay-fixture.ts";
import { type StubConn, type StubSession, stubConn } from "../../support/stub-session.ts";

interface Scene extends StubConn {
  readonly calls: ClientStream[];
  readonly told: string[];
  call(count?: number): void;
  session(index: number): StubSession;
}

function setUp(options: DialOptions = {}): Scene {
  const stub = stubConn({ maxConnectionsPerAddress: 3, ...options });
  const calls: ClientStream[] = [];
  const told: string[] = [];
  stub.conn.onState((state, _, reason) => told.push(`${state}: ${reason}`));
  return {
    ...stub,
    calls,
    told,
    call: (count = 1) => {
      for (let i = 0; i < count; i++) {
        const call = stub.conn.newStream(PATH, { waitForReady: true });
        call.trailer().catch(() => undefined);
        calls.push(call);
      }
    },
    session: (index) => stub.sessions[index] as StubSession,
  };
}

/** Its server takes `limit` streams at a time, and has sent its SETTINGS. */
function ready(session: StubSession, limit: number): void {
  session.streamLimit = limit;
  session.becomeReady();
}

const opened = ({ sessions }: Scene): number[] => sessions.map((session) => session.opened.length);

/** Ends the test's calls and the connection, which leaves no timer. */
async function close({ conn, clock, calls }: Scene): Promise<void> {
  for (const call of calls) call.cancel();
  await conn.close();
  expect(clock.timerCount).toBe(0);
}

describe("another session", () => {
  it("is made for calls that wait, one at a time, up to the cap; calls go to the oldest with room", async () => {
    const scene = setUp();
    scene.call(10);
    expect(scene.sessions).toHaveLength(1);
    ready(scene.session(0), 2);
    expect([opened(scene), scene.conn.waitingCount]).toEqual([[2, 0], 8]);
    scene.call();
    expect(scene.sessions).toHaveLength(2);
    ready(scene.session(1), 2);
    ready(scene.session(2), 2);
    expect([opened(scene), scene.conn.waitingCount]).toEqual([[2, 2, 2], 5]);
    scene.session(1).endStream();
    scene.session(0).endStream();
    expect([opened(scene), scene.conn.waitingCount]).toEqual([[3, 3, 2], 3]);
    scene.calls.slice(-3).forEach((call) => {
      call.cancel();
    });
    scene.session(2).endStream();
    scene.session(0).endStream();
    scene.call();
    expect(opened(scene)).toEqual([4, 3, 2]);
    expect(scene.told).toEqual([
      "connecting: a call wants it",
      "ready: the server has sent its SETTINGS",
    ]);
    await close(scene);
  });

  it("is not made where calls wait for the socket, nobody waits any more, or one is enough", async () => {
    const scene = setUp();
    scene.call();
    ready(scene.session(0), 5);
    scene.session(0).isBlocked = true;
    scene.call(2);
    expect([scene.sessions.length, scene.conn.waitingCount]).toEqual([1, 2]);
    scene.session(0).isBlocked = false;
    scene.session(0).listener.onAvailable();
    scene.call(2);
    expect([opened(scene), scene.conn.waitingCount]).toEqual([[5], 0]);
    scene.call();
    scene.calls.at(-1)?.cancel();
    ready(scene.session(1), 1);
    scene.session(0).listener.onAvailable();
    expect(opened(scene)).toEqual([5, 0]);
    await close(scene);
  });

  it.each([1, undefined])(
    "has a cap of %s: calls wait, as many sessions as allowed",
    async (cap) => {
      const options = cap === undefined ? {} : { maxConnectionsPerAddress: cap };
      const scene = { ...setUp(), ...stubConn(options) };
      const calls = Array.from({ length: 20 }, () => scene.conn.newStream(PATH));
      for (const call of calls) call.trailer().catch(() => undefined);
      for (let i = 0; i < scene.sessions.length; i++) ready(scene.sessions[i] as StubSession, 1);
      expect(scene.sessions).toHaveLength(cap ?? 10);
      expect(scene.conn.waitingCount).toBe(20 - scene.sessions.length);
      await close({ ...scene, calls });
    },
  );

  it("that cannot be made changes nothing for calls, and is tried again after the backoff if they still wait", async () => {
    const scene = setUp();
    scene.call(2);
    ready(scene.session(0), 1);
    scene.session(1).closed();
    expect([scene.conn.state, scene.conn.waitingCount]).toEqual(["ready", 1]);
    scene.call();
    scene.session(0).endStream();
    expect([opened(scene), scene.conn.waitingCount]).toEqual([[2, 0], 1]);
    scene.clock.advance(996);
    expect(scene.sessions).toHaveLength(2);
    scene.clock.advance(8);
    expect(scene.sessions).toHaveLength(3);
    scene.session(2).closed();
    scene.session(0).endStream();
    expect(scene.conn.waitingCount).toBe(0);
    scene.clock.advance(1_700);
    expect([scene.conn.state, scene.sessions.length]).toEqual(["ready", 3]);
    expect(scene.told).toHaveLength(2);
    await close(scene);
  });

  it("carries on when those before it are lost while it is made", async () => {
    const scene = setUp();
    scene.call(2);
    ready(scene.session(0), 1);
    scene.session(0).closed();
    expect([scene.conn.state, scene.sessions.length]).toEqual(["connecting", 2]);
    ready(scene.session(1), 1);
    expect([opened(scene), scene.conn.state]).toEqual([[1, 1], "ready"]);
    await close(scene);
  });

  it("that could not be made leaves the address unreachable when the last one is lost meanwhile", async () => {
    const scene = setUp();
    scene.call(2);
    ready(scene.session(0), 1);
    scene.session(1).closed();
    scene.session(0).closed();
    expect([scene.conn.state, scene.conn.waitingCount]).toEqual(["transientFailure", 1]);
    scene.clock.advance(1_004);
    expect([scene.conn.state, scene.sessions.length]).toEqual(["connecting", 3]);
    await close(scene);
  });

  it("takes the calls of one that says GOAWAY, is reset too often, or has used up its ids", async () => {
    const scene = setUp({ maxConnectionsPerAddress: 2 });
    scene.call(3);
    ready(scene.session(0), 1);
    ready(scene.session(1), 2);
    scene.session(0).listener.onGoAway(1, 0, "");
    expect([opened(scene), scene.conn.state]).toEqual([[1, 2], "ready"]);
    scene.call();
    expect(scene.sessions).toHaveLength(3);
    ready(scene.session(2), 1_000);
    scene.session(1).endStream();
    scene.call();
    scene.session(1).streamLimit = 1_000;
    for (let i = 0; i < 500; i++) scene.conn.newStream(PATH).cancel();
    expect([scene.session(1).drained, opened(scene)[2]]).toEqual([1, 1]);
    scene.session(2).onOpenStream = (session) => {
      session.accepting = false;
    };
    scene.call(2);
    expect([scene.session(2).drained, scene.conn.waitingCount, scene.sessions.length]).toEqual([
      1, 1, 4,
    ]);
    await close(scene);
  });
});

describe("a session without calls", () => {
  it("is closed after idleTimeoutMs, at most a quarter later; a call in between counts", async () => {
    const scene = setUp({ idleTimeoutMs: 10_000 });
    scene.call();
    ready(scene.session(0), 5);
    scene.clock.advance(60_000);
    expect(scene.conn.state).toBe("ready");
    scene.session(0).endStream();
    scene.clock.advance(6_000);
    scene.call();
    scene.session(0).endStream();
    scene.clock.advance(9_996);
    expect([scene.conn.state, scene.session(0).drained]).toEqual(["ready", 0]);
    scene.clock.advance(2_504);
    expect([scene.conn.state, scene.session(0).drained]).toEqual(["idle", 1]);
    expect(scene.told.at(-1)).toBe("idle: the connection was idle");
    scene.session(0).closed();
    expect(scene.clock.timerCount).toBe(0);
    scene.call();
    expect([scene.conn.state, scene.sessions.length]).toEqual(["connecting", 2]);
    await close(scene);
  });

  it.each([
    [undefined, 1_800_000],
    [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY],
  ])(
    "is closed with idleTimeoutMs %s after %s, those besides the oldest after 60 s",
    async (idleTimeoutMs, afterMs) => {
      const scene = setUp(idleTimeoutMs === undefined ? {} : { idleTimeoutMs });
      scene.call(3);
      for (const index of [0, 1, 2]) ready(scene.session(index), 1);
      const drained = (): number[] => scene.sessions.map((session) => session.drained);
      scene.session(1).endStream();
      scene.session(2).endStream();
      scene.clock.advance(59_996);
      expect(drained()).toEqual([0, 0, 0]);
      scene.clock.advance(15_004);
      expect([drained(), scene.conn.state]).toEqual([[0, 1, 1], "ready"]);
      scene.session(0).endStream();
      scene.clock.advance(1_790_000);
      expect(drained()).toEqual([0, 1, 1]);
      scene.clock.advance(500_000);
      expect(scene.conn.state).toBe(afterMs === Number.POSITIVE_INFINITY ? "ready" : "idle");
      await close(scene);
    },
  );
});

describe("a session that is older than maxConnectionAgeMs", () => {
  const options = { maxConnectionAgeMs: 10_000, idleTimeoutMs: Number.POSITIVE_INFINITY };

  it("without calls is left", async () => {
    const scene = setUp(options);
    scene.conn.connect();
    ready(scene.session(0), 5);
    scene.clock.advance(9_996);
    expect(scene.conn.state).toBe("ready");
    scene.clock.advance(8);
    expect([scene.conn.state, scene.session(0).drained]).toEqual(["idle", 1]);
    expect(scene.told.at(-1)).toBe("idle: the connection is as old as it may be");
    await close(scene);
  });

  it.each([
    [0, 9_000],
    [0.999_999, 11_000],
  ])("counts it with a spread of 10 %%: %d", async (random, ageMs) => {
    const scene = setUp({ ...options, random: () => random });
    scene.conn.connect();
    ready(scene.session(0), 5);
    scene.clock.advance(ageMs - 4);
    expect(scene.conn.state).toBe("ready");
    scene.clock.advance(8);
    expect(scene.conn.state).toBe("idle");
    await close(scene);
  });

  it("takes the calls until another is ready in its place, whatever the cap", async () => {
    const scene = setUp({ ...options, maxConnectionsPerAddress: 1 });
    scene.call();
    ready(scene.session(0), 5);
    scene.clock.advance(10_004);
    scene.call();
    expect([opened(scene), scene.session(0).drained]).toEqual([[2, 0], 0]);
    scene.session(1).closed();
    scene.call();
    scene.clock.advance(1_004);
    expect([opened(scene), scene.session(0).drained]).toEqual([[3, 0, 0], 0]);
    ready(scene.session(2), 5);
    scene.call();
    expect([opened(scene), scene.session(0).drained]).toEqual([[3, 0, 1], 1]);
    expect([scene.conn.state, scene.told.length, scene.conn.openStreamCount]).toEqual([
      "ready",
      2,
      4,
    ]);
    await close(scene);
  });

  it("is left at once where others take its calls, and waits for one that is made already", async () => {
    const scene = setUp(options);
    scene.call(2);
    ready(scene.session(0), 1);
    scene.clock.advance(5_000);
    ready(scene.session(1), 1);
    scene.clock.advance(5_004);
    expect(scene.sessions.map(({ drained }) => drained)).toEqual([1, 0]);
    scene.call();
    expect(scene.sessions).toHaveLength(3);
    scene.clock.advance(5_000);
    expect(scene.sessions.map(({ drained }) => drained)).toEqual([1, 0, 0]);
    ready(scene.session(2), 1);
    expect(scene.sessions.map(({ drained }) => drained)).toEqual([1, 1, 0]);
    await close(scene);
  });

  it("is lost as any other while another is made", async () => {
    const scene = setUp(options);
    scene.call();
    ready(scene.session(0), 5);
    scene.clock.advance(10_004);
    scene.session(0).closed();
    expect([scene.conn.state, scene.sessions.length]).toEqual(["connecting", 2]);
    await close(scene);
  });
});

it("leaves no stream behind where a listener ends the call with which the stream ids are used up", async () => {
  const { conn, session, told } = setUp();
  conn.connect();
  session(0).becomeReady();
  session(0).onOpenStream = (each) => {
    each.accepting = false;
  };
  const controller = new AbortController();
  conn.onState((state) => {
    if (state === "idle") controller.abort();
  });
  const call = conn.newStream(PATH, { signal: controller.signal });
  await expect(call.trailer()).rejects.toMatchObject({ details: "call aborted" });
  expect(told.at(-1)).toBe("idle: its stream ids are used up");
  expect([session(0).openStreamCount, session(0).drained]).toEqual([0, 1]);
  await conn.close();
});
