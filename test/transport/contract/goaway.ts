// Contract: GOAWAY from the peer, and the orderly end from our side.

import { describe, expect, it } from "vitest";
import { ErrorCode } from "../../../src/wire/error-code.ts";
import { fieldsOf, frames, message, request, response, trailers } from "../../support/frames.ts";
import {
  type Call,
  type Contract,
  clientToScript,
  loopback,
  open,
  requestFromScript,
  scriptToServer,
} from "./harness.ts";

const EVERY_STREAM = 0x7fffffff;

/** The rest of an ordinary call. */
async function complete({ client, server }: Call): Promise<void> {
  client.stream.sendData(message("request"), true);
  await server.untilEnded();
  server.stream.sendHeaders(fieldsOf(response()), false);
  server.stream.sendTrailers(fieldsOf(trailers(0)));
  await client.untilTrailers();
}

export function goAwayCases(contract: Contract): void {
  describe.each(["client", "server"] as const)("drain of the %s", (side) => {
    it("lets the open streams finish, takes no more, then closes both ends in order", async () => {
      const pair = await loopback(contract);
      const call = await pair.call();
      pair[side].session.drain();
      expect(pair[side].session.accepting).toBe(false);
      await pair[side === "client" ? "server" : "client"].events.untilGoAway();
      expect(pair.client.session.accepting).toBe(false);
      expect(pair.client.session.availableStreamCount).toBe(0);
      expect(pair.client.events.end).toBeUndefined();
      await complete(call);
      for (const { events } of [pair.client, pair.server])
        expect(await events.untilClosed()).toMatchObject({ kind: "closed", code: 0 });
      expect(call.client.outline).toEqual(["headers", "trailers"]);
    });

    it("closes at once when nothing is open", async () => {
      const pair = await loopback(contract);
      pair[side].session.drain();
      pair[side].session.drain();
      for (const { events } of [pair.client, pair.server])
        expect((await events.untilClosed()).kind).toBe("closed");
    });

    it("ends early with destroy", async () => {
      const pair = await loopback(contract);
      const call = await pair.call();
      pair[side].session.drain();
      pair[side].session.destroy(ErrorCode.NO_ERROR, "enough");
      expect((await pair[side].events.untilClosed()).kind).toBe("destroyed");
      expect((await call[side].untilReset()).kind).toBe("session");
    });
  });

  if (!contract.sockets) return;
  describe("GOAWAY from the server", () => fromServer(contract));
  describe("GOAWAY from the client", () => fromClient(contract));
  describe("drain on the wire", () => drains(contract));
}

function fromServer(contract: Contract): void {
  it("with NO_ERROR ends the streams above its last id as unprocessed; those below go on", async () => {
    const end = await clientToScript(contract);
    const [below, above] = [open(end), open(end)];
    for (const _ of [below, above]) await end.peer.expectRequest();
    end.peer.send(frames.goaway(1, ErrorCode.NO_ERROR, "moving"));
    expect(await above.untilReset()).toMatchObject({ kind: "goaway", unprocessed: true });
    expect(end.events.goAways).toEqual([{ lastStreamId: 1, code: 0, debugData: "moving" }]);
    expect(end.session.accepting).toBe(false);
    expect(end.session.availableStreamCount).toBe(0);
    below.stream.sendData(message("abc"), true);
    expect(await end.peer.expectBody(1)).toEqual(message("abc"));
    end.peer.send(frames.headers(1, response()), frames.headers(1, trailers(0)).end());
    await below.untilTrailers();
    await end.peer.expectClosed();
    expect(await end.events.untilClosed()).toMatchObject({ kind: "closed", code: 0 });
    expect(above.outline).toHaveLength(1);
  });

  it("with NO_ERROR in two steps ends nothing at the first", async () => {
    const end = await clientToScript(contract);
    const [below, above] = [open(end), open(end)];
    for (const _ of [below, above]) await end.peer.expectRequest();
    end.peer.send(frames.goaway(EVERY_STREAM, 0));
    await end.events.untilGoAway();
    await end.peer.sync();
    expect([below.reset, above.reset]).toEqual([undefined, undefined]);
    end.peer.send(frames.goaway(1, 0));
    expect(await above.untilReset()).toMatchObject({ kind: "goaway", unprocessed: true });
    expect(below.reset).toBeUndefined();
    expect(end.events.goAways.map((goAway) => goAway.lastStreamId)).toEqual([EVERY_STREAM, 1]);
  });

  it("with an error ends every stream; only those above its last id are unprocessed", async () => {
    const end = await clientToScript(contract);
    const [below, above] = [open(end), open(end)];
    for (const _ of [below, above]) await end.peer.expectRequest();
    end.peer.send(frames.goaway(1, ErrorCode.ENHANCE_YOUR_CALM, "too_many_pings"));
    end.peer.end();
    expect(await below.untilReset()).toMatchObject({
      kind: "goaway",
      code: 11,
      unprocessed: false,
    });
    expect(await above.untilReset()).toMatchObject({ kind: "goaway", unprocessed: true });
    expect(await end.events.untilClosed()).toMatchObject({ kind: "goaway", code: 11 });
    expect(end.events.goAways).toEqual([
      { lastStreamId: 1, code: 11, debugData: "too_many_pings" },
    ]);
    expect(end.events.log.at(-1)).toBe("closed(goaway, ENHANCE_YOUR_CALM)");
  });

  it("then RST_STREAM of a stream that goes on is told as that reset", async () => {
    const end = await clientToScript(contract);
    const stream = open(end);
    await end.peer.expectRequest();
    end.peer.send(frames.goaway(1, 0), frames.rst(1, ErrorCode.REFUSED_STREAM));
    expect(await stream.untilReset()).toMatchObject({ kind: "reset", code: 7, unprocessed: true });
    await end.peer.expectClosed();
    expect((await end.events.untilClosed()).kind).toBe("closed");
  });

  it("then the end of the socket is the end of the session for what went on", async () => {
    const end = await clientToScript(contract);
    const stream = open(end);
    await end.peer.expectRequest();
    end.peer.send(frames.goaway(1, 0));
    await end.events.untilGoAway();
    end.peer.destroy();
    expect(await stream.untilReset()).toMatchObject({ kind: "session", unprocessed: false });
    expect((await end.events.untilClosed()).kind).toBe("socket");
  });

  it("while nothing is open closes the connection in order", async () => {
    const end = await clientToScript(contract);
    end.peer.send(frames.goaway(0, 0));
    await end.peer.expectClosed();
    expect((await end.events.untilClosed()).kind).toBe("closed");
  });

  it("with debug data that is not text is told all the same", async () => {
    const end = await clientToScript(contract);
    end.peer.send(frames.goaway(0, ErrorCode.INTERNAL_ERROR, Buffer.from([0xff, 0, 0x80])));
    expect((await end.events.untilGoAway()).code).toBe(ErrorCode.INTERNAL_ERROR);
    expect((await end.events.untilClosed()).kind).toBe("goaway");
  });
}

