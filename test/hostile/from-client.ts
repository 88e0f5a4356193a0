// The attacks of a client. Calls of `/x.Plain` go to the honest backend; those of `/x.Hostile` go
// to one that takes everything and never answers.

import { type FieldInput, frames, headerBlock, message, request } from "../support/frames.ts";
import type { Assailant, Attempt } from "./assailant.ts";
import { type Attack, endlessly, once, onNewStreams } from "./attack.ts";
import { entry, huffmanLiteral, indexedLiteral, requestBlocks, tableSize } from "./blocks.ts";

const CALM = "GOAWAY ENHANCE_YOUR_CALM";
const CANCEL = 8;
const PLAIN = "/x.Plain/Echo";
const HANGING = "/x.Hostile/Hang";
const LARGEST_WINDOW_BYTES = 0x7fffffff;
const FRAME_BYTES = 16_384;
/** MAX_CONCURRENT_STREAMS of the relay. */
const MAX_STREAMS = 1_000;

/** Calls of `path` without end, `frames` on the stream of each. */
function calls(
  path: string,
  more: readonly FieldInput[],
  build: (streamId: number, block: Buffer) => Buffer,
  count = 500,
): (assailant: Assailant) => Attempt {
  const { first, again } = requestBlocks(path, ...more);
  return function* (assailant) {
    yield build(assailant.takeId(), first);
    yield* onNewStreams(assailant, count, (id) => build(id, again));
  };
}

/** Calls that end, as many as may be open at once. */
function endingCalls(
  path: string,
  more: readonly FieldInput[],
  build: (streamId: number, block: Buffer) => Buffer,
): (assailant: Assailant) => Attempt {
  const { first, again } = requestBlocks(path, ...more);
  return function* (assailant) {
    yield build(assailant.takeId(), first);
    yield* onNewStreams(assailant, 250, (id) => build(id, again), MAX_STREAMS);
  };
}

/** One call that hangs, and then `bytes` on its stream without end. */
function onOneCall(build: (streamId: number) => Buffer): (assailant: Assailant) => Attempt {
  return function* (assailant) {
    const id = assailant.takeId();
    yield frames.headers(id, request(HANGING)).bytes();
    yield* endlessly(build(id));
  };
}

/** As many calls as may be open, and then nothing. */
function fullHouse(
  path: string,
  more: readonly FieldInput[],
  body: (streamId: number) => Buffer = () => Buffer.alloc(0),
): (assailant: Assailant) => Attempt {
  const build = (id: number, block: Buffer): Buffer =>
    Buffer.concat([frames.headers(id, block).bytes(), body(id)]);
  return function* (assailant) {
    let count = 0;
    for (const next of calls(path, more, build, 37)(assailant)) {
      yield next;
      count += count === 0 ? 1 : 37;
      if (count === MAX_STREAMS) return;
    }
  };
}

function provoked(
  how: string,
  attempt: (assailant: Assailant) => Attempt,
  isBrief = false,
): Attack {
  const name = `MadeYouReset: ${how}`;
  const limit = "provokedResetsPerSecond";
  return { name, side: "client", limit, end: CALM, attempt, isBrief };
}

function idle(what: string, build: (streamId: number) => Buffer, isBrief = false): Attack {
  const attempt = onOneCall(build);
  const limit = "idleFramesPerSecond";
  return { name: `${what} flood`, side: "client", limit, end: CALM, attempt, isBrief };
}

/** An attack that nothing has to stop, because it costs too little or is ordinary work. */
function borne(name: string, attempt: (assailant: Assailant) => Attempt): Attack {
  return { name, side: "client", limit: undefined, end: "open", attempt };
}

/** Ordinary calls, which the other backend answers at once. */
function answered(name: string, attempt: (assailant: Assailant) => Attempt): Attack {
  return { ...borne(name, attempt), isAnswered: true };
}

const TABLE_FIELD: FieldInput = ["x-filler", "v".repeat(3_600)];

