import { describe, expect, it } from "vitest";
import { HeaderField } from "../../src/wire/field.ts";
import {
  CONTENT_LENGTH,
  CONTENT_TYPE,
  classifyJudged,
  classOf,
  describeRefusal,
  HOST,
  HTTP2_SETTINGS,
  PSEUDO_AUTHORITY,
  PSEUDO_METHOD,
  PSEUDO_PATH,
  PSEUDO_SCHEME,
  PSEUDO_STATUS,
  REGULAR,
  tidied,
  UNTIDY,
} from "../../src/wire/field-rules.ts";

describe("the class of a field", () => {
  it.each([
    [":method", "GET", PSEUDO_METHOD],
    [":scheme", "https", PSEUDO_SCHEME],
    [":path", "/a", PSEUDO_PATH],
    [":authority", "a.test:1", PSEUDO_AUTHORITY],
    [":authority", "unix:a@b c", PSEUDO_AUTHORITY],
    [":status", "404", PSEUDO_STATUS],
    ["te", "trailers", REGULAR],
    ["te", "Trailers", UNTIDY],
    ["xy", "", REGULAR],
    ["host", "a", HOST],
    ["date", "a", REGULAR],
    ["content-type", "a", CONTENT_TYPE],
    ["grpc-timeout", "1S", REGULAR],
    ["content-length", "12", CONTENT_LENGTH],
    ["http2-settings", "a", HTTP2_SETTINGS],
    ["x-two-settings", "a", REGULAR],
    ["x", "a ", UNTIDY],
    ["x", "a b", REGULAR],
  ])("%s: %j is %i, whoever has looked at its octets", (name, value, expected) => {
    expect(classOf(new HeaderField(name, value))).toBe(expected);
    const judged = new HeaderField(name, value);
    classifyJudged(judged);
    expect(judged.ruleClass).toBe(expected);
    expect(classOf(judged)).toBe(expected);
  });

  it.each([
    [":method", "G T", 'bad value of field ":method": expected a token'],
    [
      ":path",
      "/a#b",
      'bad value of field ":path": it is empty, or has a space, a tab or a fragment',
    ],
    [":authority", "a@b", 'bad value of field ":authority": userinfo, a space or a tab'],
    [":status", "099", 'bad value of field ":status": expected three digits'],
    [":other", "", 'unknown pseudo-header field ":other"'],
    ["te", "gzip", 'connection-specific field "te": only "trailers" may pass'],
    ["content-length", "-1", 'bad value of field "content-length": expected digits'],
    ["upgrade", "h2c", 'connection-specific field "upgrade"'],
  ])("%s: %j is refused, whoever has looked at its octets", (name, value, refusal) => {
    const field = new HeaderField(name, value);
    classOf(field);
    expect(describeRefusal(field)).toBe(refusal);
    const judged = new HeaderField(name, value);
    classifyJudged(judged);
    expect(describeRefusal(judged)).toBe(refusal);
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
