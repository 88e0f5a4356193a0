import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { describe, expect, it } from "vitest";
import { publishRefusal } from "../../src/observe/channels.ts";

describe("publishRefusal()", () => {
  const stream = { scope: "stream", streamId: 7, rule: "no", limit: undefined } as const;

  it("looks at nothing while nobody listens", () => {
    const untouchable = new Proxy(stream, {
      get: () => {
        throw new Error("somebody looked");
      },
    });
    expect(() => publishRefusal("downstream", "192.0.2.1:1", untouchable)).not.toThrow();
  });

  it("leaves out what there is not", () => {
    const events: unknown[] = [];
    const look = (event: unknown): void => {
      events.push(event);
    };
    subscribe("grpc-relay:refused", look);
    publishRefusal("downstream", "192.0.2.1:1", stream);
    const limit = { name: "pingsPerSecond", value: 100 };
    publishRefusal("upstream", "b", { scope: "connection", streamId: 0, rule: "many", limit });
    unsubscribe("grpc-relay:refused", look);
    expect(events).toStrictEqual([
      { scope: "stream", side: "downstream", peer: "192.0.2.1:1", streamId: 7, rule: "no" },
      { scope: "connection", side: "upstream", peer: "b", rule: "many", limit },
    ]);
  });
});
