#!/usr/bin/env node
// The `grpc-relay` command: hands the process to src/cli/run.ts and knows nothing else.

import { run } from "./cli/run.ts";
import { processTerminal } from "./cli/terminal.ts";

// Not process.exit: what was printed has to leave first, and a handle that was left open should be
// noticed.
process.exitCode = await run(process.argv.slice(2), processTerminal());
