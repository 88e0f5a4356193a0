// A subject as the harness knows it: its name, how to start it, and how to find out whether it is
// installed.

import type { Launched, LaunchOptions } from "../process/launch.ts";

/** The groups that pictures tell apart. */
export type SubjectFamily = "floor" | "relay" | "node" | "native";

/** Where the subject finds its backend, and a place for its files. */
export interface SubjectSurroundings extends LaunchOptions {
  readonly backendPort: number;
  readonly backendTlsPort: number;
  /** `backendPort`, or the ports of all backends of the service. */
  readonly backendPorts: readonly number[];
  /** `cert.pem` and `key.pem` for 127.0.0.1, self-signed; for tests only. */
  readonly certificate: { readonly certPath: string; readonly keyPath: string };
  /** A folder that exists, is empty, and is removed at the end of the run. */
  readonly directory: string;
}

export interface RunningSubject {
  readonly port: number;
  /** `undefined` for `direct`: there is no process whose CPU time could be read. */
  readonly process: Launched | undefined;
}

export interface Subject {
  readonly id: string;
  readonly title: string;
  readonly family: SubjectFamily;
  /** The client speaks TLS to it. */
  readonly tls: boolean;
  /** It spreads calls over several backends, and takes part in scenarios that have several. */
  readonly spreads?: boolean;
  /** The program it needs, and the Debian package that brings it. */
  readonly needs?: { readonly program: string; readonly debianPackage: string };
  start(surroundings: SubjectSurroundings): Promise<RunningSubject>;
}
