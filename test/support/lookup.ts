// The resolver of the system, played by a test.

import dns from "node:dns";
import { onTestFinished } from "vitest";

type Callback = (
  error: Error | null,
  addresses?: readonly { readonly address: string; readonly family: number }[],
) => void;

/** Gives every name these IPv4 addresses, or this error, until the test has finished. */
export function answerLookups(answer: readonly string[] | Error): void {
  const original = dns.lookup;
  Reflect.set(dns, "lookup", (_host: string, _options: unknown, callback: Callback): void => {
    if (answer instanceof Error) setImmediate(callback, answer);
    else
      setImmediate(
        callback,
        null,
        answer.map((address) => ({ address, family: 4 })),
      );
  });
  onTestFinished(() => {
    Reflect.set(dns, "lookup", original);
  });
}
