// What is known of a list: one verdict for each, which others do not change. The rules themselves
// are tested on connections (test/h2/messages.test.ts).

import { describe, expect, it } from "vitest";
import type { HeaderList } from "../../src/wire/field.ts";
import { NO_LENGTH, RECEIVED, SENT, type Verdict } from "../../src/wire/message-rules.ts";
import { fieldsOf, request, response, trailers } from "../support/frames.ts";

type Kind = "request" | "response" | "trailers";

const LISTS: readonly [Kind, HeaderList, HeaderList][] = [
  ["request", fieldsOf(request("/a/B")), fieldsOf(request("/c/D", ["content-length", "5"]))],
  [
    "response",
    fieldsOf(response()),
    fieldsOf([
      [":status", "204"],
      ["content-length", "5"],
    ]),
  ],
  ["trailers", fieldsOf(trailers(0)), fieldsOf(trailers(5))],
];

describe.each([
  ["received", RECEIVED],
  ["sent", SENT],
] as const)("a list that is %s", (_, rules) => {
  it.each(LISTS)("and comes again has the verdict that it had: %s", (kind, list, other) => {
    const verdict = rules[kind](list);
    expect(verdict.list).toBe(list);
    expect(rules[kind](list)).toBe(verdict);
    // Others may come in between, of its kind or not.
    for (const [otherKind, otherList] of LISTS) if (otherKind !== kind) rules[otherKind](otherList);
    expect(rules[kind](list)).toBe(verdict);
    rules[kind](other);
    expect(rules[kind](list)).toStrictEqual(verdict);
  });

  it("leaves the verdict of another as it was", () => {
    const verdicts: Verdict[] = [];
    const copies: Verdict[] = [];
    for (const [kind, ...lists] of LISTS) {
      for (const list of lists) {
        const verdict = rules[kind](list);
        verdicts.push(verdict);
        copies.push({ ...verdict });
      }
    }
    rules.request(fieldsOf([[":method", "HEAD"]]));
    rules.response(fieldsOf([[":status", "101"]]));
    expect(verdicts.map((verdict) => ({ ...verdict }))).toEqual(copies);
    expect(verdicts.map(({ contentLength, status }) => [contentLength, status])).toEqual([
      [NO_LENGTH, 0],
      [5, 0],
      [NO_LENGTH, 200],
      [5, 204],
      [NO_LENGTH, 0],
      [NO_LENGTH, 0],
    ]);
  });

  it("and is malformed is malformed each time that it comes", () => {
    const malformed = fieldsOf([[":status", "200"]]);
    for (const kind of ["request", "trailers"] as const) {
      expect(rules[kind](malformed).problem).toBe(":status does not belong here");
      expect(rules[kind](malformed).problem).toBe(":status does not belong here");
    }
    expect(rules.response(malformed).problem).toBe(undefined);
  });

  it("asks for HEAD where it says so, also when it comes again", () => {
    const head = fieldsOf([
      [":method", "HEAD"],
      [":scheme", "http"],
      [":path", "/"],
    ]);
    expect([rules.request(head).isHead, rules.request(head).isHead]).toEqual([true, true]);
    expect(rules.trailers(fieldsOf(trailers(0))).isHead).toBe(false);
    expect(rules.request(fieldsOf(request("/a/B"))).isHead).toBe(false);
  });
});

it("a received list that had to be mended goes on as the same list each time, which is known then", () => {
  const untidy = fieldsOf(request("/a/B", ["x-blank", " value "]));
  const { list, problem } = RECEIVED.request(untidy);
  expect([problem, list === untidy]).toEqual([undefined, false]);
  expect(RECEIVED.request(untidy).list).toBe(list);
  expect(RECEIVED.request(list).list).toBe(list);
});

it("only what is sent is measured — RFC 9113 §6.5.2", () => {
  const list = fieldsOf([["grpc-status", "0"]]);
  expect(SENT.trailers(list).listBytes).toBe(11 + 1 + 32);
  expect(RECEIVED.trailers(list).listBytes).toBe(0);
});