/** Calls whose blocks refer to one field of the table `count` times. */
function repeatedField(count: number): (assailant: Assailant) => Attempt {
  const { first, again } = requestBlocks(HANGING, TABLE_FIELD);
  const block = Buffer.concat([again, ...new Array(count - 1).fill(entry(0))]);
  return function* (assailant) {
    const id = assailant.takeId();
    yield frames.bytes(frames.headers(id, first), frames.rst(id, CANCEL));
    yield* onNewStreams(assailant, 500, (id) =>
      frames.bytes(frames.headers(id, block), frames.rst(id, CANCEL)),
    );
  };
}

const FLOODS: readonly Attack[] = [
  {
    name: "rapid reset (CVE-2023-44487)",
    side: "client",
    limit: "resetsPerSecond",
    end: CALM,
    isBrief: true,
    attempt: calls(PLAIN, [], (id, block) =>
      frames.bytes(frames.headers(id, block), frames.rst(id, CANCEL)),
    ),
  },
  {
    name: "CONTINUATION flood, empty frames",
    side: "client",
    limit: "maxContinuationFrames",
    end: CALM,
    isBrief: true,
    attempt: function* (assailant) {
      const id = assailant.takeId();
      yield frames.headers(id, request(PLAIN), { endHeaders: false }).bytes();
      yield* endlessly(frames.continuation(id, [], { endHeaders: false }).bytes());
    },
  },
  {
    name: "CONTINUATION flood, full frames",
    side: "client",
    limit: "maxHeaderBlockBytes",
    end: CALM,
    attempt: function* (assailant) {
      const id = assailant.takeId();
      const literals = Buffer.alloc(FRAME_BYTES, Buffer.from([0, 1, 0x61, 1, 0x62]));
      yield frames.headers(id, request(PLAIN), { endHeaders: false }).bytes();
      yield* endlessly(frames.continuation(id, literals, { endHeaders: false }).bytes());
    },
  },
  {
    name: "SETTINGS flood",
    side: "client",
    limit: "settingsPerSecond",
    end: CALM,
    isBrief: true,
    attempt: () => endlessly(frames.settings().bytes()),
  },
  {
    name: "SETTINGS flood that moves the windows of 1,000 streams",
    side: "client",
    limit: "settingsPerSecond",
    end: CALM,
    attempt: function* (assailant) {
      yield* fullHouse(HANGING, [])(assailant);
      yield* endlessly(
        frames.bytes(
          frames.settings({ INITIAL_WINDOW_SIZE: 1 }),
          frames.settings({ INITIAL_WINDOW_SIZE: 0 }),
        ),
      );
    },
  },
  {
    name: "PING flood",
    side: "client",
    limit: "pingsPerSecond",
    end: CALM,
    isBrief: true,
    attempt: () => endlessly(frames.ping().bytes()),
  },
  {
    name: "PING flood, answers unread",
    side: "client",
    limit: "pingsPerSecond",
    end: "closed",
    options: { isDeaf: true },
    attempt: () => endlessly(frames.ping().bytes()),
  },
  idle("PRIORITY", (id) => frames.priority(id, 0).bytes(), true),
  {
    ...idle("WINDOW_UPDATE", (id) => frames.windowUpdate(id, 1).bytes()),
    options: { settings: { INITIAL_WINDOW_SIZE: 1 } },
  },
  idle("unknown frame", () => frames.raw(0x42, 0, 0, "x").bytes()),
  idle("empty DATA", (id) => frames.data(id).bytes(), true),
  idle("padded empty DATA", (id) => frames.data(id, "", { padded: 255 }).bytes()),
];

