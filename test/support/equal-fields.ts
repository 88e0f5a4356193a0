// Set up before every test: header fields are compared by what they say. What an encoder and the
// rules have noted on them depends on who had them before, and some are one object for everybody.

import { expect } from "vitest";
import { HeaderField } from "../../src/wire/field.ts";

expect.addEqualityTesters([
  (a: unknown, b: unknown): boolean | undefined =>
    a instanceof HeaderField && b instanceof HeaderField
      ? a.name === b.name && a.value === b.value && a.sensitive === b.sensitive
      : undefined,
]);
