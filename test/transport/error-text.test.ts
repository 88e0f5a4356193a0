import { describe, expect, it } from "vitest";
import { errorText } from "../../src/transport/error-text.ts";

const refused = ["::1", "127.0.0.1"].map((host) => new Error(`connect ECONNREFUSED ${host}:1`));

describe("errorText", () => {
  it.each([
    ["an error", new Error("read ECONNRESET"), "read ECONNRESET"],
    [
      "several without a message of their own",
      new AggregateError(refused),
      "connect ECONNREFUSED ::1:1; connect ECONNREFUSED 127.0.0.1:1",
    ],
    ["several with one", new AggregateError(refused, "all failed"), "all failed"],
    ["several that are no errors", new AggregateError(["no", 1]), "no; 1"],
    ["nothing", new Error(""), ""],
  ])("of %s", (_, error, text) => {
    expect(errorText(error)).toBe(text);
  });
});
