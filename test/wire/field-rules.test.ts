import { describe, expect, it } from "vitest";
import { HeaderField } from "../../src/wire/field.ts";
import {
  BAD_VALUE,
  CONNECTION_SPECIFIC,
  CONTENT_LENGTH,
  CONTENT_TYPE,
  classifyJudged,
  classOf,
  HOST,
  HTTP2_SETTINGS,
  PSEUDO_AUTHORITY,
  PSEUDO_METHOD,
  PSEUDO_PATH,
  PSEUDO_SCHEME,
  PSEUDO_STATUS,
  REGULAR,
  tidied,
  UNKNOWN_PSEUDO,
  UNTIDY,
} from "../../src/wire/field-rules.ts";

describe("the class of a field", () => {
  it.each([
    [":method", "GET", PSEUDO_METHOD],
    [":method", "G T", BAD_VALUE],
    [":scheme", "https", PSEUDO_SCHEME],
    [":path", "/a", PSEUDO_PATH],
    [":path", "/a#b", BAD_VALUE],
    [":authority", "a.test:1", PSEUDO_AUTHORITY],
    [":authority", "a@b", BAD_VALUE],
    [":authority", "unix:a@b c", PSEUDO_AUTHORITY],
    [":status", "404", PSEUDO_STATUS],
    [":status", "099", BAD_VALUE],
    [":other", "", UNKNOWN_PSEUDO],
    ["te", "trailers", REGULAR],
    ["te", "Trailers", UNTIDY],
    ["te", "gzip", CONNECTION_SPECIFIC],
    ["xy", "", REGULAR],
    ["host", "a", HOST],
    ["date", "a", REGULAR],
    ["content-type", "a", CONTENT_TYPE],
    ["grpc-timeout", "1S", REGULAR],
    ["content-length", "12", CONTENT_LENGTH],
    ["content-length", "-1", BAD_VALUE],
    ["http2-settings", "a", HTTP2_SETTINGS],
    ["x-two-settings", "a", REGULAR],
    ["upgrade", "h2c", CONNECTION_SPECIFIC],
    ["x", "a ", UNTIDY],
    ["x", "a b", REGULAR],
  ])("%s: %j is %i, whoever has looked at its octets", (name, value, expected) => {
    expect(classOf(new HeaderField(name, value))).toBe(expected);
    const judged = new HeaderField(name, value);
    classifyJudged(judged);
    expect(judged.ruleClass).toBe(expected);
    expect(classOf(judged)).toBe(expected);
  });

  it("is found out for a look-alike without memos, too", () => {
    const field: object = { name: "bad name", value: "" };
    expect(classOf(field as HeaderField)).toBe(classOf(new HeaderField("bad name", "")));
  });
});

describe("a tidied field", () => {
  it("is one object for one field, and has the flag of it", () => {
    const field = new HeaderField("x", " \ta b\t ", true);
    expect(tidied(field)).toMatchObject({ name: "x", value: "a b", sensitive: true });
    expect(tidied(field)).toBe(tidied(field));
    expect(field.value).toBe(" \ta b\t ");
  });
});
