// A balancer of the user's own: what it may do, and what it does wrong.

import { once } from "node:events";
import { describe, expect, it } from "vitest";
import type {
  Balancer,
  BalancerHost,
  Picker,
  PickInfo,
  SubchannelView,
} from "../../src/client/balance/balancer.ts";
import type { ClientStream } from "../../src/client/client-stream.ts";
import { dial } from "../../src/client/dial.ts";
import { GrpcError } from "../../src/grpc/error.ts";
import { Status } from "../../src/grpc/status.ts";
import { closeAtEnd } from "../support/cleanup.ts";
import { PATH } from "../support/relay-fixture.ts";
import { type StubSession, stubConn } from "../support/stub-session.ts";

const A = "10.0.0.1:1";
const B = "10.0.0.2:1";

type Pick = (call: PickInfo, views: readonly SubchannelView[]) => unknown;

/** A connection to two addresses, whose balancer picks as `pick` says, and connects both. */
function setUp(pick: Pick, parts: Partial<Balancer> = {}) {
  let host: BalancerHost | undefined;
  let views: readonly SubchannelView[] = [];
  const balancing = (given: BalancerHost): Balancer => {
    host = given;
    return {
      update: (subchannels) => {
        views = subchannels;
        for (const each of subchannels) each.connect();
        return { pick: (call) => pick(call, subchannels) } as Picker;
      },
      ...parts,
    };
  };
  const stub = stubConn({ balancing }, undefined, [A, { address: B, weight: 2 }]);
  closeAtEnd(async () => {
    await stub.conn.close();
    expect(stub.clock.timerCount).toBe(0);
  });
  return {
    ...stub,
    host: () => host!,
    views: () => views,
    at: (address: string): StubSession =>
      stub.sessions.findLast((each) => each.address === address)!,
    call: (method = PATH, options = {}): ClientStream => {
      const call = stub.conn.newStream(method, options);
      call.trailer().catch(() => undefined);
      return call;
    },
  };
}

function failureOf(call: ClientStream): Promise<GrpcError> {
  return call.trailer().then(
    () => expect.fail("expected a failure"),
    (error: GrpcError) => error,
  );
}

