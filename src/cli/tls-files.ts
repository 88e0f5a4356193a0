// The PEM files that `serve` is given: read, checked as a whole, and read again when they change.

import { readFile } from "node:fs/promises";
import { createSecureContext } from "node:tls";
import type { ClientTlsOptions, ServerTlsOptions } from "../index.ts";
import { opensslReason } from "../transport/tls.ts";
import { CommandError, messageOf, usageError } from "./command-error.ts";
import type { Flag, GivenFlags } from "./flags.ts";

export const serverTlsFlags: readonly Flag[] = [
  { name: "tls-cert", value: "FILE", text: "listen with TLS: certificate chain, PEM" },
  { name: "tls-key", value: "FILE", text: "and its private key, PEM" },
  {
    name: "tls-client-ca",
    value: "FILE",
    text: "take only clients with a certificate of these authorities (mutual TLS), PEM",
  },
];

export const backendTlsFlags: readonly Flag[] = [
  {
    name: "backend-tls",
    text: "reach backends and secondaries with TLS; without --backend-ca the authorities\nthat Node.js knows are trusted",
  },
  { name: "backend-ca", value: "FILE", text: "authorities to trust instead, PEM" },
  { name: "backend-cert", value: "FILE", text: "certificate chain to show to backends, PEM" },
  { name: "backend-key", value: "FILE", text: "and its private key, PEM" },
  {
    name: "backend-server-name",
    value: "NAME",
    text: "name that backends are asked for and that their certificate has to have\n(default the host of the target)",
  },
];

/** The files of one side. */
export interface TlsFiles<Options> {
  readonly paths: readonly string[];
  /**
   * Reads all of them.
   * @throws {CommandError} naming the flag, what was expected and what came
   */
  read(): Promise<Options>;
}

/** @throws {CommandError} usage, when flags are missing that belong together */
export function serverTlsFiles(flags: GivenFlags): TlsFiles<ServerTlsOptions> | undefined {
  const pair = pairOf(flags, "tls-cert", "tls-key");
  const ca = flags.one("tls-client-ca");
  if (pair === undefined) {
    if (ca === undefined) return undefined;
    throw usageError("expected --tls-cert FILE beside --tls-client-ca, got none");
  }
  return {
    paths: [...pair.paths, ...(ca === undefined ? [] : [ca])],
    read: async () => {
      const material = await pair.read();
      if (ca === undefined) return material;
      const clientCa = await readAuthorities("tls-client-ca", ca);
      return { ...material, ca: clientCa, requestCert: true };
    },
  };
}

/** @throws {CommandError} usage, when flags are missing that belong together */
export function backendTlsFiles(flags: GivenFlags): TlsFiles<ClientTlsOptions> | undefined {
  if (!flags.has("backend-tls")) {
    const given = backendTlsFlags.find(({ name }) => flags.has(name));
    if (given === undefined) return undefined;
    throw usageError(`expected --backend-tls beside --${given.name}, got none`);
  }
  const pair = pairOf(flags, "backend-cert", "backend-key");
  const ca = flags.one("backend-ca");
  const serverName = flags.one("backend-server-name");
  return {
    paths: [...(pair?.paths ?? []), ...(ca === undefined ? [] : [ca])],
    read: async () => ({
      ...(await pair?.read()),
      ...(ca === undefined ? {} : { ca: await readAuthorities("backend-ca", ca) }),
      ...(serverName === undefined ? {} : { serverName }),
    }),
  };
}

interface Pair {
  readonly cert: Buffer;
  readonly key: Buffer;
}

function pairOf(flags: GivenFlags, certFlag: string, keyFlag: string): TlsFiles<Pair> | undefined {
  const certPath = flags.one(certFlag);
  const keyPath = flags.one(keyFlag);
  if (certPath === undefined && keyPath === undefined) return undefined;
  if (certPath === undefined || keyPath === undefined) {
    const [given, missing] = certPath === undefined ? [keyFlag, certFlag] : [certFlag, keyFlag];
    throw usageError(`expected --${missing} FILE beside --${given}, got none`);
  }
  return {
    paths: [certPath, keyPath],
    read: async () => {
      const pair = {
        cert: await readPem(certFlag, certPath),
        key: await readPem(keyFlag, keyPath),
      };
      check(pair, (reason) => {
        const flagNames = `--${certFlag}, --${keyFlag}`;
        return `${flagNames}: expected a certificate chain and its private key, as PEM and not encrypted, got ${certPath} and ${keyPath}: ${reason}`;
      });
      return pair;
    },
  };
}

async function readAuthorities(flag: string, path: string): Promise<Buffer> {
  const ca = await readPem(flag, path);
  // OpenSSL takes a file without a certificate for an empty list, which trusts nobody.
  if (!ca.includes("-----BEGIN ")) {
    throw new CommandError(`--${flag}: expected certificates as PEM, got none in ${path}`);
  }
  check({ ca }, (reason) => `--${flag}: expected certificates as PEM, got ${path}: ${reason}`);
  return ca;
}

/** Listening and connecting would do this, too, and blame the address. */
function check(material: ServerTlsOptions, text: (reason: string) => string): void {
  try {
    createSecureContext(material);
  } catch (error) {
    throw new CommandError(text(opensslReason(error)), { cause: error });
  }
}

async function readPem(flag: string, path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (error) {
    throw new CommandError(
      `--${flag}: expected a file that can be read, got ${path}: ${messageOf(error)}`,
      { cause: error },
    );
  }
}
