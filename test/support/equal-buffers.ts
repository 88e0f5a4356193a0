// Set up before every test: buffers are compared as buffers. `toEqual` would compare them octet by
// octet, in JavaScript, which takes seconds for the larger ones.

import { expect } from "vitest";

expect.addEqualityTesters([
  (a: unknown, b: unknown): boolean | undefined =>
    Buffer.isBuffer(a) && Buffer.isBuffer(b) ? a.equals(b) : undefined,
]);