const MADE_YOU_RESET: readonly Attack[] = [
  provoked(
    "WINDOW_UPDATE of 0",
    calls(HANGING, [], (id, block) =>
      frames.bytes(frames.headers(id, block), frames.windowUpdate(id, 0)),
    ),
    true,
  ),
  provoked(
    "WINDOW_UPDATE beyond 2^31-1",
    calls(HANGING, [], (id, block) =>
      frames.bytes(frames.headers(id, block), frames.windowUpdate(id, LARGEST_WINDOW_BYTES)),
    ),
  ),
  provoked(
    "DATA after END_STREAM",
    calls(HANGING, [], (id, block) =>
      frames.bytes(frames.headers(id, block, { endStream: true }), frames.data(id, "x")),
    ),
  ),
  provoked(
    "HEADERS after END_STREAM",
    calls(HANGING, [], (id, block) =>
      frames.bytes(frames.headers(id, block, { endStream: true }), frames.headers(id, [])),
    ),
  ),
  provoked(
    "PRIORITY of 4 bytes",
    calls(HANGING, [], (id, block) =>
      frames.bytes(frames.headers(id, block), frames.raw(2, 0, id, "1234")),
    ),
  ),
  provoked(
    "content-length that does not fit",
    calls(HANGING, [["content-length", "1"]], (id, block) =>
      frames.headers(id, block, { endStream: true }).bytes(),
    ),
  ),
  provoked(
    "forbidden field",
    calls(HANGING, [["connection", "close"]], (id, block) => frames.headers(id, block).bytes()),
  ),
  provoked("more than MAX_CONCURRENT_STREAMS", function* (assailant) {
    yield* fullHouse(HANGING, [])(assailant);
    yield* onNewStreams(assailant, 500, (id) => frames.headers(id, request(HANGING)).bytes());
  }),
];

const HPACK: readonly Attack[] = [
  {
    name: "HPACK bomb: 16,000 references to one field",
    side: "client",
    limit: "maxHeaderListBytes",
    end: CALM,
    isBrief: true,
    attempt: repeatedField(16_000),
  },
  answered("HPACK thrash: a new table for every call", function* (assailant) {
    let number = 0;
    for (;;) {
      while ((assailant.nextId + 1) / 2 - assailant.endedCount > MAX_STREAMS) yield 1;
      const literals = Array.from({ length: 60 }, () =>
        indexedLiteral(`x-${number++}`, "0123456789abcdef"),
      );
      const block = Buffer.concat([headerBlock(request(HANGING)), ...literals]);
      yield frames.headers(assailant.takeId(), block, { endStream: true }).bytes();
    }
  }),
  {
    name: "table size updates, 8,000 in a block",
    side: "client",
    isOpen: true,
    limit: undefined,
    end: "open",
    attempt: calls(PLAIN, [], (id, block) => {
      const updates = new Array(4_000).fill(Buffer.concat([tableSize(0), tableSize(4_096)]));
      const literals = headerBlock(request(PLAIN));
      const whole = Buffer.concat([...updates, block.length > 100 ? block : literals]);
      return frames.headers(id, whole, { endStream: true }).bytes();
    }),
  },
  {
    ...answered("Huffman bomb: 15,000 octets that become 24,000", function* (assailant) {
      // The shortest codes have 5 bits (RFC 7541 appendix B); all zeros are the digit 0.
      const codes = Buffer.alloc(15_000);
      const block = Buffer.concat([headerBlock(request(HANGING)), huffmanLiteral("x-bomb", codes)]);
      yield* onNewStreams(assailant, 4, (id) => closedEnd(id, block), MAX_STREAMS);
    }),
    isOpen: true,
  },
  {
    name: "a table field 17 times per call",
    side: "client",
    limit: "resetsPerSecond",
    end: CALM,
    isBrief: true,
    attempt: repeatedField(17),
  },
];

const MESSAGE: Buffer = message(Buffer.alloc(FRAME_BYTES - 5));

/** DATA without end on streams that the relay has reset, because their deadline has passed. */
function onResetStreams(data: (streamId: number) => Buffer): (assailant: Assailant) => Attempt {
  return function* (assailant) {
    const ids = Array.from({ length: 100 }, () => assailant.takeId());
    for (const id of ids)
      yield frames.headers(id, request(HANGING, ["grpc-timeout", "1n"])).bytes();
    yield 100;
    yield* endlessly(Buffer.concat(ids.map(data)));
  };
}

