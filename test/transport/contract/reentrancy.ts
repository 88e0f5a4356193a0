// Contract: an owner may call anything from within a callback.

import { describe, expect, it } from "vitest";
import { ErrorCode } from "../../../src/wire/error-code.ts";
import { fieldsOf, message, response, trailers } from "../../support/frames.ts";
import { type Call, type Contract, loopback, open, settled } from "./harness.ts";

export function reentrancyCases(contract: Contract): void {
  describe("within a callback", () => {
    it.each(["headers", "data(8)"])(
      "of %s reset ends the stream: nothing follows",
      async (when) => {
        const pair = await loopback(contract);
        const call = await pair.call();
        call.client.reaction = (entry) => {
          if (entry === when) call.client.stream.reset(ErrorCode.CANCEL);
        };
        respond(call);
        await call.client.until(when, () => call.client.log.includes(when) || undefined);
        await settled(pair.client.session);
        expect(call.client.log.at(-1)).toBe(when);
        await pair.call();
      },
    );

    it("of data destroy ends every stream, then the session", async () => {
      const pair = await loopback(contract);
      const [call, sibling] = [await pair.call(), await pair.call()];
      call.client.reaction = (entry) => {
        if (entry === "data(8)") pair.client.session.destroy(ErrorCode.CANCEL, "had enough");
      };
      respond(call);
      expect((await pair.client.events.untilClosed()).kind).toBe("destroyed");
      expect(sibling.client.reset?.kind).toBe("session");
      // Trailers that had arrived with the data may still be told.
      expect(call.client.outline.slice(0, 2)).toEqual(["headers", "data(8)"]);
      expect(call.client.outline.at(-1)).toBe("reset(session, CANCEL)");
    });

    it("of a stream's end the next one is opened", async () => {
      const pair = await loopback(contract, { session: { maxConcurrentStreams: 1 } });
      const call = await pair.call();
      pair.client.events.reaction = (entry) => {
        if (entry === "available") open(pair.client);
      };
      call.server.stream.reset(ErrorCode.REFUSED_STREAM);
      await pair.server.events.nextStream();
      expect(pair.client.session.availableStreamCount).toBe(0);
    });

    it("of a request the whole response is sent", async () => {
      const pair = await loopback(contract);
      pair.server.events.reaction = () => {
        // The listener is returned before anything else can happen; answering waits for the first
        // callback of the stream.
        const stream = pair.server.events.streams.at(-1);
        if (stream === undefined) return;
        stream.reaction = (entry) => {
          if (entry.startsWith("data")) respond({ client: stream, server: stream });
        };
      };
      const client = open(pair.client);
      client.stream.sendData(message("request"), true);
      await client.untilTrailers();
      expect(client.outline).toEqual(["headers", "data(8)", "trailers"]);
    });

    it("of data the same bytes are sent back, windows and all", async () => {
      const pair = await loopback(contract, { session: { streamWindowBytes: 65_535 } });
      const call = await pair.call();
      echo(call);
      call.client.acknowledge = true;
      call.client.stream.sendData(Buffer.alloc(400_000, 3), true);
      await call.client.untilEnded();
      expect(call.client.body.equals(Buffer.alloc(400_000, 3))).toBe(true);
    });

    it("of writable the next piece is sent", async () => {
      const pair = await loopback(contract, { session: { streamWindowBytes: 65_535 } });
      const call = await pair.call();
      call.server.acknowledge = true;
      let leftBytes = 600_000;
      const send = (): void => {
        while (leftBytes > 0 && call.client.stream.queuedBytes === 0) {
          leftBytes -= 50_000;
          call.client.stream.sendData(Buffer.alloc(50_000), leftBytes === 0);
        }
      };
      call.client.reaction = send;
      send();
      await call.server.untilEnded();
      expect(call.server.receivedBytes).toBe(600_000);
    });

    it("of the end of a session another one's stream is opened", async () => {
      const [first, second] = [await loopback(contract), await loopback(contract)];
      const call = await first.call();
      call.client.reaction = () => open(second.client);
      first.server.session.destroy(ErrorCode.NO_ERROR, "gone");
      await second.server.events.nextStream();
    });
  });
}

/** Headers, one message of 8 bytes, trailers. */
function respond({ server }: Call): void {
  server.stream.sendHeaders(fieldsOf(response()), false);
  server.stream.sendData(message("abc"), false);
  server.stream.sendTrailers(fieldsOf(trailers(0)));
}

/** The server returns every chunk as it comes and gives credit when it was accepted. */
function echo({ server }: Call): void {
  let seen = 0;
  server.reaction = (entry) => {
    if (entry.startsWith("writable")) {
      server.stream.acknowledge(Number(/\d+/.exec(entry)?.[0]));
      return;
    }
    if (seen === 0) server.stream.sendHeaders(fieldsOf(response()), false);
    const chunk = server.chunks[seen++];
    if (chunk === undefined) return;
    server.stream.acknowledge(server.stream.sendData(chunk, entry.endsWith("END)")));
  };
}
