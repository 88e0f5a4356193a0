// What a failed socket says, as text.

/** A name with several addresses fails with an AggregateError, whose own message is empty. */
export function errorText(error: Error): string {
  if (error.message !== "" || !("errors" in error) || !Array.isArray(error.errors)) {
    return error.message;
  }
  return error.errors
    .map((each) => (each instanceof Error ? each.message : String(each)))
    .join("; ");
}
