// A relay whose director looks at the first messages of a call, and then sends the call on
// unchanged.

import { expect } from "vitest";
import { Status } from "../../src/grpc/status.ts";
import { StreamParameters } from "../../src/proxy/director.ts";
import type { StreamPeeker } from "../../src/proxy/peeker.ts";
import type { TransportCombo } from "./combos.ts";
import { frames, trailersOnly } from "./frames.ts";
import {
  PATH,
  type ScriptedRelay,
  type ScriptedRelayOptions,
  scriptedRelay,
  statusOf,
} from "./relay-fixture.ts";

/** The action of the director before it sends the call on. */
export type Look = (peeker: StreamPeeker) => unknown;

export type RelayOptions = Omit<ScriptedRelayOptions, "director">;

export function peekingRelay(
  combo: TransportCombo,
  look: Look,
  options: RelayOptions = {},
): Promise<ScriptedRelay> {
  return scriptedRelay(combo, {
    ...options,
    director: (conn) => async (_ctx, _method, peeker) => {
      await look(peeker);
      return new StreamParameters({ conn });
    },
  });
}

/** The backend gets `expected` and says OK. */
export async function finish({ backend, client }: ScriptedRelay, expected: Buffer): Promise<void> {
  const { streamId } = await backend.expectRequest(PATH);
  const body = await backend.expectBody(streamId);
  expect(body.equals(expected)).toBe(true);
  backend.send(frames.headers(streamId, trailersOnly(0), { endStream: true }));
  expect(statusOf(await client.expectTrailers(1))).toBe(Status.OK);
}
