// Other implementations of HTTP/2 on both sides of a relay on the engine, with and without TLS:
// client -> relay -> backend. The command-line clients take part where they are installed; which
// ones did is in the names.

import { execFile, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import {
  connect as connectHttp2,
  createSecureServer,
  createServer,
  type Http2Server,
  type ServerHttp2Stream,
} from "node:http2";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as grpc from "@grpc/grpc-js";
import { afterAll, describe, expect, it } from "vitest";
import { dial, Server, StreamParameters, transparentHandler } from "../../src/index.ts";
import { makeCertificate } from "../support/certificate.ts";
import { closeAtEnd, within } from "../support/cleanup.ts";
import { message } from "../support/frames.ts";

const PATH = "/test.Service/Unary";
const certificate = makeCertificate();
const folder = mkdtempSync(join(tmpdir(), "relay-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Small, and larger than every default window. */
const PAYLOADS: readonly Buffer[] = [Buffer.alloc(32, "s"), Buffer.alloc(300_000, "l")];

function file(name: string, contents: Buffer | string): string {
  const path = join(folder, name);
  writeFileSync(path, contents);
  return path;
}

const certificateFile = file("ca.pem", certificate.cert);
const bodyFiles = PAYLOADS.map((payload, i) => file(`message-${i}`, message(payload)));

// Clients: each sends one unary call to `port` and checks that its message comes back with status
// 0.

interface Client {
  readonly name: string;
  call(port: number, secure: boolean, payload: number): Promise<void>;
}

function run(command: string, args: readonly string[]): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const options = { encoding: "buffer", timeout: 15_000, maxBuffer: 1 << 24 } as const;
    execFile(command, args, options, (error, stdout, stderr) => {
      if (error === null) resolve(stdout);
      else reject(new Error(`${error.message}\n${stderr}`, { cause: error }));
    });
  });
}

const GRPC_HEADERS = ["-H", "content-type: application/grpc", "-H", "te: trailers"];

const tools: readonly Client[] = [
  {
    name: "curl",
    async call(port, secure, payload) {
      const output = join(folder, `curl-${port}-${payload}`);
      const dump = await run("curl", [
        ...["-sS", "-D", "-", "-o", output, "--data-binary", `@${bodyFiles[payload]}`],
        ...GRPC_HEADERS,
        ...(secure ? ["--http2", "--cacert", certificateFile] : ["--http2-prior-knowledge"]),
        `${secure ? "https" : "http"}://localhost:${port}${PATH}`,
      ]);
      expect(dump.toString()).toMatch(/^HTTP\/2 200/);
      expect(dump.toString()).toContain("grpc-status: 0");
      expect(readFileSync(output).equals(message(PAYLOADS[payload]!))).toBe(true);
    },
  },
  {
    name: "nghttp",
    async call(port, secure, payload) {
      const args = [
        ...["-d", `${bodyFiles[payload]}`, "-H", ":method: POST", ...GRPC_HEADERS],
        `${secure ? "https" : "http"}://127.0.0.1:${port}${PATH}`,
      ];
      const body = await run("nghttp", args);
      expect(body.equals(message(PAYLOADS[payload]!))).toBe(true);
      const output = (await run("nghttp", ["-v", ...args])).toString("latin1");
      expect(output).toContain(":status: 200");
      expect(output).toContain("grpc-status: 0");
      expect(output).not.toMatch(/RST_STREAM|GOAWAY.*error_code=(?!NO_ERROR)/);
    },
  },
  {
    name: "h2load",
    async call(port, secure, payload) {
      const count = payload === 0 ? 200 : 20;
      const output = await run("h2load", [
        ...["-n", `${count}`, "-c", "2", "-m", "10", "-d", `${bodyFiles[payload]}`],
        ...GRPC_HEADERS,
        `${secure ? "https" : "http"}://127.0.0.1:${port}${PATH}`,
      ]).then(String);
      expect(output).toContain(`${count} succeeded, 0 failed, 0 errored`);
      const [, bytes] = /traffic: .*\((\d+)\) data/.exec(output) ?? [];
      expect(Number(bytes)).toBe(count * message(PAYLOADS[payload]!).length);
    },
  },
];

