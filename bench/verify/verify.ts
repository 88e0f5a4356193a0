// Runs the checks against one subject.

import type { Transport } from "../../src/transport/transport.ts";
import { CHECKS } from "./checks.ts";
import { CheckFailure, Probe, type ProbeTarget } from "./probe.ts";

export interface Verdict {
  /** Required checks that failed: the subject is not timed. */
  readonly failures: readonly string[];
  /** Other duties that it neglects. */
  readonly defects: readonly string[];
}

export interface VerifyOptions {
  readonly subject: ProbeTarget;
  readonly backend: ProbeTarget;
  /** How long one answer may take. @default 5_000 */
  readonly limitMs?: number;
}

export async function verify(transport: Transport, options: VerifyOptions): Promise<Verdict> {
  const limitMs = options.limitMs ?? 5_000;
  const failures: string[] = [];
  const defects: string[] = [];
  const backend = await Probe.connect(transport, options.backend, limitMs);
  try {
    for (const check of CHECKS) {
      // Each check has a connection of its own, so that a connection broken by one does not fail
      // the next.
      let subject: Probe | undefined;
      try {
        subject = await Probe.connect(transport, options.subject, limitMs);
        await check.run({ subject, backend, limitMs });
      } catch (error) {
        if (!(error instanceof CheckFailure)) throw error;
        (check.required ? failures : defects).push(`${check.id}: ${error.message}`);
      } finally {
        subject?.close();
      }
    }
  } finally {
    backend.close();
  }
  return { failures, defects };
}
