// What users pass, checked: errors that name what was expected and what came. A leaf.

/** `value` as an error message shows it: strings quoted, anything large by its kind. */
export function shown(value: unknown): string {
  switch (typeof value) {
    case "string":
      return JSON.stringify(value);
    case "function":
      return "a function";
    case "object":
      if (value === null) return "null";
      return Array.isArray(value)
        ? "an array"
        : `an object (${value.constructor?.name ?? "no class"})`;
    default:
      return String(value);
  }
}

/** @throws {TypeError} unless it is an object that is no array */
export function checkObject(name: string, value: unknown): void {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return;
  throw new TypeError(`${name}: expected an object, got ${shown(value)}`);
}

/** @throws {TypeError} unless it is a function, or left out */
export function checkFunction(name: string, value: unknown): void {
  if (value === undefined || typeof value === "function") return;
  throw new TypeError(`${name}: expected a function, got ${shown(value)}`);
}

/** @throws {RangeError} unless it is a number from `lowest` up; Infinity is one */
export function checkNumber(name: string, value: unknown, lowest: number): asserts value is number {
  if (typeof value === "number" && value >= lowest) return;
  throw new RangeError(`${name}: expected a number from ${lowest} up, got ${shown(value)}`);
}

/**
 * For options that bound or protect: one that is misspelt would be missing without a word.
 * @throws {TypeError} for a name that is none of `known`
 */
export function checkNames(name: string, value: object, known: readonly string[]): void {
  for (const given of Object.keys(value)) {
    if (known.includes(given)) continue;
    throw new TypeError(
      `${name}: expected one of ${known.join(", ")}, got ${JSON.stringify(given)}`,
    );
  }
}

/** Calls what a user gave us to be told. What it throws is a defect of the program, and nothing that a call or a peer should suffer from. */
export function tell(name: string, callback: () => void): void {
  try {
    callback();
  } catch (error) {
    const detail = error instanceof Error ? (error.stack ?? error.message) : shown(error);
    warn(`${name} must not throw`, detail);
  }
}

/** Tells the process of a defect of the program that no call can be failed with. */
export function warn(message: string, detail: string): void {
  process.emitWarning(message, { type: "GrpcRelayWarning", detail });
}
