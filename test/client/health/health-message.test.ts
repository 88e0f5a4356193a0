// The messages of `grpc.health.v1.Health/Watch`, byte by byte.

import { describe, expect, it } from "vitest";
import {
  encodeHealthRequest,
  parseServingStatus,
  servingStatusName,
} from "../../../src/client/health/health-message.ts";

describe("a health request", () => {
  it.each<[string, string]>([
    ["", "0000000000"],
    ["a.B", "0000000005" + "0a03612e42"],
    ["é", "0000000004" + "0a02c3a9"],
    ["x".repeat(200), `00000000cb0ac801${"78".repeat(200)}`],
  ])("for %j has the name as field 1", (serviceName, hex) => {
    expect(encodeHealthRequest(serviceName).toString("hex")).toBe(hex);
  });
});

describe("a health response", () => {
  it.each<[string, string, number]>([
    ["is UNKNOWN when it is empty", "", 0],
    ["is UNKNOWN", "0800", 0],
    ["is SERVING", "0801", 1],
    ["is NOT_SERVING", "0802", 2],
    ["is SERVICE_UNKNOWN", "0803", 3],
    ["is a status of later times", "088001", 128],
    ["is the last of two", "08020801", 1],
    ["may be longer than need be", "0881808080808080808000", 1],
    ["may be negative", "08ffffffffffffffffff01", -1],
    ["may have a long tag", "888000" + "01", 1],
    ["may have other varints", "10ac02" + "0801", 1],
    ["may have 64-bit fields", "1101020304050607080801", 1],
    ["may have bytes", "0801" + "1203616263", 1],
    ["may have 32-bit fields", "0801" + "1d01020304", 1],
    ["may have field 1 of another type, which is another field", "0a020802", 0],
  ])("%s", (_what, hex, status) => {
    expect(parseServingStatus(Buffer.from(hex, "hex"))).toBe(status);
  });

  it.each<[string, string]>([
    ["ends within a tag", "80"],
    ["ends before the status", "08"],
    ["ends within the status", "0880"],
    ["has a varint of eleven bytes", "088180808080808080808000"],
    ["has field 0", "0001"],
    ["ends within a 64-bit field", "11010203"],
    ["ends within bytes", "12046162"],
    ["has bytes of 4 GiB", "12ffffffff0f"],
    ["ends within the length of bytes", "1280"],
    ["ends within a 32-bit field", "1d01"],
    ["has a group", "0b0c"],
    ["has a wire type that does not exist", "0f"],
  ])("is malformed when it %s", (_what, hex) => {
    expect(parseServingStatus(Buffer.from(hex, "hex"))).toBeUndefined();
  });
});

it("a serving status has a name for people", () => {
  expect([0, 1, 2, 3, 4, -1].map(servingStatusName)).toEqual([
    ...["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"],
    ...["ServingStatus 4", "ServingStatus -1"],
  ]);
});
