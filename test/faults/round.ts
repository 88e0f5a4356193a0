// One round: fresh relay, calls under faults, a verdict on each call, and everything back to zero.

import type { ClientConn } from "../../src/client/client-conn.ts";
import { dial } from "../../src/client/dial.ts";
import { callEnd, callStart } from "../../src/observe/channels.ts";
import { type Destination, StreamParameters } from "../../src/proxy/director.ts";
import type { StreamPeeker } from "../../src/proxy/peeker.ts";
import { transparentHandler } from "../../src/proxy/transparent-handler.ts";
import type { CallContext } from "../../src/server/call-context.ts";
import { Server } from "../../src/server/server.ts";
import type { TransportCombo } from "../support/combos.ts";
import { FaultBackend } from "./backend.ts";
import { Caller, type Ended } from "./caller.ts";
import { FaultProxy, type PassedTo } from "./fault-proxy.ts";
import { LOOPBACK } from "./loopback.ts";
import {
  BACKENDS,
  type BackendName,
  type CallPlan,
  isLethal,
  type LegName,
  planProbe,
  planRound,
  RETRY_POLICY,
  type RoundPlan,
} from "./plan.ts";
import { judge } from "./verdict.ts";

/** Nothing that is due takes longer, on a machine that does much else. */
const LIMIT_MS = 30_000;

/** What stays from round to round: backends, and the proxies before them and before the relay. */
export class Ground {
  readonly backends: readonly FaultBackend[];
  readonly proxies: Readonly<Record<LegName, FaultProxy>>;
  /** Where the relay of the round listens. */
  relay: PassedTo = { host: LOOPBACK, port: 1 };

  static async lay(): Promise<Ground> {
    const backends = await Promise.all(BACKENDS.map((name) => FaultBackend.listen(name)));
    const [a, b, c] = await Promise.all(
      backends.map(({ address }) => FaultProxy.listen(() => address)),
    );
    let ground: Ground | undefined;
    const client = await FaultProxy.listen(() => ground!.relay);
    ground = new Ground(backends, { client, a: a!, b: b!, c: c! });
    return ground;
  }

  private constructor(
    backends: readonly FaultBackend[],
    proxies: Readonly<Record<LegName, FaultProxy>>,
  ) {
    this.backends = backends;
    this.proxies = proxies;
  }

  close(): void {
    for (const proxy of Object.values(this.proxies)) proxy.close();
    for (const backend of this.backends) backend.close();
  }
}

export interface RoundResult {
  readonly callCount: number;
  readonly faultCount: number;
  /** How many calls ended in which way. */
  readonly ends: ReadonlyMap<string, number>;
  readonly problems: readonly string[];
}

/** What one call has done in the relay. */
class Trace {
  starts = 0;
  ends = 0;
  endStatus: number | undefined;
  error: Error | undefined;
  clientGone = false;
  directed = 0;
  finalized = 0;
  readonly judged: number[] = [];
  readonly arrivals: Record<BackendName, number> = { a: 0, b: 0, c: 0 };
}

class Round {
  readonly problems: string[] = [];
  readonly ends = new Map<string, number>();
  faultCount = 0;
  readonly #ground: Ground;
  readonly #plans = new Map<string, CallPlan>();
  readonly #traces = new Map<string, Trace>();
  readonly #troubled = new Set<LegName>();
  readonly #conns: Readonly<Record<BackendName, ClientConn>>;
  readonly #server: Server;
  readonly #seed: number;
  readonly #name: string;
  readonly #plan: RoundPlan;
  #calm = false;

