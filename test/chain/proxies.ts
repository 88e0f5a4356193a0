// Proxies that people put before and behind a relay, as Debian has them and nearly as they come:
// plain HTTP/2 on both sides. They listen on UNIX sockets, because a port that was free a moment
// ago may be somebody else's when it is listened on.

import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { launchProgram } from "../../bench/process/launch.ts";
import { closeAtEnd } from "../support/cleanup.ts";

export interface Proxy {
  readonly name: string;
  readonly program: string;
  readonly debianPackage: string;
  /** Writes what it needs to `folder`. @returns its arguments */
  readonly prepare: (folder: string, path: string, target: string) => readonly string[];
}

const nginx: Proxy = {
  name: "nginx (grpc_pass)",
  program: "nginx",
  debianPackage: "nginx-light",
  prepare(folder, path, target) {
    const temporary = join(folder, "temporary");
    mkdirSync(temporary);
    const paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(
      (kind) => `${kind}_temp_path ${temporary};`,
    );
    const configuration = join(folder, "nginx.conf");
    writeFileSync(
      configuration,
      `daemon off; master_process off; worker_processes 1;
pid ${folder}/pid; error_log stderr error;
events { worker_connections 1000; }
http {
  access_log off; ${paths.join(" ")}
  upstream next { server ${target}; keepalive 10; }
  server {
    listen unix:${path} http2;
    location / { grpc_pass grpc://next; }
  }
}
`,
    );
    // Its error log of compiled-in path would come before the file is read.
    return ["-e", "/dev/stderr", "-p", folder, "-c", configuration];
  },
};

const haproxy: Proxy = {
  name: "HAProxy",
  program: "haproxy",
  debianPackage: "haproxy",
  prepare(folder, path, target) {
    const configuration = join(folder, "haproxy.cfg");
    writeFileSync(
      configuration,
      `global
  nbthread 1
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend downstream
  bind unix@${path} proto h2
  default_backend upstream
backend upstream
  server next ${target} proto h2
`,
    );
    return ["-db", "-q", "-f", configuration];
  },
};

const nghttpx: Proxy = {
  name: "nghttpx",
  program: "nghttpx",
  debianPackage: "nghttp2-proxy",
  prepare: (_folder, path, target) => [
    ...["--conf=/dev/null", "--workers=1", "--single-process", "--no-ocsp"],
    ...["--accesslog-file=/dev/null", "--errorlog-file=/dev/stderr"],
    `--frontend=unix:${path};no-tls`,
    `--backend=${target.replace(":", ",")};;proto=h2`,
  ],
};

export const PROXIES: readonly Proxy[] = [nginx, haproxy, nghttpx];

export function isInstalled({ program }: Proxy): boolean {
  return spawnSync(program, ["-v"], { stdio: "ignore" }).error === undefined;
}

/**
 * @returns where it listens; it passes calls on to `target`, `HOST:PORT`, until the test has
 * finished
 */
export async function startProxy(proxy: Proxy, target: string): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), "relay-chain-"));
  closeAtEnd(() => rmSync(folder, { recursive: true, force: true }));
  const path = join(folder, "s");
  const running = await launchProgram(proxy.program, proxy.prepare(folder, path, target), path);
  closeAtEnd(() => running.stop());
  return `unix:${path}`;
}
