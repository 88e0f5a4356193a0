import { expect, it } from "vitest";
import { CLIENT_TLS_OPTIONS, SERVER_TLS_OPTIONS } from "../../src/transport/tls.ts";
import { makeCertificate } from "../support/certificate.ts";

const { cert, key } = makeCertificate();

it.each([
  ["ca", { ca: "/etc/ssl/ca.pem" }],
  ["ca", { ca: [cert, "ca.pem"] }],
  ["ca", { ca: "C:\\certs\\ca.crt" }],
  ["cert", { cert: "./server.pem", key }],
  ["key", { cert, key: "keys/server.key" }],
  ["crl", { crl: "/etc/ssl/crl.pem" }],
])("the name of a file for tls.%s is told to be read first", (name, tls) => {
  for (const table of [CLIENT_TLS_OPTIONS, SERVER_TLS_OPTIONS]) {
    expect(() => table.check(tls)).toThrow(
      `tls.${name}: expected what is in a PEM file (-----BEGIN ...), got "`,
    );
    expect(() => table.check(tls)).toThrow(": a file has to be read first");
  }
});

it.each(["", "no certificate", Buffer.alloc(0), Buffer.from("3082", "hex")])(
  "a ca that OpenSSL would take nothing from is refused: %j",
  (ca) => {
    expect(() => CLIENT_TLS_OPTIONS.check({ ca })).toThrow("got none of that");
  },
);

it("what is in the files passes, as text or bytes", () => {
  const bytes = { cert: Buffer.from(cert), key: new Uint8Array(Buffer.from(key)) };
  for (const tls of [
    { cert, key, ca: [cert] },
    { ...bytes, ca: Buffer.from(cert) },
  ]) {
    expect(() => CLIENT_TLS_OPTIONS.check(tls)).not.toThrow();
    expect(() => SERVER_TLS_OPTIONS.check(tls)).not.toThrow();
  }
});
