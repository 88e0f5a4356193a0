// What a program in JavaScript forgets and no compiler tells: transparentHandler around a director,
// a return in one.

import { describe, expect, it } from "vitest";
import { dial } from "../../src/client/dial.ts";
import { Status } from "../../src/grpc/status.ts";
import { StreamParameters } from "../../src/proxy/director.ts";
import { transparentHandler } from "../../src/proxy/transparent-handler.ts";
import type { StreamHandler } from "../../src/server/interceptor.ts";
import { closeAtEnd } from "../support/cleanup.ts";
import { transportCombos } from "../support/combos.ts";
import { warnings } from "../support/events.ts";
import { frames, request } from "../support/frames.ts";
import { eventually, listen, PATH, statusOf } from "../support/relay-fixture.ts";
import { ScriptedClient } from "../support/scripted-endpoints.ts";

const [combo] = transportCombos;

function parameters(): StreamParameters {
  const conn = dial("127.0.0.1:1");
  closeAtEnd(() => conn.close());
  return new StreamParameters({ conn });
}

/** The status of a call that is answered by `handler`, and what the process is warned of. */
async function callOf(handler: StreamHandler): Promise<{ status: number; warned: object[] }> {
  if (combo === undefined) throw new Error("there is no transport");
  const warned = warnings();
  const { address } = await listen(combo, { unknownServiceHandler: handler });
  const client = await ScriptedClient.connect(address);
  client.send(frames.headers(1, request(PATH), { endStream: true }));
  const status = statusOf(await client.expectTrailers(1));
  await eventually("it is told", () => warned.length > 0);
  return { status, warned };
}

describe("a program without transparentHandler, or without a return", () => {
  it("is warned of a director in the place of a handler, whose answer nobody reads", async () => {
    const { status, warned } = await callOf(() => parameters() as never);
    expect(status).toBe(Status.OK);
    expect(warned).toMatchObject([
      {
        code: "GRPC_RELAY_HANDLER",
        message: "handler returned an object (StreamParameters), which nobody reads",
        detail: "a director becomes a handler by transparentHandler(director)",
      },
    ]);
  });

  it("is warned of a director that returns nothing, and its client reads INTERNAL", async () => {
    const director = () => undefined as unknown as StreamParameters;
    const { status, warned } = await callOf(transparentHandler(director));
    expect(status).toBe(Status.INTERNAL);
    expect(warned).toMatchObject([
      {
        code: "GRPC_RELAY_DIRECTOR",
        message: "director: expected StreamParameters, got undefined",
      },
    ]);
  });
});
