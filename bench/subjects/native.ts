// The programs that a user would put in front of a gRPC backend. Each is configured to multiplex or
// keep connections upstream. No window, stream limit, time limit or log is in the way. Each has one
// worker: the comparison is per core.

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { freePort, launchProgram } from "../process/launch.ts";
import type { RunningSubject, Subject, SubjectSurroundings } from "./subject.ts";

const WINDOW_BYTES = 1_048_576;
const CONNECTION_WINDOW_BYTES = 16_777_216;
const STREAM_LIMIT = 1_000;

async function startNghttpx(
  surroundings: SubjectSurroundings,
  tls: boolean,
): Promise<RunningSubject> {
  const port = await freePort();
  const { certPath, keyPath } = surroundings.certificate;
  const frontend = `127.0.0.1,${port}${tls ? "" : ";no-tls"}`;
  const backend = tls
    ? `127.0.0.1,${surroundings.backendTlsPort};;proto=h2;tls`
    : `127.0.0.1,${surroundings.backendPort};;proto=h2`;
  const args = [
    "--conf=/dev/null",
    "--workers=1",
    "--single-process",
    `--frontend=${frontend}`,
    `--backend=${backend}`,
    "--accesslog-file=/dev/null",
    "--errorlog-file=/dev/stderr",
    "--no-ocsp",
    "--no-server-rewrite",
    "--no-location-rewrite",
    "--no-via",
    "--no-add-x-forwarded-proto",
    "--rlimit-nofile=20000",
    `--frontend-http2-max-concurrent-streams=${STREAM_LIMIT}`,
    `--backend-http2-max-concurrent-streams=${STREAM_LIMIT}`,
    `--frontend-http2-window-size=${WINDOW_BYTES}`,
    `--backend-http2-window-size=${WINDOW_BYTES}`,
    `--frontend-http2-connection-window-size=${CONNECTION_WINDOW_BYTES}`,
    `--backend-http2-connection-window-size=${CONNECTION_WINDOW_BYTES}`,
    "--frontend-http2-read-timeout=1h",
    "--frontend-read-timeout=1h",
    "--frontend-write-timeout=1h",
    "--backend-read-timeout=1h",
    "--backend-write-timeout=1h",
  ];
  if (tls) args.push("--insecure", keyPath, certPath);
  return { port, process: await launchProgram("nghttpx", args, port, surroundings) };
}

async function startHaproxy(surroundings: SubjectSurroundings): Promise<RunningSubject> {
  const port = await freePort();
  const configuration = join(surroundings.directory, "haproxy.cfg");
  writeFileSync(
    configuration,
    `global
  nbthread 1
  maxconn 8000
  tune.h2.initial-window-size ${WINDOW_BYTES}
  tune.h2.max-concurrent-streams ${STREAM_LIMIT}
defaults
  mode http
  option http-keep-alive
  http-reuse always
  timeout connect 5s
  timeout client 1h
  timeout server 1h
  timeout http-request 1h
  timeout tunnel 1h
frontend downstream
  bind 127.0.0.1:${port} proto h2
  default_backend upstream
backend upstream
  server echo 127.0.0.1:${surroundings.backendPort} proto h2
`,
  );
  const args = ["-db", "-q", "-f", configuration];
  return { port, process: await launchProgram("haproxy", args, port, surroundings) };
}

async function startNginx(surroundings: SubjectSurroundings): Promise<RunningSubject> {
  const port = await freePort();
  const { directory } = surroundings;
  const configuration = join(directory, "nginx.conf");
  // nginx opens its compiled-in error log before it reads this file, hence -e.
  const asRoot = process.getuid?.() === 0;
  mkdirSync(join(directory, "temporary"), { recursive: true });
  writeFileSync(
    configuration,
    `daemon off;
worker_processes 1;
worker_rlimit_nofile 20000;
${asRoot ? "user root;" : ""}
pid ${directory}/nginx.pid;
error_log stderr error;
events { worker_connections 18000; }
http {
  access_log off;
  client_body_temp_path ${directory}/temporary;
  proxy_temp_path ${directory}/temporary;
  fastcgi_temp_path ${directory}/temporary;
  uwsgi_temp_path ${directory}/temporary;
  scgi_temp_path ${directory}/temporary;
  keepalive_requests 1000000000;
  keepalive_timeout 1h;
  upstream echo {
    server 127.0.0.1:${surroundings.backendPort};
    keepalive 1000;
    keepalive_requests 1000000000;
    keepalive_timeout 1h;
  }
  server {
    listen 127.0.0.1:${port} http2 backlog=4096;
    http2_max_concurrent_streams ${STREAM_LIMIT};
    http2_body_preread_size ${WINDOW_BYTES};
    client_max_body_size 0;
    client_body_timeout 1h;
    send_timeout 1h;
    location / {
      grpc_pass grpc://echo;
      grpc_buffer_size 64k;
      grpc_read_timeout 1h;
      grpc_send_timeout 1h;
    }
  }
}
`,
  );
  const args = ["-e", "/dev/stderr", "-p", directory, "-c", configuration];
  return { port, process: await launchProgram("nginx", args, port, surroundings) };
}

const NGHTTPX = { program: "nghttpx", debianPackage: "nghttp2-proxy" };

export const NATIVE_SUBJECTS: readonly Subject[] = [
  {
    id: "nghttpx",
    title: "nghttpx (C++)",
    family: "native",
    tls: false,
    needs: NGHTTPX,
    start: (surroundings) => startNghttpx(surroundings, false),
  },
  {
    id: "haproxy",
    title: "HAProxy (C)",
    family: "native",
    tls: false,
    needs: { program: "haproxy", debianPackage: "haproxy" },
    start: startHaproxy,
  },
  {
    id: "nginx",
    title: "nginx grpc_pass (C)",
    family: "native",
    tls: false,
    needs: { program: "nginx", debianPackage: "nginx-light" },
    start: startNginx,
  },
  {
    id: "nghttpx-tls",
    title: "nghttpx, TLS on both legs",
    family: "native",
    tls: true,
    needs: NGHTTPX,
    start: (surroundings) => startNghttpx(surroundings, true),
  },
];
