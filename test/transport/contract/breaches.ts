// Contract: whoever breaks the protocol hurts itself alone, and leaves nothing behind, whatever it
// does with its socket.

import { describe, expect, it } from "vitest";
import {
  type Frame,
  fieldsOf,
  frames,
  headerBlock,
  message,
  request,
  response,
  trailers,
  trailersOnly,
} from "../../support/frames.ts";
import {
  type Contract,
  clientToScript,
  connect,
  open,
  requestFromScript,
  scriptToServer,
} from "./harness.ts";

const HEADERS = frames.headers(1, response());
const TOO_LONG_A_VALUE = response(["x-long", "v".repeat(66_000)]);
const NO_SUCH_INDEX = Buffer.from([0xc6]);
const EMPTY_DATA = Array.from({ length: 2_000 }, () => frames.data(1));

type Breach = readonly [breach: string, frames: readonly Frame[]];

const OF_SERVERS: readonly Breach[] = [
  ["a header value of 66,000 bytes", frames.headersInPieces(1, TOO_LONG_A_VALUE)],
  [
    "a trailer value of 66,000 bytes",
    [HEADERS, ...frames.headersInPieces(1, TOO_LONG_A_VALUE.slice(1), 16_384, { endStream: true })],
  ],
  ["a PING of 7 bytes", [HEADERS, frames.ping("1234567")]],
  ["SETTINGS of 7 bytes", [frames.raw(4, 0, 0, "1234567")]],
  ["a frame above the maximum", [HEADERS, frames.data(1, Buffer.alloc(16_385))]],
  ["DATA on stream 0", [HEADERS, frames.data(0, "x")]],
  ["a header block that does not decode", [frames.headers(1, NO_SUCH_INDEX)]],
  ["DATA before the response headers", [frames.data(1, message("abc"))]],
  [
    "CONTINUATION without an end",
    [
      frames.headers(1, headerBlock(response()), { endHeaders: false }),
      ...Array.from({ length: 1_000 }, () =>
        frames.continuation(1, Buffer.alloc(0), { endHeaders: false }),
      ),
    ],
  ],
];

const OF_CLIENTS: readonly Breach[] = [
  ["DATA behind END_STREAM", [frames.data(1, "abc")]],
  ["PRIORITY that makes the stream depend on itself", [frames.priority(1, 1)]],
  ["a PING of 7 bytes", [frames.ping("1234567")]],
  ["a frame above the maximum", [frames.data(1, Buffer.alloc(16_385))]],
  ["DATA on stream 0", [frames.data(0, "x")]],
  ["a header block that does not decode", [frames.headers(3, NO_SUCH_INDEX)]],
];

export function breachCases(contract: Contract): void {
  if (!contract.sockets) return;

  describe("a server that keeps its socket open behind", () => {
    it.each(OF_SERVERS)("%s ends the call, and the next is answered", async (_, breach) => {
      const end = await clientToScript(contract);
      const call = open(end);
      await end.peer.expectRequest();
      end.peer.send(...breach);
      expect((await call.untilReset()).kind).toMatch(/^(session|protocol|reset)$/);
      let next = end;
      if (!end.session.accepting) {
        expect((await end.events.untilClosed()).kind).toBe("protocol");
        const address = end.backend.address;
        const again = connect(contract, { address });
        next = { ...end, ...again, peer: await end.backend.connection() };
        await again.events.untilAvailable();
      }
      const other = open(next);
      const { streamId } = await next.peer.expectRequest();
      next.peer.send(frames.headers(streamId, trailersOnly(0)).end());
      await other.untilEnded();
    });
  });

  describe("a client that closes its socket behind", () => {
    it.each(OF_CLIENTS)("%s leaves neither stream nor session", async (_, breach) => {
      const end = await scriptToServer(contract);
      const stream = await requestFromScript(end, frames.headers(1, request("/a/B")).end());
      end.peer.send(...breach);
      end.peer.end();
      const { kind } = await end.events.untilClosed();
      expect(kind).toMatch(/^(protocol|socket)$/);
      expect(stream.reset).toBeDefined();
      await end.peer.expectClosed();
    });

    it("DATA that ended its request loses the answer's rest only", async () => {
      const end = await scriptToServer(contract);
      const stream = await requestFromScript(end, frames.headers(1, request("/a/B")).end());
      stream.stream.sendHeaders(fieldsOf(response()), false);
      await end.peer.expectHeaders(1);
      end.peer.send(frames.data(1, "abc"));
      expect((await stream.untilReset()).kind).toMatch(/^(session|protocol|reset)$/);
    });
  });

  describe("empty DATA frames, 2,000 of them, between two messages", () => {
    it("of a server pass", async () => {
      const end = await clientToScript(contract);
      const call = open(end, undefined, true);
      await end.peer.expectRequest();
      const parts = [HEADERS, frames.data(1, message("a")), ...EMPTY_DATA];
      end.peer.send(...parts, frames.data(1, message("b")), frames.headers(1, trailers()).end());
      await call.untilTrailers();
      expect(call.body).toEqual(Buffer.concat([message("a"), message("b")]));
      expect(end.session.accepting).toBe(true);
    });

    it("of a client pass", async () => {
      const end = await scriptToServer(contract);
      const stream = await requestFromScript(
        end,
        frames.headers(1, request("/a/B")),
        frames.data(1, message("a")),
        ...EMPTY_DATA,
        frames.data(1, message("b")).end(),
      );
      await stream.untilEnded();
      expect(stream.body).toEqual(Buffer.concat([message("a"), message("b")]));
      expect(end.session.accepting).toBe(true);
    });
  });
}
