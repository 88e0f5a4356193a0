import { describe, expect, it } from "vitest";
import { RecentHeads, RequestHead } from "../../src/server/request-head.ts";
import { fieldsOf, request } from "../support/frames.ts";

describe("RecentHeads", () => {
  const list = (method: number) => fieldsOf(request(`/test.Service/M${method}`));

  it("gives one head for one list, whoever it came from", () => {
    const heads = new RecentHeads();
    const [one, other] = [list(1), list(2)];
    const head = heads.of(one);
    expect(head.method).toBe("/test.Service/M1");
    expect(heads.of(other).method).toBe("/test.Service/M2");
    expect(heads.of(one)).toBe(head);
  });

  it("goes by the list object: an equal list may be of another call", () => {
    const heads = new RecentHeads();
    expect(heads.of(list(1))).not.toBe(heads.of(list(1)));
  });

  it("forgets the oldest when there are more than eight", () => {
    const heads = new RecentHeads();
    const lists = Array.from({ length: 9 }, (_, i) => list(i));
    const first = lists.map((fields) => heads.of(fields));
    const second = lists.slice(1).map((fields) => heads.of(fields));
    for (const [i, head] of second.entries()) expect(head).toBe(first[i + 1]);
    expect(heads.of(lists[0]!)).not.toBe(first[0]);
  });
});

describe("RequestHead", () => {
  it("knows the list that it was last sent on with, only for where that went", () => {
    const head = new RequestHead(fieldsOf(request("/test.Service/M")));
    const [here, there] = [{}, {}];
    const [one, other] = [fieldsOf(request("/a.B/C")), fieldsOf(request("/a.B/D"))];
    expect(head.forwarded(here)).toBeUndefined();
    head.keepForwarded(here, one);
    expect([head.forwarded(here), head.forwarded(there)]).toEqual([one, undefined]);
    expect(head.forwarded(here)).toBe(one);
    head.keepForwarded(there, other);
    expect(head.forwarded(here)).toBeUndefined();
    expect(head.forwarded(there)).toBe(other);
  });
});
