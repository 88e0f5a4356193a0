// A self-signed certificate for 127.0.0.1 and `localhost`. It is made when the tests run, so there
// is no key in the repository, and no date on which the tests stop working. The DER (ITU-T X.690)
// is written by hand, as much as an X.509 certificate needs.

import { generateKeyPairSync, randomBytes, sign } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { closeAtEnd } from "./cleanup.ts";

export interface TestCertificate {
  readonly cert: string;
  readonly key: string;
}

/**
 * A new certificate whose subject is `commonName`. It is its own authority, so `cert` also serves
 * as `ca`.
 * @param expired a minute ago
 */
export function makeCertificate(commonName = "localhost", expired = false): TestCertificate {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "prime256v1" });
  const ecdsaWithSha256 = sequence(oid("1.2.840.10045.4.3.2"));
  const name = sequence(set(sequence(oid("2.5.4.3"), der(0x0c, Buffer.from(commonName)))));
  const year = 365 * 86_400_000;
  const tbs = sequence(
    der(0xa0, der(0x02, Buffer.from([2]))), // version 3
    der(0x02, Buffer.concat([Buffer.from([1]), randomBytes(15)])), // serial number
    ecdsaWithSha256,
    name,
    sequence(utcTime(Date.now() - year), utcTime(Date.now() + (expired ? -60_000 : year))),
    name,
    publicKey.export({ type: "spki", format: "der" }),
    der(
      0xa3,
      sequence(
        // basicConstraints: CA, so that OpenSSL takes it as a trust anchor.
        sequence(oid("2.5.29.19"), octets(sequence(der(0x01, Buffer.from([0xff]))))),
        // subjectAltName: commonName, localhost, 127.0.0.1
        sequence(
          oid("2.5.29.17"),
          octets(
            sequence(
              der(0x82, Buffer.from(commonName)),
              der(0x82, Buffer.from("localhost")),
              der(0x87, Buffer.from([127, 0, 0, 1])),
            ),
          ),
        ),
      ),
    ),
  );
  const signature = sign("sha256", tbs, privateKey);
  const certificate = sequence(
    tbs,
    ecdsaWithSha256,
    der(0x03, Buffer.concat([Buffer.from([0]), signature])),
  );
  return {
    cert: pem("CERTIFICATE", certificate),
    key: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
  };
}

function der(tag: number, ...contents: readonly Buffer[]): Buffer {
  const content = Buffer.concat(contents);
  const { length } = content;
  const header =
    length < 0x80
      ? [tag, length]
      : length < 0x100
        ? [tag, 0x81, length]
        : [tag, 0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from(header), content]);
}

function sequence(...contents: readonly Buffer[]): Buffer {
  return der(0x30, ...contents);
}

function set(...contents: readonly Buffer[]): Buffer {
  return der(0x31, ...contents);
}

function octets(content: Buffer): Buffer {
  return der(0x04, content);
}

function oid(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split(".").map(Number);
  const bytes = [first * 40 + second];
  for (const arc of rest) {
    const septets = [arc & 0x7f];
    for (let left = arc >> 7; left > 0; left >>= 7) septets.unshift((left & 0x7f) | 0x80);
    bytes.push(...septets);
  }
  return der(0x06, Buffer.from(bytes));
}

/** YYMMDDHHMMSSZ */
function utcTime(ms: number): Buffer {
  const text = new Date(ms).toISOString().replace(/[-:T]/g, "").slice(2, 14);
  return der(0x17, Buffer.from(`${text}Z`));
}

function pem(label: string, content: Buffer): string {
  const lines = content.toString("base64").match(/.{1,64}/g) ?? [];
  return [`-----BEGIN ${label}-----`, ...lines, `-----END ${label}-----`, ""].join("\n");
}

/** Makes a file with `text` that is removed at the end of the test. Returns its path. */
export function pemFile(name: string, text: string): string {
  const folder = mkdtempSync(join(tmpdir(), "relay-tls-"));
  closeAtEnd(() => rmSync(folder, { recursive: true }));
  const path = join(folder, `${name}.pem`);
  writeFileSync(path, text);
  return path;
}
