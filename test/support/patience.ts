// How long a test waits before it fails. The awaited event comes at once or never, so only a
// failure costs the time: seconds at a desk. The machines of CI may have much else to do.

import { availableParallelism, loadavg } from "node:os";

const ON_CI = process.env["CI"] !== undefined;

/** How many processes share each processor. All waits take that much longer. */
const CROWD = Math.max(1, (loadavg()[0] ?? 0) / availableParallelism());

/** The limit for events within this process, in milliseconds. */
export const WAIT_LIMIT_MS: number = ON_CI ? 20_000 : Math.round(2_000 * CROWD);

/**
 * The limit for a whole test that gives no limit of its own, in milliseconds. It is longer than a
 * wait, because a wait that fails names the awaited event.
 */
export const TEST_LIMIT_MS: number = ON_CI ? 60_000 : 2.5 * WAIT_LIMIT_MS;

/** The limit for another process, which has to be started first, in milliseconds. */
export const PROCESS_LIMIT_MS: number = ON_CI ? 45_000 : 5 * WAIT_LIMIT_MS;
