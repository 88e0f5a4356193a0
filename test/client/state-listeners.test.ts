// Who is told of what, in which order.

import { AsyncLocalStorage } from "node:async_hooks";
import { describe, expect, it } from "vitest";
import { dial } from "../../src/client/dial.ts";
import { StateListeners } from "../../src/client/state-listeners.ts";
import type { ConnState } from "../../src/observe/channels.ts";
import { connStates } from "../support/events.ts";

function change(state: ConnState) {
  return { target: "a:1", state, reason: "why", error: undefined };
}

describe("listeners of a connection", () => {
  it("are all told, also one that was added twice, each until it is taken out", () => {
    const listeners = new StateListeners();
    const told: string[] = [];
    const twice = (state: ConnState): void => void told.push(`twice ${state}`);
    const removeFirst = listeners.add(twice);
    listeners.add(twice);
    const removeOther = listeners.add((state, error, reason) => {
      told.push(`other ${state} ${error} ${reason}`);
    });
    listeners.tell(change("connecting"));
    expect(told.splice(0)).toEqual([
      "twice connecting",
      "twice connecting",
      "other connecting undefined why",
    ]);
    removeFirst();
    removeFirst();
    removeOther();
    listeners.tell(change("ready"));
    expect(told).toEqual(["twice ready"]);
  });

  it("hear of changes in their order, also where one of them causes the next", () => {
    const listeners = new StateListeners();
    const published = connStates();
    const told: string[] = [];
    listeners.add((state) => {
      told.push(`first ${state}`);
      if (state === "connecting") listeners.tell(change("shutdown"));
    });
    listeners.add((state) => told.push(`second ${state}`));
    listeners.tell(change("connecting"));
    expect(told).toEqual([
      "first connecting",
      "second connecting",
      "first shutdown",
      "second shutdown",
    ]);
    expect(published.map(({ state }) => state)).toEqual(["connecting", "shutdown"]);
  });

  it("that are taken out by one that is told are not told, that are added hear of the next change", () => {
    const listeners = new StateListeners();
    const told: string[] = [];
    listeners.add(() => {
      remove();
      listeners.add((state) => told.push(`new ${state}`));
    });
    const remove = listeners.add((state) => told.push(`old ${state}`));
    listeners.tell(change("connecting"));
    expect(told).toEqual([]);
    listeners.tell(change("ready"));
    expect(told).toEqual(["new ready"]);
  });

  it("are told in the context in which the connection was made, whoever added them", async () => {
    const store = new AsyncLocalStorage<string>();
    const conn = store.run("dial", () => dial("127.0.0.1:1"));
    const seen: unknown[] = [];
    store.run("onState", () => conn.onState((state) => seen.push(state, store.getStore())));
    await store.run("close", () => conn.close());
    expect(seen).toEqual(["shutdown", "dial"]);
  });
});
