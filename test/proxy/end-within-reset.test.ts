// A destination that is ended again by what its own reset causes: a connection with too many resets
// changes its state, and who is told of that may end calls.

import { describe, expect, it } from "vitest";
import type { ClientConn } from "../../src/client/client-conn.ts";
import { Status } from "../../src/grpc/status.ts";
import { StreamParameters } from "../../src/proxy/director.ts";
import type { DestinationResult } from "../../src/proxy/results.ts";
import { transparentHandler } from "../../src/proxy/transparent-handler.ts";
import type { StreamListener } from "../../src/transport/transport.ts";
import { HeaderField } from "../../src/wire/field.ts";
import { closeAtEnd } from "../support/cleanup.ts";
import { transportCombos } from "../support/combos.ts";
import { frames, request } from "../support/frames.ts";
import { eventually, listen, PATH, statusOf } from "../support/relay-fixture.ts";
import { ScriptedClient } from "../support/scripted-endpoints.ts";
import { stubConn } from "../support/stub-session.ts";

const [combo] = transportCombos;

const fields = (...all: [string, string][]): HeaderField[] =>
  all.map(([name, value]) => new HeaderField(name, value));

describe("a destination that ends while its stream is reset", () => {
  it.each<[string, (stream: StreamListener) => void]>([
    [
      "for an answer that is not gRPC",
      (stream) => stream.onHeaders(fields([":status", "404"]), false),
    ],
    [
      "because the whole answer came before the whole request",
      (stream) =>
        stream.onHeaders(
          fields([":status", "200"], ["content-type", "application/grpc"], ["grpc-status", "5"]),
          true,
        ),
    ],
  ])("%s ends once", async (_, answer) => {
    if (combo === undefined) throw new Error("there is no transport");
    const { conn, sessions } = stubConn();
    closeAtEnd(() => conn.close());
    conn.connect();
    const [session] = sessions;
    session?.becomeReady();
    const told: DestinationResult[] = [];
    let finalized = 0;
    const { address } = await listen(combo, {
      unknownServiceHandler: transparentHandler((context) => {
        const { ctx, cancel } = context.withCancel();
        const ending = {
          ...{ target: conn.target, origin: conn.origin, responses: conn.responses },
          open: conn.open.bind(conn),
          abandon: conn.abandon.bind(conn),
          reset: (...given: Parameters<ClientConn["reset"]>) => {
            conn.reset(...given);
            cancel();
          },
        } as unknown as ClientConn;
        const onError = (error: Error, result: DestinationResult): Error => {
          told.push(result);
          return error;
        };
        return new StreamParameters({ conn: ending, ctx, onError }, [], () => {
          finalized++;
        });
      }),
    });
    const client = await ScriptedClient.connect(address);
    client.send(frames.headers(1, request(PATH)));
    await eventually("the call is there", () => session?.opened.length === 1);
    answer(session?.opened[0] as StreamListener);
    expect(statusOf(await client.expectTrailers(1))).toBe(Status.CANCELLED);
    expect([told.length, finalized]).toEqual([1, 1]);
    expect(told[0]).toMatchObject({ ended: true, status: Status.CANCELLED });
  });
});