function fromClient(contract: Contract): void {
  it("with NO_ERROR lets its streams finish, then the session closes", async () => {
    const end = await scriptToServer(contract);
    const stream = await requestFromScript(end, frames.headers(1, request("/a/B")).end());
    end.peer.send(frames.goaway(0, 0));
    await end.events.untilGoAway();
    expect(end.session.accepting).toBe(false);
    stream.stream.sendHeaders(fieldsOf(response()), false);
    stream.stream.sendTrailers(fieldsOf(trailers(0)));
    await end.peer.expectHeaders(1);
    await end.peer.expectTrailers(1);
    await end.peer.expectClosed();
    expect((await end.events.untilClosed()).kind).toBe("closed");
  });

  it("with an error ends its streams", async () => {
    const end = await scriptToServer(contract);
    const stream = await requestFromScript(end, frames.headers(1, request("/a/B")));
    end.peer.send(frames.goaway(0, ErrorCode.INTERNAL_ERROR));
    end.peer.end();
    expect((await stream.untilReset()).kind).toBe("goaway");
    expect(await end.events.untilClosed()).toMatchObject({ kind: "goaway", code: 2 });
  });
}

function drains(contract: Contract): void {
  it("of a client is GOAWAY(NO_ERROR), then the end of the socket behind the last stream", async () => {
    const end = await clientToScript(contract);
    const stream = open(end);
    await end.peer.expectRequest();
    end.session.drain();
    expect(await end.peer.expectGoAway(ErrorCode.NO_ERROR)).toMatchObject({ lastStreamId: 0 });
    stream.stream.sendData(message("abc"), true);
    await end.peer.expectBody(1);
    end.peer.send(frames.headers(1, response()), frames.headers(1, trailers(0)).end());
    await stream.untilTrailers();
    await end.peer.expectClosed();
  });

  if (contract.weaker.drainSteps === undefined) {
    it("of a server first announces GOAWAY(2^31-1) and takes what was under way — RFC 9113 §6.8", async () => {
      const end = await scriptToServer(contract);
      end.peer.ackPings = false;
      await requestFromScript(end, frames.headers(1, request("/a/First")));
      end.session.drain();
      expect(await end.peer.expectGoAway(0)).toMatchObject({ lastStreamId: EVERY_STREAM });
      end.peer.send(frames.headers(3, request("/a/UnderWay")));
      expect(
        (await end.events.until("the second stream", () => end.events.streams[1])).stream.id,
      ).toBe(3);
      end.peer.send(frames.pingAck((await end.peer.recv("PING")).frame.payload));
      expect(await end.peer.expectGoAway(0)).toMatchObject({ lastStreamId: 3 });
    });
  } else {
    it("of a server names the last stream that it took", async () => {
      const end = await scriptToServer(contract);
      await requestFromScript(end, frames.headers(1, request("/a/First")));
      end.session.drain();
      expect(await end.peer.expectGoAway(0)).toMatchObject({ lastStreamId: 1 });
    });
  }

  it("of a server takes no stream above the last id of its final GOAWAY", async () => {
    const end = await scriptToServer(contract);
    const stream = await requestFromScript(end, frames.headers(1, request("/a/First")).end());
    end.session.drain();
    let { lastStreamId } = await end.peer.expectGoAway(0);
    if (lastStreamId === EVERY_STREAM) ({ lastStreamId } = await end.peer.expectGoAway(0));
    expect(lastStreamId).toBe(1);
    end.peer.send(frames.headers(3, request("/a/Late")).end());
    await end.peer.sync();
    expect(end.events.streams.length).toBe(1);
    stream.stream.sendHeaders(fieldsOf(response()), false);
    stream.stream.sendTrailers(fieldsOf(trailers(0)));
    await end.peer.expectHeaders(1);
    await end.peer.expectTrailers(1);
    await end.peer.expectClosed();
    expect((await end.events.untilClosed()).kind).toBe("closed");
  });
}
