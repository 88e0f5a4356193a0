// The attacks of a backend. `attempt` is what it sends when it gets a request; ordinary clients
// keep ten calls open there.

import { frames, response, trailers } from "../support/frames.ts";
import type { Assailant, Attempt } from "./assailant.ts";
import { type Attack, endlessly } from "./attack.ts";
import { entry, responseBlocks } from "./blocks.ts";

const CALM = "GOAWAY ENHANCE_YOUR_CALM";
const CANCEL = 8;
const REFUSED_STREAM = 7;

type Answer = (assailant: Assailant, streamId: number) => Attempt;

/** The answer to the first call of each connection; other calls hang. */
function onFirstCall(attempt: Answer): Answer {
  const busy = new WeakSet<Assailant>();
  return function* (assailant, id) {
    if (busy.has(assailant)) return;
    busy.add(assailant);
    yield* attempt(assailant, id);
  };
}

function flood(
  name: string,
  limit: string,
  build: (streamId: number) => Buffer,
  more: Partial<Attack> = {},
): Attack {
  const attempt = onFirstCall(function* (_, id) {
    yield frames.headers(id, response()).bytes();
    if (more.isCancelled === true) yield 100;
    yield* endlessly(build(id));
  });
  return { name: `${name} flood`, side: "backend", limit, end: CALM, attempt, ...more };
}

/** `bytes` once for each call. */
function answer(name: string, build: (streamId: number) => Buffer, more: Partial<Attack>): Attack {
  const attempt: Answer = function* (_, id) {
    yield build(id);
  };
  return { name, side: "backend", limit: undefined, end: "open", attempt, ...more };
}

const RESPONSE = responseBlocks(["x-filler", "v".repeat(3_600)]);

/** One field of the table `count` times in each response. */
function repeatedField(count: number): Answer {
  const block = Buffer.concat([RESPONSE.again, ...new Array(count - 1).fill(entry(0))]);
  const started = new WeakSet<Assailant>();
  return function* (assailant, id) {
    const isFirst = !started.has(assailant);
    started.add(assailant);
    yield frames.headers(id, isFirst ? RESPONSE.first : block, { endStream: true }).bytes();
  };
}

export const BACKEND_ATTACKS: readonly Attack[] = [
  flood("PING", "pingsPerSecond", () => frames.ping().bytes(), { isBrief: true }),
  flood("SETTINGS", "settingsPerSecond", () => frames.settings().bytes()),
  flood("PRIORITY", "idleFramesPerSecond", (id) => frames.priority(id, 0).bytes()),
  flood("WINDOW_UPDATE", "idleFramesPerSecond", (id) => frames.windowUpdate(id, 1).bytes(), {
    options: { settings: { INITIAL_WINDOW_SIZE: 65_535 } },
  }),
  flood("empty DATA", "idleFramesPerSecond", (id) => frames.data(id).bytes(), { isBrief: true }),
  flood("GOAWAY", "idleFramesPerSecond", () => frames.goaway(0x7fffffff, 0).bytes()),
  {
    ...flood("1xx", "idleFramesPerSecond", () => Buffer.alloc(0)),
    attempt: onFirstCall((_, id) => endlessly(frames.headers(id, [[":status", "100"]]).bytes())),
  },
  flood("unknown frame", "idleFramesPerSecond", () => frames.raw(0x42, 0, 0, "x").bytes()),
  {
    name: "CONTINUATION flood, empty frames",
    side: "backend",
    limit: "maxContinuationFrames",
    end: CALM,
    isBrief: true,
    attempt: onFirstCall(function* (_, id) {
      yield frames.headers(id, response(), { endHeaders: false }).bytes();
      yield* endlessly(frames.continuation(id, [], { endHeaders: false }).bytes());
    }),
  },
  flood("DATA on streams that we reset", "idleFramesPerSecond", (id) => frames.data(id).bytes(), {
    isCancelled: true,
    isBrief: true,
    isOpen: true,
    end: "open",
  }),
  flood(
    "DATA on a stream that took too much",
    "idleFramesPerSecond",
    (id) => frames.data(id, Buffer.alloc(16_384)).bytes(),
    { isOpen: true, end: "open" },
  ),
  answer("a reset for each call", (id) => frames.rst(id, CANCEL).bytes(), { isBrief: true }),
  answer("each call refused", (id) => frames.rst(id, REFUSED_STREAM).bytes(), { isBrief: true }),
  {
    ...answer("GOAWAY for each call", () => Buffer.alloc(0), { end: "closed" }),
    attempt: onFirstCall(function* (_, id) {
      const fields = [...response(), ...trailers(0)];
      yield frames.bytes(frames.goaway(id, 0), frames.headers(id, fields, { endStream: true }));
    }),
  },
  answer(
    "a malformed response for each call",
    (id) => frames.headers(id, [["x", "no status"]]).bytes(),
    { limit: "provokedResetsPerSecond", end: CALM, isBrief: true },
  ),
  answer(
    "trailers at once",
    (id) => {
      return frames.headers(id, [...response(), ...trailers(0)], { endStream: true }).bytes();
    },
    {},
  ),
  {
    ...answer("a table field 17 times per response", () => Buffer.alloc(0), {}),
    attempt: repeatedField(17),
  },
  {
    ...answer("HPACK bomb: 16,000 references to one field", () => Buffer.alloc(0), {
      limit: "maxHeaderListBytes",
      end: CALM,
    }),
    attempt: repeatedField(16_000),
  },
  {
    ...answer("a connection that is lost at each call", () => Buffer.alloc(0), {}),
    attempt: function* (assailant) {
      yield 1;
      assailant.abandon();
    },
  },
  answer("no answer at all", () => Buffer.alloc(0), {}),
];
