// Set up before every test file. A worker that runs several files evaluates this file for each of
// them, but what it imports only once.

import "./equal-buffers.ts";
import "./equal-fields.ts";
import "./spoil-reads.ts";
