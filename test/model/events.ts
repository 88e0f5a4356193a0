// The events of a run, by name: when each can happen, and what it does to the world and to the
// expectation.

import { Status } from "../../src/grpc/status.ts";
import { ErrorCode } from "../../src/wire/error-code.ts";
import type { HeaderList } from "../../src/wire/field.ts";
import { fieldsOf, request, response, trailers, trailersOnly } from "../support/frames.ts";
import { DIRECTOR_STATUS } from "./expectation.ts";
import { type ExpectedLeg, MESSAGE_BYTES, type Outcome } from "./expected-leg.ts";
import { type ModelStream, resetBy } from "./peers.ts";
import type { Setting } from "./setting.ts";
import type { Backend, World } from "./world.ts";

export interface ModelEvent {
  readonly name: string;
  /** Only in random runs: there are too many orders for all events. */
  readonly rare: boolean;
  isPossible(world: World): boolean;
  happen(world: World): void;
}

/** The client's window of the request, and ours of a response, in bytes. */
const MAX_UNACKNOWLEDGED_BYTES = 24;
const CREDIT_BYTES = 6;
const HALF_BYTES = 3;
/** The statuses of backends that fail a call, by leg. */
const STATUSES = [Status.NOT_FOUND, Status.ALREADY_EXISTS, Status.DATA_LOSS, Status.OUT_OF_RANGE];

const RESPONSE: HeaderList = fieldsOf(response());
const EMPTY: Uint8Array = new Uint8Array(0);

/** Bytes `from` to `to` of a row of messages whose payloads are letters. */
export function messageBytes(firstLetter: number, from: number, to: number): Uint8Array {
  const bytes = new Uint8Array(to - from);
  for (let at = from; at < to; at++) {
    const place = at % MESSAGE_BYTES;
    const letter = firstLetter + (Math.floor(at / MESSAGE_BYTES) % 26);
    bytes[at - from] = place < 4 ? 0 : place === 4 ? 1 : letter;
  }
  return bytes;
}

function textOf(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes);
}

/** All events that a run of `setting` may have. */
export function eventsOf(setting: Setting): ModelEvent[] {
  const events = [...CLIENT_EVENTS, ...USER_EVENTS];
  let backend = 0;
  for (const [index, leg] of setting.legs.entries()) {
    const name = ["p", "s", "t", "u"][index]!;
    events.push(...backendEvents(name, backend++, index));
    if (leg.fallback === true) events.push(...backendEvents(`${name}2`, backend++, index));
  }
  return events;
}

function event(
  name: string,
  isPossible: (world: World) => boolean,
  happen: (world: World) => void,
  rare = false,
): ModelEvent {
  return { name, rare, isPossible, happen };
}

// The client.

const HEADERS = requestHeaders();
const HEADERS_WITH_DEADLINE = requestHeaders(["grpc-timeout", "10S"]);

function requestHeaders(...more: readonly (readonly [string, string])[]): HeaderList {
  return fieldsOf(request("/model.Service/Method", ...more));
}

function open(endStream: boolean): (world: World) => void {
  return (world) => {
    const hasDeadline = world.setting.timeoutMs < Number.POSITIVE_INFINITY;
    world.openRequest(hasDeadline ? HEADERS_WITH_DEADLINE : HEADERS, endStream);
    world.tell((expected) => expected.onOpen(endStream));
  };
}

/** The client may send: it has not ended its side, and its stream stands. */
function maySend({ expected, stream }: World): boolean {
  if (expected.client !== "open" || stream?.over !== false) return false;
  return (
    stream.receivedBytes - stream.acknowledgedBytes + MESSAGE_BYTES <= MAX_UNACKNOWLEDGED_BYTES
  );
}

function sendRequest(bytesOf: (world: World) => number, endStream: boolean) {
  return (world: World): void => {
    const begin = world.request.length;
    const bytes = messageBytes(97, begin, begin + bytesOf(world));
    world.request += textOf(bytes);
    world.stream!.recvData(bytes, endStream);
    world.tell((expected) => expected.onRequestData(bytes.length, endStream));
  };
}

