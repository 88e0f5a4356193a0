// Holds the world against the expectation after each event: what the peers have seen, the credit,
// the calls of the user's code, the counters and the timers.

import { type ExpectedLeg, MESSAGE_BYTES } from "./expected-leg.ts";
import type { ModelStream } from "./peers.ts";
import type { Backend, World } from "./world.ts";

/** Whose timers belong to a call. */
const OF_CALLS = new Set(["ServerCall", "UpstreamLeg", "CallContext", "LegRetry", "PeekWindow"]);

const OWN_MESSAGE = "\0\0\0\0\x01!";

/** Each line is an invariant that does not hold. */
export function violationsOf(world: World): readonly string[] {
  const found = [...world.wires.violations];
  const expect = (what: string, got: unknown, wanted: unknown): void => {
    if (got !== wanted) found.push(`${what}: expected ${shown(wanted)}, got ${shown(got)}`);
  };
  checkClient(world, expect);
  checkUser(world, expect);
  checkCounters(world, expect);
  for (const leg of world.expected.legs) checkLeg(world, leg, expect);
  return found;
}

type Expect = (what: string, got: unknown, wanted: unknown) => void;

function shown(value: unknown): string {
  return JSON.stringify(value) ?? "nothing";
}

function checkClient({ stream, expected, response }: World, expect: Expect): void {
  if (stream === undefined) return;
  expect("frames to the client", stream.sent.join(), expected.sent.join());
  expect("response bytes", stream.handed, response);
  const credit = expected.expectedCredit();
  if (credit !== undefined) expect("credit of the client", stream.acknowledgedBytes, credit);
}

function checkUser(world: World, expect: Expect): void {
  const { expected, finalized, finalizedLegs } = world;
  const isFinal = expected.finalizer !== "none" && world.setting.finalizer !== "none";
  expect("calls of the finalizer", finalized.length, isFinal ? 1 : 0);
  if (isFinal) {
    expect("status for the finalizer", finalized[0]?.status, expected.finalizerStatus);
    expect("legs for the finalizer", finalizedLegs, expected.finalizedLegs);
  }
  for (const { index, toldStatus } of expected.legs) {
    expect(`told onError of leg ${index}`, world.told[index]!.join(), `${toldStatus ?? ""}`);
  }
  const callEnd = expected.callOutcome?.status;
  expect("ends of the call", world.callEnds.join(), `${callEnd ?? ""}`);
  const detached = expected.legs
    .filter(({ ended, setting }) => ended && setting.need === "detached")
    .map(({ outcome }) => outcome!.status);
  expect("ends of detached legs", world.detachedEnds.join(), detached.join());
}

function checkCounters(world: World, expect: Expect): void {
  const { server, expected, clock } = world;
  const isUnderWay = world.stream !== undefined && !expected.callEnded;
  expect("open calls", server.openCallCount, isUnderWay ? 1 : 0);
  expect("timers of the call", clock.countOf(OF_CALLS), expected.timerCount);
  let leftovers = 0;
  const waiting = new Map<number, number>();
  for (const leg of expected.legs) {
    if (leg.isAsking) waiting.set(leg.backend, 1);
    const isLive = !leg.ended && leg.phase !== "idle";
    if (isLive && expected.finalizer !== "none") leftovers++;
  }
  expect("leftovers", server.leftovers.size, leftovers);
  for (const [at, backend] of world.backends.entries()) {
    const { name, conn } = backend;
    expect(`calls that wait for ${name}`, conn.waitingCount, waiting.get(at) ?? 0);
    expect(`open streams to ${name}`, conn.openStreamCount, liveStreams(backend).length);
  }
}

function liveStreams({ sessions }: Backend): ModelStream[] {
  return sessions.flatMap(({ opened }) => opened.filter(({ over }) => !over));
}

function checkLeg(world: World, leg: ExpectedLeg, expect: Expect): void {
  const { expected } = world;
  const name = `leg ${leg.index}`;
  const whole = requestOf(world, leg);
  for (let at = leg.firstBackend; at <= leg.lastBackend; at++) {
    const backend = world.backends[at]!;
    const isAsked = at === leg.backend && leg.isOpen;
    expect(`${name}: live streams to ${backend.name}`, liveStreams(backend).length, +isAsked);
    for (const { opened } of backend.sessions) {
      for (const { handed } of opened) {
        expect(`${name}: request bytes`, handed, whole.slice(0, handed.length));
      }
    }
  }
  const backend = world.backends[leg.backend]!;
  const { stream } = backend;
  if (leg.isAsking) {
    expect(`${name} waits although there is room`, backend.session?.accepting === true, false);
  }
  if (leg.phase !== "idle" && leg.phase !== "broken") {
    expect(`${name}: streams to ${backend.name}`, backend.streamCount, leg.seenStreams);
  }
  if (stream === undefined) return;
  if (leg.ended && stream.resetCode !== undefined) {
    expect(`${name}: code of the reset`, stream.resetCode, leg.resetCode);
  }
  if (!leg.isOpen) return;
  const isReleased = expected.allRequiredOpen;
  expect(`${name}: all of the request`, stream.handed, isReleased ? whole : "");
  const isEnded = isReleased && expected.requestEnded;
  expect(`${name}: END_STREAM`, stream.finished, isEnded);
  const taken = leg.index === 0 ? world.stream!.acceptedBytes : stream.receivedBytes;
  expect(`${name}: credit of the backend`, stream.acknowledgedBytes, taken);
}

/** The request as the leg has to get it, as far as it has come. */
function requestOf({ request }: World, leg: ExpectedLeg): string {
  if (leg.injectedBytes === 0) return request;
  return OWN_MESSAGE + request.slice(MESSAGE_BYTES);
}

/** What has to be left of a world that was closed: nothing. */
export function leftoversOf({ clock, server, backends }: World): readonly string[] {
  const found: string[] = [];
  const expect = (what: string, count: number): void => {
    if (count !== 0) found.push(`left at the end: ${count} ${what}`);
  };
  expect("timers", clock.timerCount);
  expect("connections of clients", server.sessionCount);
  expect("open calls", server.openCallCount);
  expect("leftovers", server.leftovers.size);
  for (const { conn, sessions } of backends) {
    expect("waiting calls", conn.waitingCount);
    expect("open streams", conn.openStreamCount);
    expect("sessions", sessions.filter(({ closed }) => !closed).length);
  }
  return found;
}
