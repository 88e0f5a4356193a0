// The channels of a call: whoever listens to one of them, or comes late, hears what is due to it.

import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { expect, it } from "vitest";
import { closeAtEnd } from "../support/cleanup.ts";
import { transportCombos } from "../support/combos.ts";
import { frames, request } from "../support/frames.ts";
import { eventually, listen, PATH, statusOf } from "../support/relay-fixture.ts";
import { ScriptedClient } from "../support/scripted-endpoints.ts";

/** What is published from now on. */
function heard(...channels: readonly ("start" | "end")[]): string[] {
  const log: string[] = [];
  for (const channel of channels) {
    const look = (): number => log.push(channel);
    subscribe(`grpc-relay:call:${channel}`, look);
    closeAtEnd(() => unsubscribe(`grpc-relay:call:${channel}`, look));
  }
  return log;
}

async function start() {
  let finish = (): void => {};
  const wait = new Promise<void>((resolve) => {
    finish = resolve;
  });
  const { server, address } = await listen(transportCombos[0]!);
  server.register("test.Service", { Method: () => wait });
  const client = await ScriptedClient.connect(address);
  const call = async (): Promise<void> => {
    client.send(frames.headers(1, request(PATH)).end());
    await eventually("the call is here", () => server.openCallCount === 1);
  };
  const end = async (): Promise<void> => {
    finish();
    expect(statusOf(await client.expectTrailers(1))).toBe(0);
  };
  return { call, end };
}

it.each([[["start"] as const], [["end"] as const], [["start", "end"] as const]])(
  "those who listen to %j hear that and no more",
  async (channels) => {
    const { call, end } = await start();
    const log = heard(...channels);
    await call();
    await end();
    expect(log).toEqual(channels);
  },
);

it("one who comes during a call hears of its end", async () => {
  const { call, end } = await start();
  await call();
  const log = heard("start", "end");
  await end();
  expect(log).toEqual(["end"]);
});