const restOfMessage = ({ request }: World): number => {
  return MESSAGE_BYTES - (request.length % MESSAGE_BYTES);
};
const isNotOpen = ({ expected, session }: World): boolean => {
  return expected.client === "none" && !session.closed;
};
const isCallLive = ({ stream }: World): boolean => stream?.over === false;

const CLIENT_EVENTS: readonly ModelEvent[] = [
  event("c.open", isNotOpen, open(false)),
  event("c.openEnd", isNotOpen, open(true), true),
  event("c.data", maySend, sendRequest(restOfMessage, false)),
  event("c.dataEnd", maySend, sendRequest(restOfMessage, true), true),
  event(
    "c.half",
    (world) => maySend(world) && world.request.length % MESSAGE_BYTES === 0,
    sendRequest(() => HALF_BYTES, false),
    true,
  ),
  event(
    "c.end",
    (world) => world.expected.client === "open" && isCallLive(world),
    sendRequest(() => 0, true),
  ),
  event("c.cancel", isCallLive, (world) => {
    world.stream!.fail(resetBy(ErrorCode.CANCEL));
    world.tell((expected) => expected.onClientGone());
  }),
  event(
    "c.die",
    isCallLive,
    (world) => {
      world.session.die();
      world.tell((expected) => expected.onClientGone());
    },
    true,
  ),
  event(
    "c.credit",
    (world) => world.queuedResponseBytes() > 0,
    (world) => {
      world.stream!.credit(CREDIT_BYTES);
      world.tell((expected) => expected.onResponseCredit());
    },
  ),
];

// The user's code, and time.

const isDirecting = ({ director, expected }: World): boolean => {
  return director !== undefined && expected.director === "pending";
};
const isFinalizing = ({ expected }: World): boolean => expected.finalizer === "running";

function moveTo(world: World, atMs: number): void {
  world.clock.advanceTo(atMs);
  world.tell((expected) => expected.onTime());
}

const USER_EVENTS: readonly ModelEvent[] = [
  event("d.answer", isDirecting, (world) => {
    world.director!.resolve();
    world.tell((expected) => expected.onDirector(undefined));
  }),
  event("d.refuse", isDirecting, (world) => {
    world.refuse();
    world.tell((expected) => expected.onDirector(DIRECTOR_STATUS));
  }),
  event("f.done", isFinalizing, (world) => {
    world.finalizer!.resolve();
    world.tell((expected) => expected.onFinalized(false));
  }),
  event("f.fail", isFinalizing, (world) => {
    world.failFinalizer();
    world.tell((expected) => expected.onFinalized(true));
  }),
  event(
    "time",
    ({ clock }) => clock.nextDueMs < Number.POSITIVE_INFINITY,
    (world) => moveTo(world, world.clock.nextDueMs),
  ),
];

// A backend.

