// A self-signed pair for 127.0.0.1, made anew for each run: the TLS subjects need one, and nobody
// else may trust it.

import { spawnSync } from "node:child_process";
import { join } from "node:path";

export interface CertificatePair {
  readonly certPath: string;
  readonly keyPath: string;
}

/** `undefined` when openssl is not installed: then TLS subjects are skipped. */
export function makeCertificate(directory: string): CertificatePair | undefined {
  const certPath = join(directory, "cert.pem");
  const keyPath = join(directory, "key.pem");
  const made = spawnSync(
    "openssl",
    [
      "req",
      "-x509",
      ...["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"],
      ...["-days", "2", "-subj", "/CN=localhost"],
      ...["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"],
      ...["-keyout", keyPath, "-out", certPath],
    ],
    { stdio: "ignore" },
  );
  return made.status === 0 ? { certPath, keyPath } : undefined;
}
