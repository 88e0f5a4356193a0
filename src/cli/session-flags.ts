// Flags of `serve` that say how its connections behave, on both of its sides.

import type { SessionOptions } from "../index.ts";
import { resolveSessionOptions } from "../transport/defaults.ts";
import { checkFlag } from "./command-error.ts";
import type { Flag, GivenFlags } from "./flags.ts";

/**
 * Whole numbers only, so that `1e3` and `0x10` are not taken for something else than they look
 * like.
 */
const WHOLE_NUMBER = /^[0-9]{1,10}$/;

const OPTION_OF_FLAG: Readonly<Record<string, keyof SessionOptions>> = {
  "max-header-bytes": "maxHeaderListBytes",
  "header-timeout-ms": "headerTimeoutMs",
  "settings-timeout-ms": "settingsTimeoutMs",
  "stall-timeout-ms": "stallTimeoutMs",
  "stream-stall-timeout-ms": "streamStallTimeoutMs",
};

export const sessionFlags: readonly Flag[] = [
  {
    name: "max-header-bytes",
    value: "BYTES",
    text: "largest headers or trailers to take, in bytes: name, value and 32 for each field\n(default 65536); a call with larger ones fails",
  },
  {
    name: "header-timeout-ms",
    value: "MS",
    text: "how long headers or trailers that have begun may take to come as a whole, in\nmilliseconds (default 10000; only with --transport engine)",
  },
  {
    name: "settings-timeout-ms",
    value: "MS",
    text: "how long a client or backend may take to acknowledge our SETTINGS, in milliseconds\n(default 60000: old gRPC C-core backends do it with their first answer)",
  },
  {
    name: "stall-timeout-ms",
    value: "MS",
    text: "how long the socket of a client or backend may take no byte of what waits for it,\nin milliseconds (default 60000); then the connection ends",
  },
  {
    name: "stream-stall-timeout-ms",
    value: "MS",
    text: "how long a client or backend may give no room to a single stream for which\nsomething waits, in milliseconds (default no limit); then the stream is reset",
  },
];

/**
 * The options that were given as flags.
 * @throws {CommandError} usage, naming the flag
 */
export function sessionOptions(flags: GivenFlags): SessionOptions {
  const given: Record<string, number> = {};
  for (const [flag, option] of Object.entries(OPTION_OF_FLAG)) {
    const text = flags.one(flag);
    if (text === undefined) continue;
    given[option] = checkFlag(flag, () => numberOf(option, text));
  }
  return given;
}

function numberOf(option: keyof SessionOptions, text: string): number {
  if (!WHOLE_NUMBER.test(text)) {
    throw new RangeError(`expected a whole number, got ${JSON.stringify(text)}`);
  }
  const value = Number(text);
  try {
    resolveSessionOptions({ [option]: value });
  } catch (error) {
    // Its message begins with the name of the option, which the flag stands for.
    throw error instanceof RangeError
      ? new RangeError(error.message.slice(`${option}: `.length), { cause: error })
      : error;
  }
  return value;
}
