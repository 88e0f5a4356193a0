import { expect, it } from "vitest";
import { resolveCallOptions } from "../../src/client/call-options.ts";
import { Metadata } from "../../src/grpc/metadata.ts";

const DEFAULTS = {
  timeoutMs: Number.POSITIVE_INFINITY,
  waitForReady: false,
  maxRequestMessageBytes: Number.POSITIVE_INFINITY,
  maxResponseMessageBytes: Number.POSITIVE_INFINITY,
};

it("call options that are left out have their defaults, and no limit", () => {
  expect(resolveCallOptions(undefined)).toEqual(DEFAULTS);
  expect(resolveCallOptions({})).toEqual(DEFAULTS);
});

it("call options that are given are kept", () => {
  const options = {
    timeoutMs: 0,
    waitForReady: true,
    maxRequestMessageBytes: 1,
    maxResponseMessageBytes: 2,
    metadata: new Metadata(),
    authority: "a.test",
  };
  expect(resolveCallOptions(options)).toEqual(options);
});
