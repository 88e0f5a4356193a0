import { describe, expect, it } from "vitest";
import { parseFlags, UsageError } from "./flags.ts";

const KNOWN = {
  scenarioIds: ["unary_32b_1x1", "unary_32b_8x32", "bidi_100b_8x4x1"],
  subjectIds: ["direct", "relay-engine", "relay-node", "nghttpx"],
  rowIds: ["unary_32b_8x32", "unary_1mb_4x4", "unary_32b_8x32_tls"],
};

describe("parseFlags()", () => {
  it("takes everything, five rounds of a second, when nothing is said", () => {
    expect(parseFlags([], KNOWN)).toMatchObject({
      scenarioIds: KNOWN.scenarioIds,
      subjectIds: KNOWN.subjectIds,
      guard: undefined,
      subjectsNamed: false,
      rounds: 5,
      seconds: 1,
      pin: true,
      smoke: false,
    });
  });

  it("expands * and keeps the order of the tables", () => {
    const flags = parseFlags(["--scenario", "bidi*,unary_*8x32", "--subject=relay-*"], KNOWN);
    expect(flags.scenarioIds).toEqual(["unary_32b_8x32", "bidi_100b_8x4x1"]);
    expect(flags.subjectIds).toEqual(["relay-engine", "relay-node"]);
  });

  it("shortens a smoke run, but not against the user's word", () => {
    expect(parseFlags(["--smoke"], KNOWN)).toMatchObject({ rounds: 1, seconds: 0.3 });
    expect(parseFlags(["--smoke", "--rounds", "4"], KNOWN)).toMatchObject({ rounds: 4 });
  });

  it("guards every row, fifteen rounds of half a second, when only the base is named", () => {
    expect(parseFlags(["--guard", "HEAD~3"], KNOWN).guard).toEqual({
      baseRevision: "HEAD~3",
      rowIds: KNOWN.rowIds,
      rounds: 15,
      seconds: 0.5,
    });
    const chosen = ["--rows", "unary_32b*", "--rounds=30", "--seconds=1", "--json", "guard.json"];
    expect(parseFlags(["--guard=main", ...chosen], KNOWN)).toMatchObject({
      guard: { rowIds: ["unary_32b_8x32", "unary_32b_8x32_tls"], rounds: 30, seconds: 1 },
      jsonPath: "guard.json",
    });
  });

  it.each([
    [["--wat"], /unknown option --wat/],
    [["--wat=3"], /unknown option --wat;/],
    [["surprise"], /surprise/],
    [["--rounds"], /--rounds/],
    [["--rounds", "0"], /--rounds: expected an integer from 1 to 1000, got "0"/],
    [["--rounds", "2.5"], /--rounds: expected an integer/],
    [["--rounds", "--smoke"], /--rounds/],
    [["--seconds", "-1"], /--seconds/],
    [["--seconds=abc"], /--seconds: expected a number above 0, got "abc"/],
    [["--rate", "0"], /--rate: expected a number above 0/],
    [["--scenario", "unary_32b"], /--scenario: nothing is called "unary_32b"/],
    [["--scenario", "unary.32b.1x1"], /nothing is called/],
    [["--subject", "envoy"], /--subject: nothing is called "envoy"/],
    [["--subject", ""], /--subject: nothing is called ""/],
    [["--base", "envoy"], /--base: nothing is called "envoy"/],
    [["--base", "direct"], /--base direct: it has no process/],
    [["--base", "nghttpx", "--subject", "direct"], /--base nghttpx is not among the subjects/],
    [["--backend", "go"], /--backend: expected lean or grpc-js, got "go"/],
    [["--load", "wrk"], /--load: expected h2load or generator/],
    [["--json", ""], /--json: expected a file name/],
    [["--guard"], /--guard/],
    [["--guard", ""], /--guard: expected a revision, got ""/],
    [["--guard=--all"], /--guard: expected a revision, got "--all"/],
    [["--guard", "main", "--rows", "unary_32b_1x1"], /--rows: nothing is called "unary_32b_1x1"/],
    [["--guard", "main", "--rounds", "0"], /--rounds: expected an integer from 1 to 1000/],
    [["--guard", "main", "--smoke"], /--smoke: not with --guard/],
    [["--guard", "main", "--scenario", "bidi*"], /--scenario: not with --guard/],
    [["--rows", "unary_1mb_4x4"], /--rows: only with --guard BASE/],
  ])("refuses %j in one line", (argv, expected) => {
    const attempt = (): unknown => parseFlags(argv, KNOWN);
    expect(attempt).toThrow(UsageError);
    expect(attempt).toThrow(expected);
    expect(attempt).not.toThrow(/\n/);
  });
});