const libraries: readonly Client[] = [
  {
    name: "node:http2",
    async call(port, secure, payload) {
      const session = connectHttp2(
        `${secure ? "https" : "http"}://localhost:${port}`,
        secure ? { ca: certificate.cert } : {},
      );
      closeAtEnd(() => session.destroy());
      const headers = { "content-type": "application/grpc", te: "trailers" };
      const stream = session.request({ ":method": "POST", ":path": PATH, ...headers });
      const chunks: Buffer[] = [];
      stream.on("data", (chunk: Buffer) => chunks.push(chunk));
      const status = new Promise((resolve, reject) => {
        session.on("error", reject);
        stream.on("error", reject);
        stream.on("trailers", (trailers) => resolve(trailers["grpc-status"]));
      });
      const closed = new Promise((resolve) => stream.on("close", resolve));
      stream.end(message(PAYLOADS[payload]!));
      expect(await within("the trailers", status)).toBe("0");
      await within("the end of the stream", closed);
      expect(Buffer.concat(chunks).equals(message(PAYLOADS[payload]!))).toBe(true);
      expect(stream.rstCode).toBe(0);
    },
  },
  {
    name: "grpc-js",
    async call(port, secure, payload) {
      const credentials = secure
        ? grpc.credentials.createSsl(Buffer.from(certificate.cert))
        : grpc.credentials.createInsecure();
      const client = new grpc.Client(`localhost:${port}`, credentials);
      closeAtEnd(() => client.close());
      const asBytes = (bytes: Buffer): Buffer => bytes;
      const response = new Promise<Buffer | undefined>((resolve, reject) => {
        client.makeUnaryRequest(PATH, asBytes, asBytes, PAYLOADS[payload]!, (error, value) => {
          if (error === null) resolve(value);
          else reject(error);
        });
      });
      expect((await within("the response", response, 10_000))?.equals(PAYLOADS[payload]!)).toBe(
        true,
      );
    },
  },
];

// Backends: each echoes unary calls and returns its port.

interface Backend {
  readonly name: string;
  listen(secure: boolean): Promise<number>;
}

function echo(stream: ServerHttp2Stream): void {
  stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
  stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
  stream.pipe(stream);
}

const backends: readonly Backend[] = [
  {
    name: "node:http2",
    async listen(secure) {
      const server: Http2Server = secure ? createSecureServer(certificate) : createServer();
      server.on("stream", echo);
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
      closeAtEnd(() => server.close());
      const address = server.address();
      if (address === null || typeof address === "string") throw new Error("not listening");
      return address.port;
    },
  },
  {
    name: "grpc-js",
    async listen(secure) {
      const server = new grpc.Server({ "grpc.max_receive_message_length": -1 });
      const asBytes = (bytes: Buffer): Buffer => bytes;
      const method = {
        path: PATH,
        requestStream: false,
        responseStream: false,
        requestSerialize: asBytes,
        requestDeserialize: asBytes,
        responseSerialize: asBytes,
        responseDeserialize: asBytes,
      } as const;
      const unary: grpc.handleUnaryCall<Buffer, Buffer> = (call, done) => done(null, call.request);
      server.addService({ Unary: method }, { Unary: unary });
      closeAtEnd(() => server.forceShutdown());
      const pair = {
        cert_chain: Buffer.from(certificate.cert),
        private_key: Buffer.from(certificate.key),
      };
      const credentials = secure
        ? grpc.ServerCredentials.createSsl(null, [pair])
        : grpc.ServerCredentials.createInsecure();
      return await new Promise((resolve, reject) => {
        server.bindAsync("127.0.0.1:0", credentials, (error, port) => {
          if (error === null) resolve(port);
          else reject(error);
        });
      });
    },
  },
];

/** A relay on the engine, both legs with TLS or without. */
async function relay(backendPort: number, secure: boolean): Promise<number> {
  const conn = dial(`localhost:${backendPort}`, {
    transport: "engine",
    ...(secure ? { tls: { ca: certificate.cert } } : {}),
  });
  const server = new Server({
    transport: "engine",
    unknownServiceHandler: transparentHandler(() => new StreamParameters({ conn })),
    ...(secure ? { tls: certificate } : {}),
  });
  closeAtEnd(async () => {
    await server.close();
    await conn.close();
  });
  const { address } = await server.listen("127.0.0.1:0");
  if (!("port" in address)) throw new Error("not a TCP address");
  return address.port;
}

const installed = tools.filter(({ name }) => {
  const { status, stdout } = spawnSync(name, ["--version"], { encoding: "utf8" });
  return status === 0 && (name !== "curl" || stdout.includes("HTTP2"));
});
const missing = tools.filter((tool) => !installed.includes(tool)).map(({ name }) => name);
const title =
  missing.length === 0
    ? "clients of other makes"
    : `clients of other makes (not installed here: ${missing.join(", ")})`;

describe(title, () => {
  describe.each(backends)("before a backend of $name", (backend) => {
    describe.each([
      ["h2c", false],
      ["TLS", true],
    ])("over %s", (_, secure) => {
      it.each([...libraries, ...installed])("$name gets its messages back", async (client) => {
        const port = await relay(await backend.listen(secure), secure);
        for (const payload of PAYLOADS.keys()) await client.call(port, secure, payload);
      });
    });
  });
});
