// Checks values that users pass. The errors name what was expected and what came. A leaf.

import { warnOnce } from "./warn.ts";

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

/**
 * @param highest left out for no limit; Infinity is a number, too
 * @throws {RangeError} unless it is a number from `lowest` to `highest`
 */
export function checkNumber(
  name: string,
  value: unknown,
  lowest: number,
  highest: number = Number.POSITIVE_INFINITY,
): asserts value is number {
  if (typeof value === "number" && value >= lowest && value <= highest) return;
  throw outOfRange("a number", name, value, lowest, highest);
}

/** @throws {RangeError} unless it is an integer from `lowest` to `highest` */
export function checkInteger(
  name: string,
  value: unknown,
  lowest: number,
  highest: number = Number.POSITIVE_INFINITY,
): asserts value is number {
  if (Number.isInteger(value) && Number(value) >= lowest && Number(value) <= highest) return;
  throw outOfRange("an integer", name, value, lowest, highest);
}

function outOfRange(
  kind: string,
  name: string,
  value: unknown,
  lowest: number,
  highest: number,
): RangeError {
  const end = highest === Number.POSITIVE_INFINITY ? "up" : `to ${highest}`;
  return new RangeError(`${name}: expected ${kind} from ${lowest} ${end}, got ${shown(value)}`);
}

/** @throws {TypeError} unless it is `true` or `false`: `"false"` would be true */
export function checkBoolean(name: string, value: unknown): void {
  if (typeof value === "boolean") return;
  throw new TypeError(`${name}: expected true or false, got ${shown(value)}`);
}

/** @throws {TypeError} unless it is one of `values` */
export function checkOneOf(name: string, value: unknown, values: readonly string[]): void {
  if (typeof value === "string" && values.includes(value)) return;
  throw new TypeError(`${name}: expected one of ${values.join(", ")}, got ${shown(value)}`);
}

/**
 * Calls a listener of the user. An error that it throws is a defect of the program; no call and no
 * peer should suffer from it.
 */
export function tell(name: string, callback: () => void): void {
  try {
    callback();
  } catch (error) {
    warnOnce("callback", name, `${name} must not throw`, error);
  }
}
