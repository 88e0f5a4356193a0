// Set up before every test: header fields are compared by their content. The notes of an encoder
// and of the rules on them depend on who had them before, and some fields are one object for
// everybody.

import { expect } from "vitest";
import { HeaderField } from "../../src/wire/field.ts";

expect.addEqualityTesters([
  (a: unknown, b: unknown): boolean | undefined =>
    a instanceof HeaderField && b instanceof HeaderField
      ? a.name === b.name && a.value === b.value && a.sensitive === b.sensitive
      : undefined,
]);