describe("a balancer of one's own", () => {
  it("sees address, state, calls under way and weight, and gives calls by method and key", () => {
    const seen: unknown[] = [];
    const { call, at, views } = setUp((info, subchannels) => {
      seen.push([info.method, info.hashKey]);
      return subchannels.find(({ address }) => address === (info.hashKey ?? B));
    });
    call("/a.B/One");
    for (const address of [B, A]) at(address).becomeReady();
    call("/a.B/Two", { hashKey: A });
    expect(seen.slice(-2)).toEqual([
      ["/a.B/One", undefined],
      ["/a.B/Two", A],
    ]);
    expect(
      views().map(({ address, state, inFlight, weight }) => [address, state, inFlight, weight]),
    ).toEqual([
      [A, "ready", 1, 1],
      [B, "ready", 1, 2],
    ]);
    expect([at(A).opened.length, at(B).opened.length]).toEqual([1, 1]);
    expect(Object.keys(views()[0]!)).toEqual([]);
  });

  it("may let a call wait while others behind it go", () => {
    let isOpen = false;
    const { conn, call, at, host } = setUp(({ method }, [first]) =>
      method === "/a.B/Held" && !isOpen ? undefined : first,
    );
    call("/a.B/Held");
    call("/a.B/Held");
    at(A).becomeReady();
    call("/a.B/Free");
    expect([at(A).opened.length, conn.waitingCount]).toEqual([1, 2]);
    at(A).isBlocked = true;
    call("/a.B/Free");
    expect(conn.waitingCount).toBe(3);
    at(A).isBlocked = false;
    isOpen = true;
    host().refresh();
    expect([at(A).opened.length, conn.waitingCount]).toEqual([4, 0]);
  });

  it("may refuse a call, which fails as it says, waiting for ready or not", async () => {
    const refusal = new GrpcError(Status.RESOURCE_EXHAUSTED, "enough");
    const { call, at } = setUp(() => refusal);
    const first = call(PATH, { waitForReady: true });
    expect(await failureOf(first)).toBe(refusal);
    at(A).becomeReady();
    expect(await failureOf(call())).toBe(refusal);
  });

  it("may pick one that is not ready: it is connected, and another one that is gets the call", () => {
    const { conn, call, at, sessions } = setUp((_, [first]) => first, {
      update(this: Balancer, subchannels) {
        return { pick: () => subchannels[0] };
      },
    });
    call();
    expect([sessions.length, conn.waitingCount]).toEqual([1, 1]);
    at(A).closed();
    expect(sessions).toHaveLength(1);
  });

  it("may end the only call that waits while it picks for it", async () => {
    const abort = new AbortController();
    const { conn, call, at } = setUp(({ method }, [first]) => {
      if (method !== "/a.B/Ended") return first;
      abort.abort();
      return undefined;
    });
    call();
    at(A).becomeReady();
    expect((await failureOf(call("/a.B/Ended", { signal: abort.signal }))).status).toBe(
      Status.CANCELLED,
    );
    call();
    expect([at(A).opened.length, conn.waitingCount]).toEqual([2, 0]);
  });

  it("may pick for another call while it picks", () => {
    const seen: string[] = [];
    let isNested = false;
    const { call, at } = setUp((info, [first]) => {
      if (!isNested) {
        isNested = true;
        call("/a.B/Inner");
      }
      seen.push(info.method);
      return first;
    });
    call("/a.B/Outer");
    at(A).becomeReady();
    expect(seen.slice(0, 2)).toEqual(["/a.B/Outer", "/a.B/Outer"]);
    expect(at(A).opened).toHaveLength(2);
  });

  it.each([
    ["an address", undefined],
    ["an error", new GrpcError(Status.ABORTED, "no")],
  ])("may end the call while it picks %s for it", async (_, refusal) => {
    let held: ClientStream | undefined;
    const { call, at, host } = setUp((_call, [first]) => {
      held?.cancel("by the balancer");
      return held === undefined ? undefined : (refusal ?? first);
    });
    held = call();
    at(A).becomeReady();
    host().refresh();
    expect(await failureOf(held)).toMatchObject({ details: "by the balancer" });
    expect(at(A).opened).toEqual([]);
  });

  it.each<[string, unknown, string]>([
    ["throws", new Error("no idea"), "no idea"],
    ["gives something else", { address: A }, "pick: expected a SubchannelView"],
    ["gives null", null, "pick: expected a SubchannelView that update was given, got null"],
  ])("whose pick %s fails the call, with a warning", async (_, picked, message) => {
    // Each kind is warned of once, and null is of the same kind as the one before.
    const warned = picked === null ? undefined : once(process, "warning");
    const { call } = setUp(() => {
      if (picked instanceof Error) throw picked;
      return picked;
    });
    expect(await failureOf(call())).toMatchObject({
      status: Status.UNKNOWN,
      reason: "HANDLER",
      details: "internal error in the proxy",
      message: expect.stringContaining(message),
    });
    const [warning] = (await warned) ?? [{ message: "pick of a balancer must not throw" }];
    expect(warning.message).toContain("pick of a balancer must not throw");
  });

  it("whose pick throws a GrpcError fails the call with it", async () => {
    const refusal = new GrpcError(Status.ABORTED, "no");
    const { call } = setUp(() => {
      throw refusal;
    });
    expect(await failureOf(call())).toBe(refusal);
  });

  it("whose update throws, or gives no picker, fails calls; one that has worked keeps its picker", async () => {
    let isBroken = true;
    const { call, at } = setUp(() => undefined, {
      update: (subchannels) => {
        for (const each of subchannels) each.connect();
        if (isBroken) return undefined as never;
        return { pick: () => subchannels.find(({ state }) => state === "ready") };
      },
    });
    const warned = once(process, "warning");
    expect(await failureOf(call())).toMatchObject({
      status: Status.UNKNOWN,
      message: expect.stringContaining("update: expected a Picker, got undefined"),
    });
    expect((await warned)[0].message).toContain("update of a balancer");
    isBroken = false;
    at(A).becomeReady();
    call();
    isBroken = true;
    at(B).becomeReady();
    call();
    expect(at(A).opened).toHaveLength(2);
  });

  it("that changes states in a circle is stopped, with a warning", async () => {
    let rounds = 0;
    const warned = once(process, "warning");
    const { call } = setUp(() => undefined, {
      update: ([first]) => {
        rounds++;
        if (first?.state === "idle") first.connect();
        else first?.disconnect();
        return { pick: () => undefined };
      },
    });
    call().cancel();
    expect((await warned)[0].message).toBe("a balancer changes the states in a circle");
    expect(rounds).toBe(1_001);
  });

  it("is told nothing before the addresses are known, also when it asks, and calls wait", () => {
    let host: BalancerHost | undefined;
    let updates = 0;
    const balancing = (given: BalancerHost): Balancer => {
      host = given;
      return {
        update: () => {
          updates++;
          return { pick: () => undefined };
        },
      };
    };
    const { conn } = stubConn({ balancing }, undefined, { start: () => undefined });
    closeAtEnd(() => conn.close());
    const call = conn.newStream(PATH);
    call.trailer().catch(() => undefined);
    host!.refresh();
    expect([conn.state, conn.waitingCount, updates]).toEqual(["connecting", 1, 0]);
  });

  it("is given time, chance, and an end", async () => {
    const log: unknown[] = [];
    const warned = once(process, "warning");
    const { conn, clock, host } = setUp(() => undefined, {
      connect: () => log.push("connect"),
      close: () => log.push("close"),
    });
    host().after(100, () => log.push("first"));
    const cancel = host().after(100, () => log.push("cancelled"));
    host().after(100, () => {
      throw new Error("late");
    });
    host().after(1_000, () => log.push("too late"));
    cancel();
    clock.advance(104);
    expect([log.splice(0), host().random()]).toEqual([["first"], 0.5]);
    expect((await warned)[0].message).toBe("a callback of a balancer must not throw");
    expect(() => host().after(Number.NaN, () => {})).toThrow("delayMs: expected a number from 0");
    conn.onState(() => undefined);
    await conn.close();
    host().after(0, () => log.push("after the end"))();
    host().refresh();
    clock.advance(2_000);
    expect(log).toEqual(["close"]);
  });

  it("without connect has all connected when somebody asks; with it that is its own affair", () => {
    const passive = { update: () => ({ pick: () => undefined }) };
    const all = setUp(() => undefined, passive);
    all.conn.connect();
    expect(all.sessions).toHaveLength(2);
    let asked = 0;
    const own = setUp(() => undefined, { ...passive, connect: () => asked++ });
    own.conn.connect();
    expect([own.sessions.length, asked]).toEqual([0, 1]);
  });

  it("may close the connection from within", async () => {
    let closed: Promise<void> | undefined;
    const { conn, call, sessions } = setUp(() => undefined, {
      update: () => {
        closed ??= conn.close();
        return { pick: () => undefined };
      },
    });
    expect(await failureOf(call())).toMatchObject({ reason: "CONN_CLOSED" });
    await closed;
    expect(sessions).toEqual([]);
  });

  it("keeps no hold of an address that has left", () => {
    const kept: SubchannelView[] = [];
    const { conn, call, sessions, views } = setUp((_, subchannels) => subchannels[0]);
    call();
    kept.push(...views());
    void conn.close();
    for (const view of kept) {
      view.connect();
      view.disconnect();
    }
    expect(sessions).toHaveLength(2);
  });
});

it.each<[unknown, string]>([
  ["random", 'balancing: expected one of pickFirst, roundRobin, leastRequest, ringHash, got "ran'],
  [5, "balancing: expected one of pickFirst"],
  [() => ({}), "balancing: expected a function that gives a Balancer, got an object"],
  [() => undefined, "balancing: expected a function that gives a Balancer, got undefined"],
])("dial refuses %s as balancing", (balancing, message) => {
  expect(() => dial("a:1", { balancing: balancing as never })).toThrow(message);
});
