#!/usr/bin/env node
// The `grpc-relay` command: hands the process to src/cli/run.ts and knows nothing else.

import { run } from "./cli/run.ts";
import { processTerminal } from "./cli/terminal.ts";
import { workerNumber, workerTerminal } from "./cli/worker-terminal.ts";

// Not process.exit: what was printed has to leave first, and a handle that was left open should be
// noticed.
const number = workerNumber();
const own = processTerminal();
const terminal = number === undefined ? own : workerTerminal(number, own);
process.exitCode = await run(process.argv.slice(2), terminal);
terminal.end();
