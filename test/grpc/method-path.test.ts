import { expect, it } from "vitest";
import {
  isMethodPath,
  isMethodPathPart,
  isReceivedMethodPath,
} from "../../src/grpc/method-path.ts";

it.each<[string, boolean, boolean]>([
  ["/pkg.Service/Method", true, true],
  ["/S/M", true, true],
  ["/a/b/Method", false, true],
  ["/pkg.Service/", false, true],
  ["//Method", false, true],
  ["/pkg.Service/a b", false, true],
  ["/pkg.Service", false, false],
  ["pkg.Service/Method", false, false],
  ["/", false, false],
  ["", false, false],
])("%j is a name to call: %s; to receive: %s", (path, ours, received) => {
  expect([isMethodPath(path), isReceivedMethodPath(path)]).toEqual([ours, received]);
});

it.each<[string, boolean]>([
  ["pkg.Service", true],
  ["M", true],
  ["", false],
  ["a/b", false],
  ["a b", false],
  ["a\n", false],
])("%j is a part of one: %s", (name, expected) => {
  expect(isMethodPathPart(name)).toBe(expected);
  expect(isMethodPath(`/S/${name}`)).toBe(expected);
});
