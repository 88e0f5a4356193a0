// What the harness knows of a subject: how to find out whether it is here, how to start it, who it
// is.

import type { Launched, LaunchOptions } from "../process/launch.ts";

/** How subjects are told apart in pictures. */
export type SubjectFamily = "floor" | "relay" | "node" | "native";

/** Where the subject finds its backend, and a place for its files. */
export interface SubjectSurroundings extends LaunchOptions {
  readonly backendPort: number;
  readonly backendTlsPort: number;
  /** `cert.pem` and `key.pem` for 127.0.0.1, self-signed; for tests only. */
  readonly certificate: { readonly certPath: string; readonly keyPath: string };
  /** Exists, is empty, and goes away with the harness. */
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
  /** The program it needs, and the Debian package that brings it. */
  readonly needs?: { readonly program: string; readonly debianPackage: string };
  start(surroundings: SubjectSurroundings): Promise<RunningSubject>;
}