  constructor(ground: Ground, combo: TransportCombo, seed: number, name: string) {
    this.#ground = ground;
    this.#seed = seed;
    this.#name = name;
    this.#plan = planRound(seed, name);
    const { connectionWindowBytes } = this.#plan;
    const conn = (name: BackendName): ClientConn =>
      dial(ground.proxies[name].target, {
        transport: combo.client,
        connectionWindowBytes,
        backoff: { initialMs: 5, maxMs: 20 },
      });
    this.#conns = { a: conn("a"), b: conn("b"), c: conn("c") };
    this.#server = new Server({
      transport: combo.server,
      connectionWindowBytes,
      unknownServiceHandler: transparentHandler((ctx, method, peeker) =>
        this.#direct(ctx, method, peeker),
      ),
    });
  }

  async run(): Promise<void> {
    const plan = this.#plan;
    const stops = [
      callStart.subscribe(({ method }) => {
        const trace = this.#traces.get(method);
        if (trace !== undefined) trace.starts++;
      }),
      callEnd.subscribe(({ method, status, error, clientGone }) => {
        const trace = this.#traces.get(method);
        if (trace === undefined) return;
        trace.ends++;
        trace.endStatus = status;
        trace.error = error;
        trace.clientGone = clientGone;
      }),
    ];
    const { proxies, backends } = this.#ground;
    for (const [leg, proxy] of Object.entries(proxies) as [LegName, FaultProxy][]) {
      proxy.plan(
        plan.faults.filter((fault) => fault.leg === leg),
        (fault) => {
          if (this.#calm) return;
          this.faultCount++;
          if (isLethal(fault)) this.#troubled.add(leg);
        },
      );
    }
    const gone = new Set<BackendName>();
    for (const backend of backends) {
      backend.begin({
        calls: this.#plans,
        goAway: (name) =>
          this.#calm || gone.has(name)
            ? undefined
            : plan.goAways.find((each) => each.backend === name),
        arrived: (name, call) => ++this.#trace(call).arrivals[name],
        wentAway: (name) => {
          gone.add(name);
          this.faultCount++;
          this.#troubled.add(name);
        },
        problem: (text) => this.problems.push(text),
      });
    }
    try {
      const { address } = await this.#server.listen(`${LOOPBACK}:0`);
      if (!("port" in address)) throw new Error("expected a port");
      this.#ground.relay = { host: LOOPBACK, port: address.port };
      await this.#callAndSettle(plan.calls, plan.callsAtOnce, "calls");
      await this.#heal();
      // A connection that a late fault has broken may still look whole: one more call finds out.
      await this.#callAndSettle(this.#probes(900, 1), 1, "first probe");
      this.#troubled.clear();
      await this.#heal();
      await this.#callAndSettle(this.#probes(1_000, 3), 3, "probes");
    } catch (error) {
      this.problems.push(error instanceof Error ? error.message : String(error));
    } finally {
      await this.#close();
      for (const stop of stops) stop();
    }
  }

  #probes(firstId: number, count: number): CallPlan[] {
    return Array.from({ length: count }, (_, at) =>
      planProbe(this.#seed, this.#name, firstId + at),
    );
  }

  /** From the end of the calls on nothing breaks any more. */
  async #callAndSettle(plans: readonly CallPlan[], callsAtOnce: number, name: string) {
    const callers = await this.#call(plans, callsAtOnce);
    this.#calm = true;
    const proxies = Object.values(this.#ground.proxies);
    for (const proxy of proxies) proxy.calm();
    await this.#until("no fault is under way", () => proxies.every(({ quiet }) => quiet));
    await this.#haveCredit(callers, `after the ${name}`);
    for (const caller of callers) caller.close();
    await this.#settle(`after the ${name}`);
  }

  /**
   * Whoever still has a connection to the relay may use at least half of its window. As much may
   * wait until it is worth a WINDOW_UPDATE.
   */
  async #haveCredit(callers: readonly Caller[], when: string): Promise<void> {
    const leastBytes = Math.floor(this.#plan.connectionWindowBytes / 2);
    const windows = (): number[] => [
      ...callers.filter(({ closed }) => !closed).map(({ sendWindowBytes }) => sendWindowBytes),
      ...this.#ground.backends.flatMap(({ sendWindowsBytes }) => sendWindowsBytes),
    ];
    await this.#until(
      () => `${leastBytes} bytes of every connection window are back ${when}: ${windows()}`,
      () => windows().every((bytes) => bytes >= leastBytes),
    );
  }

  /** Every conn gets ready again. */
  async #heal(): Promise<void> {
    for (const [name, conn] of Object.entries(this.#conns)) {
      await this.#until(`the conn to ${name} is ready again`, () => {
        if (conn.state === "idle") conn.connect();
        return conn.state === "ready";
      });
    }
  }

  #trace({ path }: CallPlan): Trace {
    const trace = this.#traces.get(path);
    if (trace === undefined) throw new Error(`expected a known call, got ${path}`);
    return trace;
  }

  async #direct(ctx: CallContext, method: string, peeker: StreamPeeker): Promise<StreamParameters> {
    const call = this.#plans.get(method);
    if (call === undefined) throw new Error(`unknown call ${method}`);
    const trace = this.#trace(call);
    if (call.peeks) {
      const first = await peeker.peek();
      if (!call.request[0]?.subarray(5).equals(first)) {
        this.problems.push(`call ${call.id}: peeked at something else`);
      }
    }
    if (++trace.directed > 1) this.problems.push(`call ${call.id}: directed twice`);
    const judged = (index: number, swallows: boolean) => ({
      onError: (error: Error) => {
        trace.judged[index] = (trace.judged[index] ?? 0) + 1;
        if (trace.judged[index] > 1) {
          this.problems.push(`call ${call.id}: onError ${index} was told twice`);
        }
        return swallows ? undefined : error;
      },
    });
    const primary: Destination = {
      conn: this.#conns.a,
      ...judged(0, false),
      ...(call.fallback ? { fallbacks: [this.#conns.b] } : {}),
    };
    const secondaries = call.secondaries.map(({ backend, need, swallows }, index) => ({
      conn: this.#conns[backend],
      need,
      ...judged(index + 1, swallows),
      ...(need === "detached" ? { maxDetachedMs: 50 } : {}),
    }));
    return new StreamParameters(
      primary,
      secondaries,
      () => {
        if (++trace.finalized > 1) this.problems.push(`call ${call.id}: finalized twice`);
        if (ctx.method !== method) this.problems.push(`call ${call.id}: another context`);
      },
      {
        waitForReady: call.waitForReady,
        ...(call.retries ? { retryPolicy: RETRY_POLICY } : {}),
        ...(call.optionTimeoutMs === undefined ? {} : { timeoutMs: call.optionTimeoutMs }),
      },
    );
  }

  /**
   * Makes all calls, so many at once, each on its lane; a lane that is lost is opened again.
   * @returns who has the lanes
   */
  async #call(plans: readonly CallPlan[], callsAtOnce: number): Promise<Caller[]> {
    for (const plan of plans) {
      this.#plans.set(plan.path, plan);
      this.#traces.set(plan.path, new Trace());
    }
    const waiting = [...plans];
    const callers: (Caller | undefined)[] = [];
    const onEnds = new Map<CallPlan, () => void>();
    const problem = (text: string): void => {
      this.problems.push(text);
    };
    const run = async (): Promise<void> => {
      for (let plan = waiting.shift(); plan !== undefined; plan = waiting.shift()) {
        const call = plan;
        const ended = new Promise<void>((resolve) => onEnds.set(call, resolve));
        const caller = await lane(call.lane);
        caller.start(call);
        await ended;
      }
    };
    const lane = async (index: number): Promise<Caller> => {
      for (;;) {
        const standing = callers[index];
        if (standing !== undefined && !standing.closed) return standing;
        const caller = new Caller((ended) => {
          this.#judge(ended);
          onEnds.get(ended.call)?.();
        }, problem);
        try {
          await caller.connect(this.#ground.proxies.client.address);
        } catch {
          continue;
        }
        const other = callers[index];
        if (other !== undefined && !other.closed) {
          caller.close();
          return other;
        }
        callers[index] = caller;
      }
    };
    const all = Promise.all(Array.from({ length: callsAtOnce }, run));
    const open = (): string =>
      plans
        .filter((plan) => (this.#traces.get(plan.path)?.ends ?? 0) === 0)
        .map(({ id }) => id)
        .join(", ");
    await within(all, () => `calls hang; without an end in the relay: ${open()}`);
    return callers.filter((caller) => caller !== undefined);
  }

  #judge(ended: Ended): void {
    const { call, end } = ended;
    const trace = this.#trace(call);
    const found = judge(ended, {
      troubled: (backend) => this.#troubled.has(backend),
      clientTroubled: this.#troubled.has("client"),
      arrivals: (backend) => trace.arrivals[backend],
    });
    if (end.kind === "status") {
      if (trace.endStatus !== end.status) found.push(`call:end said ${trace.endStatus}`);
      if (trace.clientGone) found.push("call:end said that the client had gone");
    }
    const name =
      end.kind === "status"
        ? `status ${end.status}`
        : end.kind === "reset"
          ? `reset ${end.code}`
          : end.kind;
    this.ends.set(name, (this.ends.get(name) ?? 0) + 1);
    for (const text of found) {
      this.problems.push(`call ${call.id}: ${text}; ${trace.error?.message} [${describe(ended)}]`);
    }
  }

  /** Nothing is left in the relay, and every call had one end there. */
  async #settle(when: string): Promise<void> {
    const conns = Object.values(this.#conns);
    const counts = (): string =>
      [
        `openCallCount ${this.#server.openCallCount}`,
        `sessionCount ${this.#server.sessionCount}`,
        `sockets of its clients' proxy ${this.#ground.proxies.client.socketCount}`,
        ...conns.flatMap(({ target, openStreamCount, waitingCount }) => [
          `${target}: openStreamCount ${openStreamCount}, waitingCount ${waitingCount}`,
        ]),
      ].join("; ");
    await this.#until(
      () => `everything is zero ${when}: ${counts()}`,
      () =>
        this.#server.openCallCount + this.#server.sessionCount === 0 &&
        conns.every((conn) => conn.openStreamCount + conn.waitingCount === 0),
    );
    for (const [path, trace] of this.#traces) {
      const id = this.#plans.get(path)?.id;
      if (trace.starts !== trace.ends || trace.ends > 1) {
        this.problems.push(`call ${id}: ${trace.starts} starts and ${trace.ends} ends`);
      }
      if (trace.finalized !== trace.directed) {
        this.problems.push(
          `call ${id}: directed ${trace.directed} times, finalized ${trace.finalized}`,
        );
      }
    }
  }

  async #close(): Promise<void> {
    const closed = Promise.all([
      this.#server.close(0),
      ...Object.values(this.#conns).map((conn) => conn.close()),
    ]);
    try {
      await within(closed, () => "server and conns do not close");
    } catch (error) {
      this.problems.push(error instanceof Error ? error.message : String(error));
    }
    for (const proxy of Object.values(this.#ground.proxies)) proxy.cut();
  }

  async #until(what: string | (() => string), check: () => boolean): Promise<void> {
    const startedMs = performance.now();
    while (!check()) {
      if (performance.now() - startedMs > LIMIT_MS) {
        throw new Error(`waited in vain until ${typeof what === "string" ? what : what()}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }
}

async function within(promise: Promise<unknown>, what: () => string): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(what())), LIMIT_MS);
  });
  try {
    await Promise.race([promise, limit]);
  } finally {
    clearTimeout(timer);
  }
}

/** The plan of a call in one line, for whoever looks at a violation. */
function describe({ call, receivedBytes, startedMs, endedMs }: Ended): string {
  const { kind, parts, secondaries, fallback, retries, peeks, waitForReady } = call;
  return JSON.stringify({
    ...{ kind, fallback, retries, peeks, waitForReady, secondaries, parts },
    ...{ timeoutMs: call.timeoutMs, optionTimeoutMs: call.optionTimeoutMs, cancel: call.cancel },
    ...{ requests: call.request.length, responses: call.response.map(({ length }) => length) },
    ...{ receivedBytes, tookMs: Math.round(endedMs - startedMs) },
  });
}

/** @param name of its service; rounds at the same time need names of their own */
export async function runRound(
  ground: Ground,
  combo: TransportCombo,
  seed: number,
  name = `Round${seed}`,
): Promise<RoundResult> {
  const round = new Round(ground, combo, seed, name);
  await round.run();
  const { problems, ends, faultCount } = round;
  const callCount = [...ends.values()].reduce((sum, count) => sum + count, 0);
  return { callCount, faultCount, ends, problems };
}
