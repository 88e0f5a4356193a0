// What a backend says of its status is passed on, not read: it may be long, and decoding it is work
// that nobody asked for.

import { beforeEach, describe, expect, it, vi } from "vitest";
import { decodeGrpcMessage } from "../../src/grpc/status-message.ts";
import type { CallResult } from "../../src/index.ts";
import { StreamParameters } from "../../src/proxy/director.ts";
import { fieldValue } from "../../src/wire/field.ts";
import { transportCombos } from "../support/combos.ts";
import { type FieldInput, frames, response } from "../support/frames.ts";
import {
  expectCall,
  type ScriptedRelay,
  scriptedRelay,
  sendCall,
} from "../support/relay-fixture.ts";

vi.mock("../../src/grpc/status-message.ts", async (original) => {
  const real = await original<typeof import("../../src/grpc/status-message.ts")>();
  return { ...real, decodeGrpcMessage: vi.fn(real.decodeGrpcMessage) };
});

beforeEach(() => {
  vi.mocked(decodeGrpcMessage).mockClear();
});

const TEXT = "☺".repeat(6_000);
const ESCAPES = encodeURIComponent(TEXT);

describe.each(transportCombos)(
  "a grpc-message of 54 KB of escapes, server on $server, client on $client,",
  (combo) => {
    async function answered(
      { client, backend }: ScriptedRelay,
      status: number,
      begun: boolean,
    ): Promise<void> {
      sendCall(client);
      const streamId = await expectCall(backend);
      const outcome: FieldInput[] = [
        ["grpc-status", `${status}`],
        ["grpc-message", ESCAPES],
        ["grpc-status-details-bin", "CAU"],
      ];
      if (begun) backend.send(frames.headers(streamId, response()));
      backend.send(
        ...frames.headersInPieces(streamId, begun ? outcome : response(...outcome), undefined, {
          endStream: true,
        }),
      );
      if (begun) await client.expectHeaders(1);
      const fields = await client.expectTrailers(1);
      expect(fieldValue(fields, "grpc-message")).toBe(ESCAPES);
      expect(fieldValue(fields, "grpc-status-details-bin")).toBe("CAU");
    }

    const rows = [
      ["an error in trailers", 5, true],
      ["an error in a Trailers-Only response", 5, false],
      ["OK in trailers", 0, true],
    ] as const;

    it.each(rows)("with %s, goes through without being decoded", async (_what, status, begun) => {
      let results = 0;
      const relay = await scriptedRelay(combo, {
        director: (conn) => () =>
          new StreamParameters({ conn, onError: (error) => error }, [], () => {
            results++;
          }),
      });
      await answered(relay, status, begun);
      expect(results).toBe(1);
      expect(decodeGrpcMessage).not.toHaveBeenCalled();
    });

    it.each(rows)("with %s, is decoded once for who looks", async (_what, status, begun) => {
      const results: CallResult[] = [];
      const relay = await scriptedRelay(combo, {
        director: (conn) => () =>
          new StreamParameters({ conn }, [], (result) => void results.push(result)),
      });
      await answered(relay, status, begun);
      const [result] = results;
      expect(result?.details).toBe(TEXT);
      expect(result?.primary.details).toBe(TEXT);
      if (status === 5) expect(result?.error?.message).toBe(`NOT_FOUND: ${TEXT}`);
      expect(decodeGrpcMessage).toHaveBeenCalledTimes(1);
    });
  },
);
