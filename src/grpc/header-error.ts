// What the client reads when header fields could not be sent. Which ones is for operators where
// another's text says it.

import { HeaderError } from "../wire/field.ts";

/** @param what of the call cannot be sent */
export function headerErrorDetails(what: string, error: unknown): string {
  return error instanceof HeaderError && error.cause === undefined
    ? `${what} cannot be sent: ${error.message}`
    : `${what} cannot be sent`;
}
