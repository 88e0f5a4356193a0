// How much of a chunk a connection takes when its work is bounded.

import { describe, expect, it } from "vitest";
import { frames, headerBlock, request } from "../support/frames.ts";
import { server } from "./wire.ts";

const PING_BYTES = 17;

describe("bounded work", () => {
  it("leaves the rest of a chunk until more is allowed", () => {
    const wire = server();
    const { connection } = wire;
    const pings = frames.bytes(...Array.from({ length: 5 }, (_, i) => frames.ping(`ping000${i}`)));
    connection.reader.allow(3);
    expect(connection.receive(pings, 0)).toBe(3 * PING_BYTES);
    expect(wire.sent()).toHaveLength(3);
    const rest = pings.subarray(3 * PING_BYTES);
    expect(connection.receive(rest, 0)).toBe(0);
    connection.reader.allow(3);
    expect(connection.receive(rest, 0)).toBe(rest.length);
    expect(connection.reader.workLeft).toBe(1);
    expect(wire.sent().map(String)).toEqual([
      `PING(ACK, ${Buffer.from("ping0003").toString("hex")})`,
      `PING(ACK, ${Buffer.from("ping0004").toString("hex")})`,
    ]);
  });

  it("is used up sooner by requests, and by their octets", () => {
    const { connection, streams } = server();
    const short = frames.headers(1, request("/a/B")).bytes();
    const units = 1 + 16 + (headerBlock(request("/a/B")).length >>> 6);
    connection.reader.allow(100);
    connection.receive(short, 0);
    expect(connection.reader.workLeft).toBe(100 - units);
    const long = frames.headers(3, request("/a/B", ["x", "y".repeat(6_400)])).bytes();
    connection.reader.allow(100);
    expect(connection.receive(Buffer.concat([long, short]), 0)).toBe(long.length);
    expect(connection.reader.workLeft).toBeLessThan(0);
    expect(streams).toHaveLength(2);
  });

  it("counts a frame once, however its chunks are cut", () => {
    const { connection } = server();
    const bytes = frames.bytes(
      frames.headers(1, request("/a/B")),
      frames.settings(),
      frames.data(1, "abc", { padded: 2 }),
      frames.data(1, "abc"),
    );
    connection.reader.allow(1_000);
    connection.receive(bytes.subarray(0, -1), 0);
    const used = 1_000 - connection.reader.workLeft;
    const cut = server().connection;
    cut.reader.allow(1_000);
    for (const octet of bytes.subarray(0, -1)) cut.receive(Buffer.from([octet]), 0);
    expect(1_000 - cut.reader.workLeft).toBe(used);
  });

  it("is over with the connection", () => {
    const { connection } = server();
    const bytes = frames.bytes(frames.headers(2, request("/a/B")), frames.ping());
    expect(connection.receive(bytes, 0)).toBe(bytes.length);
    expect(connection.ended?.kind).toBe("protocol");
    connection.reader.allow(10);
    expect(connection.reader.workLeft).toBe(0);
    expect(connection.receive(bytes, 0)).toBe(bytes.length);
  });
});
