import { describe, expect, it, vi } from "vitest";
import {
  asTrailersOnly,
  forwardableResponseHeaders,
  judgeResponse,
  ResponseJudge,
  withoutStatus,
} from "../../src/grpc/response-head.ts";
import { HeaderField, type HeaderList } from "../../src/wire/field.ts";

type Pair = readonly [string, string];

function list(...pairs: Pair[]): HeaderList {
  return pairs.map(([name, value]) => new HeaderField(name, value));
}

function pairs(fields: HeaderList): Pair[] {
  return fields.map(({ name, value }) => [name, value]);
}

const OK: Pair = [":status", "200"];
const GRPC: Pair = ["content-type", "application/grpc"];
const PROTO: Pair = ["content-type", "application/grpc+proto"];
const HTML: Pair = ["content-type", "text/html"];
const NOT_FOUND: Pair = ["grpc-status", "5"];

describe("the head of a response", () => {
  it.each([
    ["of gRPC", [OK, PROTO], "open"],
    ["of gRPC, with a status", [OK, PROTO, NOT_FOUND], "held"],
    ["of another type, with a status", [OK, HTML, NOT_FOUND], "complete"],
    ["of an HTTP error, with a status", [[":status", "503"], GRPC, NOT_FOUND], "complete"],
    ["of another type", [OK, HTML], { httpStatus: "200", contentType: "text/html" }],
    ["of no type", [OK], { httpStatus: "200", contentType: undefined }],
    [
      "of an HTTP error of gRPC",
      [[":status", "503"], GRPC],
      { httpStatus: "503", contentType: "application/grpc" },
    ],
    ["of nothing", [], { httpStatus: "", contentType: undefined }],
  ] satisfies [string, Pair[], unknown][])("%s is judged", (_, head, expected) => {
    expect(judgeResponse(list(...head))).toEqual(expected);
  });

  it("that was held loses all that says how the call went", () => {
    const held = list(
      OK,
      GRPC,
      NOT_FOUND,
      ["grpc-message", "no"],
      ["grpc-status-details-bin", ""],
      ["x-a", "1"],
    );
    expect(pairs(withoutStatus(held))).toEqual([OK, GRPC, ["x-a", "1"]]);
  });

  it("goes on without content-length, and is the same list where it has none", () => {
    const plain = list(OK, GRPC);
    expect(forwardableResponseHeaders(plain)).toBe(plain);
    const counted = list(OK, ["content-length", "5"], GRPC);
    expect(pairs(forwardableResponseHeaders(counted))).toEqual([OK, GRPC]);
  });
});

describe("what reports the outcome of a call", () => {
  it("is the same list when it is trailers, or a Trailers-Only response", () => {
    for (const fields of [[], list(NOT_FOUND), list(OK, PROTO, NOT_FOUND)]) {
      expect(asTrailersOnly(fields)).toBe(fields);
    }
  });

  it.each([
    ["another HTTP status", [[":status", "503"], PROTO, NOT_FOUND], PROTO],
    ["another type", [OK, HTML, NOT_FOUND], GRPC],
    ["no type", [OK, NOT_FOUND], GRPC],
    ["a body", [OK, PROTO, ["content-length", "5"], NOT_FOUND], PROTO],
  ] satisfies [string, Pair[], Pair][])(
    "is a Trailers-Only response whatever is around it: %s",
    (_, fields, type) => {
      const made = pairs(asTrailersOnly(list(...fields)));
      expect(made[0]).toEqual(OK);
      expect(made.slice(1).sort()).toEqual([type, NOT_FOUND].sort());
    },
  );
});

describe("the judge of a backend's responses", () => {
  it("judges a list as if it were alone", () => {
    const judge = new ResponseJudge();
    expect(judge.judge(list(OK, GRPC))).toBe("plain");
    expect(judge.judge(list(OK, ["content-length", "5"], GRPC))).toBe("open");
    expect(judge.judge(list(OK, GRPC, NOT_FOUND))).toBe("held");
    expect(judge.judge(list([":status", "503"], GRPC))).toMatchObject({ httpStatus: "503" });
  });

  it("looks at a plain list once, however often it comes", () => {
    const judge = new ResponseJudge();
    const seen = vi.fn((fields: HeaderField[], index: string) => Reflect.get(fields, index));
    const fields = new Proxy(list(OK, GRPC) as HeaderField[], { get: seen });
    expect(judge.judge(fields)).toBe("plain");
    seen.mockClear();
    expect(judge.judge(fields)).toBe("plain");
    expect(seen).not.toHaveBeenCalled();
  });

  it("looks again at a list that is not plain", () => {
    const judge = new ResponseJudge();
    const held = list(OK, GRPC, NOT_FOUND);
    expect([judge.judge(held), judge.judge(held)]).toEqual(["held", "held"]);
  });
});
