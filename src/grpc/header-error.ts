// The text for the client when header fields could not be sent. If the text of a foreign error
// names the fields, the names are only for operators.

import { HeaderError } from "../wire/field.ts";

/** @param what the part of the call that cannot be sent */
export function headerErrorDetails(what: string, error: unknown): string {
  return error instanceof HeaderError && error.cause === undefined
    ? `${what} cannot be sent: ${error.message}`
    : `${what} cannot be sent`;
}