const UNREAD: readonly Attack[] = [
  {
    ...borne("1,000 calls with windows of 0", fullHouse(PLAIN, [], oneMessage)),
    options: { settings: { INITIAL_WINDOW_SIZE: 0 } },
  },
  {
    ...borne("1,000 calls with 60,000 octets of metadata that hang", function* (assailant) {
      const more: FieldInput[] = Array.from({ length: 15 }, (_, i) => [
        `x-${i}`,
        "v".repeat(4_000),
      ]);
      for (let i = 0; i < MAX_STREAMS; i++) {
        const id = assailant.takeId();
        yield frames.bytes(...frames.headersInPieces(id, request(HANGING, ...more)));
      }
    }),
    isOpen: true,
  },
  {
    ...borne("1,000 responses of 128 KiB, no byte read", function* (assailant) {
      yield* fullHouse(PLAIN, [])(assailant);
      for (let round = 0; round < 8; round++) {
        for (let id = 1; id < 2 * MAX_STREAMS; id += 2) yield frames.data(id, MESSAGE).bytes();
      }
    }),
    options: { isDeaf: true },
    isOpen: true,
  },
  borne(
    "one-byte DATA",
    onOneCall((id) => frames.data(id, "x").bytes()),
  ),
  {
    name: "empty DATA on streams that we reset",
    side: "client",
    isOpen: true,
    limit: undefined,
    end: "open",
    isBrief: true,
    attempt: onResetStreams((id) => frames.data(id).bytes()),
  },
  {
    name: "DATA on streams that we reset",
    side: "client",
    isOpen: true,
    limit: undefined,
    end: "open",
    isBrief: true,
    attempt: onResetStreams((id) => frames.data(id, "x").bytes()),
  },
];

function oneMessage(streamId: number): Buffer {
  return frames.data(streamId, message("hello"), { endStream: true }).bytes();
}

/** An octet of `bytes` each 100 ms. */
function* slowly(bytes: Buffer): Attempt {
  for (let at = 0; at < bytes.length; at++) {
    yield 100;
    yield bytes.subarray(at, at + 1);
  }
}

const SLOW: readonly Attack[] = [
  { ...borne("a client that says nothing", () => []), options: { isRaw: true } },
  {
    ...borne("a preface an octet at a time", () => slowly(frames.preface())),
    options: { isRaw: true },
  },
  borne("header fields an octet at a time", function* (assailant) {
    const id = assailant.takeId();
    // Not before our acknowledgement of SETTINGS, which must not come in between.
    yield 100;
    yield frames.headers(id, request(PLAIN), { endHeaders: false }).bytes();
    yield* slowly(frames.continuation(id, Buffer.alloc(1_000), { endHeaders: false }).bytes());
  }),
  borne("1,000 calls that send no message", fullHouse(HANGING, [])),
];

/** Calls that end by themselves and cost the caller little. */
const CHEAP: readonly Attack[] = [
  cheap("calls with a deadline of 1 ns", endingCalls(PLAIN, [["grpc-timeout", "1n"]], openEnd)),
  cheap("requests that get 415", function* (assailant) {
    const fields: FieldInput[] = request(PLAIN).map((field) =>
      Array.isArray(field) && field[0] === "content-type" ? ["content-type", "text/html"] : field,
    );
    yield* onNewStreams(assailant, 250, (id) => closedEnd(id, headerBlock(fields)), MAX_STREAMS);
  }),
  cheap("requests with a path that is none", endingCalls("no-slash", [], closedEnd)),
  cheap(
    "unary calls, 1,000 at once",
    endingCalls(PLAIN, [], (id, block) => Buffer.concat([openEnd(id, block), oneMessage(id)])),
  ),
  borne("connections that go with 100 open calls", function* (assailant) {
    yield* once(calls(HANGING, [], openEnd, 100)(assailant));
    yield* once(onNewStreams(assailant, 100, (id) => frames.headers(id, request(HANGING)).bytes()));
    assailant.abandon();
  }),
];

function openEnd(streamId: number, block: Buffer): Buffer {
  return frames.headers(streamId, block).bytes();
}

function closedEnd(streamId: number, block: Buffer): Buffer {
  return frames.headers(streamId, block, { endStream: true }).bytes();
}

function cheap(name: string, attempt: (assailant: Assailant) => Attempt): Attack {
  return { ...borne(name, attempt), isBrief: true };
}

export const CLIENT_ATTACKS: readonly Attack[] = [
  ...FLOODS,
  ...MADE_YOU_RESET,
  ...HPACK,
  ...UNREAD,
  ...SLOW,
  ...CHEAP,
];
