import { describe, expect, it, vi } from "vitest";

type Given = Error & { readonly code: string; readonly detail: string };

/** Nothing has been warned of in a module that is new. */
async function fresh() {
  vi.resetModules();
  const given: Given[] = [];
  vi.spyOn(process, "emitWarning").mockImplementation((warning) => {
    given.push(warning as unknown as Given);
  });
  return { ...(await import("../../src/check/warn.ts")), given };
}

describe("warnOnce", () => {
  it("warns with a code, the stack and the causes of what was thrown", async () => {
    const { warnOnce, given } = await fresh();
    const cause = new TypeError("below", { cause: "bottom" });
    const thrown = new Error("boom", { cause });
    warnOnce("director", "director", "director threw boom", thrown);
    expect(given).toHaveLength(1);
    expect(given[0]).toMatchObject({
      name: "GrpcRelayWarning",
      message: "director threw boom",
      code: "GRPC_RELAY_DIRECTOR",
      cause: thrown,
    });
    expect(given[0]?.detail).toMatch(/^Error: boom\n +at [\s\S]*caused by TypeError: below\n +at /);
  });

  it("warns once of what the same line throws, whatever it says", async () => {
    const { warnOnce, given } = await fresh();
    for (let i = 0; i < 1_000; i++)
      warnOnce("handler", "handler", "x", new Error(`user ${i}\n    at ${i}`));
    expect(given).toHaveLength(1);
    warnOnce("handler", "handler", "x", new Error("from another line"));
    warnOnce("finalizer", "finalizer", "x", new Error("from another line, too"));
    expect(given).toHaveLength(3);
  });

  it("warns of each callback that fails in the same helper", async () => {
    const { warnOnce, given } = await fresh();
    const helper = (): Error => new Error("from one line");
    for (const callback of ["a listener", "another", "a listener"]) {
      warnOnce("callback", callback, `${callback} must not throw`, helper());
    }
    const texts = given.map(({ message }) => message);
    expect(texts).toEqual(["a listener must not throw", "another must not throw"]);
  });

  it("warns once of each type of what is no error", async () => {
    const { warnOnce, given } = await fresh();
    for (const thrown of ["a", "b", 5, undefined, undefined])
      warnOnce("handler", "handler", "x", thrown);
    expect(given.map(({ detail }) => detail)).toEqual(["a", "number thrown", "undefined thrown"]);
  });

  it("ends at causes in a circle and takes an error without a stack", async () => {
    const { warnOnce, given } = await fresh();
    const circle = new Error("round");
    circle.cause = circle;
    warnOnce("codec", "codec", "x", circle);
    expect(given[0]?.detail.length).toBeLessThan(20_000);
    const bare = new Error("bare");
    Object.defineProperty(bare, "stack", { value: undefined });
    warnOnce("codec", "codec", "x", bare);
    expect(given).toHaveLength(2);
  });

  it("warns of 256 kinds and no more", async () => {
    const { warnOnce, warn, given } = await fresh();
    for (let i = 0; i < 300; i++) {
      const thrown = new Error("x");
      thrown.name = `Error${i}`;
      warnOnce("handler", "handler", "x", thrown);
      warn("onError", "y", `${i}`);
    }
    expect(given).toHaveLength(256);
  });
});

it("a defect that nothing was thrown for is warned of once for each text and detail", async () => {
  const { warn, given } = await fresh();
  for (const detail of ["a", "a", "b"]) warn("onError", "onError must not", detail);
  expect(given.map(({ detail }) => detail)).toEqual(["a", "b"]);
  expect(given[0]).toMatchObject({ code: "GRPC_RELAY_ON_ERROR" });
  expect(given[0]).not.toHaveProperty("cause");
});
