// How long a test waits before it fails. What it waits for comes at once or never, so that only a
// failure costs the time: seconds at a desk. The machines of CI may have much else to do.

import { availableParallelism, loadavg } from "node:os";

const ON_CI = process.env["CI"] !== undefined;

/** How many processes share each processor: all of this takes that much longer. */
const CROWD = Math.max(1, (loadavg()[0] ?? 0) / availableParallelism());

/** For what this process does, in milliseconds. */
export const WAIT_LIMIT_MS: number = ON_CI ? 20_000 : Math.round(2_000 * CROWD);

/**
 * For a whole test that gives no limit of its own, in milliseconds: a wait in it that fails says
 * itself what it waited for.
 */
export const TEST_LIMIT_MS: number = ON_CI ? 60_000 : 2.5 * WAIT_LIMIT_MS;

/** For another process, which has to be started first, in milliseconds. */
export const PROCESS_LIMIT_MS: number = ON_CI ? 45_000 : 5 * WAIT_LIMIT_MS;
