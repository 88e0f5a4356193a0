// RFC 9113 §6.5.2: the peer's SETTINGS_MAX_HEADER_LIST_SIZE, and what is sent to one that announces
// none.

import { describe, expect, it } from "vitest";
import { HeaderError, type HeaderList, listBytes } from "../../src/wire/field.ts";
import { fieldsOf, frames, request, response, trailers } from "../support/frames.ts";
import { client, server } from "./wire.ts";

/** `fields` and one more, so that the list has `bytes` by §6.5.2. */
function padded(bytes: number, fields: Parameters<typeof fieldsOf>[0]): HeaderList {
  const room = bytes - listBytes(fieldsOf(fields)) - "x-pad".length - 32;
  return fieldsOf([...fields, ["x-pad", "p".repeat(room)]]);
}

function refusal(maxBytes: number, bytes: number): HeaderError {
  return new HeaderError(
    `expected a header list of at most ${maxBytes} bytes, which the peer takes, got ${bytes}`,
  );
}

const NO_EVENTS = {
  onHeaders: () => undefined,
  onData: () => undefined,
  onTrailers: () => undefined,
  onWritable: () => undefined,
  onReset: () => undefined,
};

describe.each([
  ["the peer has announced", 1_000, { MAX_HEADER_LIST_SIZE: 1_000 }],
  ["a peer without an announcement takes", 65_536, {}],
  ["a peer of many has announced", 200_000, { MAX_HEADER_LIST_SIZE: 200_000 }],
])("what %s: %i bytes", (_, maxBytes, peerSettings) => {
  it("holds for requests, and a refused one takes no stream", () => {
    const { connection } = client({ peerSettings });
    const tooLarge = padded(maxBytes + 1, request("/a/B"));
    for (let i = 0; i < 2; i++) {
      expect(() => connection.openStream(tooLarge, true, NO_EVENTS)).toThrow(
        refusal(maxBytes, maxBytes + 1),
      );
    }
    expect(connection.openStreamCount).toBe(0);
    const most = padded(maxBytes, request("/a/B"));
    expect(connection.openStream(most, true, NO_EVENTS).id).toBe(1);
  });

  it("holds for response headers and trailers, which can be sent smaller then", () => {
    const wire = server({ peerSettings });
    const { stream } = wire.request();
    const headers = padded(maxBytes + 1, response());
    for (let i = 0; i < 2; i++) {
      expect(() => stream.sendHeaders(headers, false)).toThrow(refusal(maxBytes, maxBytes + 1));
    }
    stream.sendHeaders(padded(maxBytes, response()), false);
    const last = padded(maxBytes + 1, trailers(0));
    for (let i = 0; i < 2; i++) {
      expect(() => stream.sendTrailers(last)).toThrow(refusal(maxBytes, maxBytes + 1));
    }
    stream.sendTrailers(padded(maxBytes, trailers(0)));
    const sections = wire.sentFrames().filter(({ name }) => name === "HEADERS");
    expect(sections.map(({ streamId }) => streamId)).toEqual([1, 1]);
  });

  it("holds for responses with a content-length, which are judged each time", () => {
    const { stream } = server({ peerSettings }).request();
    const headers = padded(maxBytes + 1, response(["content-length", "5"]));
    expect(() => stream.sendHeaders(headers, false)).toThrow(refusal(maxBytes, maxBytes + 1));
  });
});

describe("a refused header list", () => {
  it("leaves no trace in the table of HPACK", () => {
    const wire = server({ peerSettings: { MAX_HEADER_LIST_SIZE: 500 } });
    const { stream } = wire.request();
    const once = fieldsOf([...response(), ["x-new", "value"], ["x-pad", "p".repeat(500)]]);
    expect(() => stream.sendHeaders(once, false)).toThrow(HeaderError);
    stream.sendHeaders(fieldsOf([...response(), ["x-new", "value"]]), true);
    expect(wire.sent()[0]).toContain("x-new=value");
    wire.request(3).stream.sendHeaders(once.slice(0, -1), true);
    expect(wire.sent()[0]).toContain("x-new=value");
  });

  it("is refused as soon as the peer announces less, also where the same list was sent before", () => {
    const wire = server();
    const list = fieldsOf(response(["x", "v".repeat(200)]));
    wire.request(1).stream.sendHeaders(list, true);
    wire.recv(frames.settings({ MAX_HEADER_LIST_SIZE: 100 }));
    const { stream } = wire.request(3);
    expect(() => stream.sendHeaders(list, true)).toThrow(refusal(100, listBytes(list)));
    wire.recv(frames.settings({ MAX_HEADER_LIST_SIZE: 1_000 }));
    stream.sendHeaders(list, true);
    expect(wire.sent().filter((line) => line.startsWith("HEADERS"))).toHaveLength(2);
  });

  it("on one connection is sent on another whose peer takes it", () => {
    const list = padded(700, request("/a/B"));
    const strict = client({ peerSettings: { MAX_HEADER_LIST_SIZE: 699 } });
    expect(() => strict.connection.openStream(list, true, NO_EVENTS)).toThrow(refusal(699, 700));
    const lax = client({ peerSettings: { MAX_HEADER_LIST_SIZE: 700 } });
    lax.connection.openStream(list, true, NO_EVENTS);
    expect(() => strict.connection.openStream(list, true, NO_EVENTS)).toThrow(refusal(699, 700));
    expect(lax.sent()[0]).toMatch(/^HEADERS\(1/);
  });
});
