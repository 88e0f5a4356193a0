// What a grpc-js client makes of a backend that dies within a message, behind the relay: no call
// may wait for what does not come.

import { status } from "@grpc/grpc-js";
import { describe, expect, it } from "vitest";
import { StreamParameters } from "../../src/index.ts";
import { transportCombos } from "../support/combos.ts";
import { frames, message, response } from "../support/frames.ts";
import { GrpcClient } from "../support/grpc-js.ts";
import { connectTo, listenRelay, PATH, scriptedBackend } from "../support/relay-fixture.ts";

const HALF = message("0123456789").subarray(0, 9);

describe.each(transportCombos)(
  "a grpc-js client whose backend dies within a message, server on $server, client on $client,",
  (combo) => {
    async function started() {
      const upstream = await scriptedBackend(combo);
      const { address } = await listenRelay(
        combo,
        () => new StreamParameters({ conn: upstream.conn }),
      );
      const backend = await connectTo(upstream);
      return { backend, client: new GrpcClient(address) };
    }

    it.each([
      [0, status.UNAVAILABLE],
      [1, status.INTERNAL],
    ])("gets a status of a unary call, with %i messages before", async (whole, expected) => {
      const { backend, client } = await started();
      const outcome = client.unary(PATH, "abc");
      const { streamId } = await backend.expectRequest(PATH);
      await backend.expectBody(streamId);
      backend.send(frames.headers(streamId, response()));
      if (whole === 1) backend.send(frames.data(streamId, message("whole")));
      backend.send(frames.data(streamId, HALF));
      await backend.sync();
      backend.destroy();
      const { error, response: answer } = await outcome;
      expect(error?.code).toBe(expected);
      expect(answer).toBeUndefined();
    });

    it.each([
      [0, true, status.UNAVAILABLE],
      [1, true, status.INTERNAL],
      [2, true, status.UNAVAILABLE],
      [0, false, status.UNAVAILABLE],
      [1, false, status.UNAVAILABLE],
      [2, false, status.UNAVAILABLE],
    ])(
      "gets %i messages and a status of a streaming call, its request complete: %s",
      async (whole, complete, expected) => {
        const { backend, client } = await started();
        const call = client.duplex(PATH);
        call.send("abc");
        if (complete) call.closeSend();
        const { streamId } = await backend.expectRequest(PATH);
        if (complete) await backend.expectBody(streamId);
        else await backend.expectData(streamId);
        backend.send(frames.headers(streamId, response()));
        for (let i = 0; i < whole; i++) backend.send(frames.data(streamId, message(`m${i}`)));
        backend.send(frames.data(streamId, HALF));
        for (let i = 0; i < whole; i++) expect(await call.recv()).toBe(`m${i}`);
        await backend.sync();
        backend.destroy();
        expect((await call.status).code).toBe(expected);
      },
    );
  },
);