function backendEvents(name: string, at: number, leg: number): ModelEvent[] {
  const backendOf = (world: World): Backend => world.backends[at]!;
  const legOf = (world: World): ExpectedLeg => world.expected.legs[leg]!;
  const streamOf = (world: World): ModelStream | undefined => backendOf(world).stream;
  const isLive = (world: World): boolean => streamOf(world)?.over === false;
  const mayStart = (world: World): boolean => {
    const stream = streamOf(world);
    return stream?.over === false && !stream.remoteEnded && !legOf(world).hasHeaders;
  };
  const mayGoOn = (world: World): boolean => {
    const stream = streamOf(world);
    return stream?.over === false && !stream.remoteEnded && legOf(world).hasHeaders;
  };
  const mayAnswer = (world: World): boolean => {
    const { receivedBytes, acknowledgedBytes } = streamOf(world) ?? NO_BYTES;
    const unacknowledged = receivedBytes - acknowledgedBytes;
    return mayGoOn(world) && unacknowledged + MESSAGE_BYTES <= MAX_UNACKNOWLEDGED_BYTES;
  };
  const end = (status: Status): [fields: HeaderList, only: HeaderList, outcome: Outcome] => {
    const from = ["x-from", name] as const;
    const fields = fieldsOf(trailers(status, undefined, from));
    const only = fieldsOf(trailersOnly(status, undefined, from));
    return [fields, only, { status, from: name }];
  };
  const ok = end(Status.OK);
  const bad = end(STATUSES[leg]!);
  const sendTrailers = ([fields, , outcome]: typeof ok) => {
    return (world: World): void => {
      streamOf(world)!.recvTrailers(fields);
      world.tell((expected) => expected.onTrailers(legOf(world), outcome));
    };
  };
  const sendTrailersOnly = ([, only, outcome]: typeof ok) => {
    return (world: World): void => {
      streamOf(world)!.recvHeaders(only, true);
      world.tell((expected) => expected.onTrailers(legOf(world), outcome));
    };
  };
  const sendData = (bytesOf: (sent: number) => number) => {
    return (world: World): void => {
      const sent = legOf(world).responseBytes;
      const bytes = messageBytes(65, sent, sent + bytesOf(sent));
      if (leg === 0) world.response += textOf(bytes);
      streamOf(world)!.recvData(bytes, false);
      world.tell((expected) => expected.onResponseData(legOf(world), bytes.length));
    };
  };
  const sendReset = (code: number) => {
    return (world: World): void => {
      const streamEnd = resetBy(code);
      streamOf(world)!.fail(streamEnd);
      world.tell((expected) => expected.onStreamEnd(legOf(world), streamEnd));
    };
  };
  return [
    event(
      `${name}.connect`,
      (world) => world.stream === undefined && backendOf(world).conn.state === "idle",
      (world) => backendOf(world).conn.connect(),
      true,
    ),
    event(
      `${name}.ready`,
      (world) => backendOf(world).session?.ready === false,
      (world) => backendOf(world).session!.becomeReady(),
    ),
    event(
      `${name}.unreachable`,
      (world) => backendOf(world).session?.ready === false,
      (world) => backendOf(world).session!.die(),
    ),
    event(
      `${name}.die`,
      (world) => backendOf(world).session?.ready === true,
      (world) => {
        const lost = isLive(world);
        backendOf(world).session!.die();
        if (lost) world.tell((expected) => expected.onStreamEnd(legOf(world), LOST));
      },
    ),
    event(
      `${name}.goAway`,
      (world) => backendOf(world).session?.accepting === true,
      (world) => {
        const lost = isLive(world);
        backendOf(world).session!.goAway();
        if (lost) world.tell((expected) => expected.onStreamEnd(legOf(world), LEFT_BEHIND));
      },
      true,
    ),
    event(
      `${name}.credit`,
      (world) => (streamOf(world)?.queuedBytes ?? 0) > 0,
      (world) => streamOf(world)!.credit(CREDIT_BYTES),
    ),
    event(`${name}.headers`, mayStart, (world) => {
      streamOf(world)!.recvHeaders(RESPONSE, false);
      world.tell((expected) => expected.onHeaders(legOf(world)));
    }),
    event(
      `${name}.data`,
      mayAnswer,
      sendData((sent) => MESSAGE_BYTES - (sent % MESSAGE_BYTES)),
    ),
    event(
      `${name}.half`,
      (world) => mayAnswer(world) && legOf(world).responseBytes % MESSAGE_BYTES === 0,
      sendData(() => HALF_BYTES),
      true,
    ),
    event(`${name}.ok`, mayGoOn, sendTrailers(ok)),
    event(`${name}.fail`, mayGoOn, sendTrailers(bad), true),
    event(`${name}.onlyOk`, mayStart, sendTrailersOnly(ok), true),
    event(`${name}.onlyFail`, mayStart, sendTrailersOnly(bad)),
    event(
      `${name}.noTrailers`,
      mayGoOn,
      (world) => {
        streamOf(world)!.recvData(EMPTY, true);
        world.tell((expected) => expected.onMissingTrailers(legOf(world)));
      },
      true,
    ),
    event(`${name}.refuse`, isLive, sendReset(ErrorCode.REFUSED_STREAM)),
    event(`${name}.reset`, isLive, sendReset(ErrorCode.INTERNAL_ERROR)),
  ];
}

const NO_BYTES = { receivedBytes: 0, acknowledgedBytes: 0 };
const LOST = { kind: "session", code: 0, unprocessed: false } as const;
const LEFT_BEHIND = { kind: "goaway", code: 0, unprocessed: true } as const;
