// Set up before every test: buffers are compared as buffers. `toEqual` would look at them octet by
// octet, in JavaScript: seconds for the larger ones.

import { expect } from "vitest";

expect.addEqualityTesters([
  (a: unknown, b: unknown): boolean | undefined =>
    Buffer.isBuffer(a) && Buffer.isBuffer(b) ? a.equals(b) : undefined,
]);
