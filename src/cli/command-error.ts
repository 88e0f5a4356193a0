// The failure of a command: one line, and the exit code of the process.

export const EXIT_OK = 0;
export const EXIT_FAILURE = 1;
const EXIT_USAGE = 2;

/** A failure that a user can act on. Its message says what was expected and what came. */
export class CommandError extends Error {
  override readonly name = "CommandError";
  readonly exitCode: number;

  constructor(message: string, options: { exitCode?: number; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.exitCode = options.exitCode ?? EXIT_FAILURE;
  }
}

/** The command line itself is wrong. */
export function usageError(message: string, cause?: unknown): CommandError {
  return new CommandError(message, { exitCode: EXIT_USAGE, cause });
}

/**
 * Runs `check`, which throws when the value of a flag is wrong.
 * @throws {CommandError} usage, naming the flag
 */
export function checkFlag<T>(flag: string, check: () => T): T {
  try {
    return check();
  } catch (error) {
    throw usageError(`--${flag}: ${messageOf(error)}`, error);
  }
}

/** The first line of what was thrown. */
export function messageOf(thrown: unknown): string {
  // A connection that failed on every address of a name is an AggregateError, which has a code and
  // no message.
  const text = thrown instanceof Error ? thrown.message || systemCode(thrown) : String(thrown);
  return text?.split("\n", 1)[0] ?? "";
}

/** `EADDRINUSE` and the like; `undefined` for what is no system error. */
export function systemCode(thrown: unknown): string | undefined {
  if (!(thrown instanceof Error) || !("code" in thrown)) return undefined;
  return typeof thrown.code === "string" ? thrown.code : undefined;
}
