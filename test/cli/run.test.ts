import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { runToEnd } from "./terminal.ts";

describe("grpc-relay", () => {
  it.each([["--help"], ["-h"], ["help"]])("shows the commands for %s", async (flag) => {
    const { code, out, err } = await runToEnd(flag);
    expect(out).toContain("serve  pass gRPC calls on to backends");
    expect(out).toContain("demo   start");
    expect([code, err]).toEqual([0, ""]);
  });

  it.each([
    ["serve", "--help"],
    ["serve", "-h"],
    ["help", "serve"],
  ])("shows every flag of serve for %s %s", async (...args) => {
    const { code, out } = await runToEnd(...args);
    for (const flag of ["listen", "backend", "secondary", "peek", "transport", "tls-cert"]) {
      expect(out).toContain(`--${flag}`);
    }
    expect(code).toBe(0);
  });

  it("shows the flags of demo", async () => {
    const { code, out } = await runToEnd("demo", "--help");
    expect(out).toContain("--once");
    expect(code).toBe(0);
  });

  it.each([["--version"], ["-v"]])("prints the version of package.json for %s", async (flag) => {
    const manifest: unknown = JSON.parse(readFileSync("package.json", "utf8"));
    expect(await runToEnd(flag)).toEqual({
      code: 0,
      out: (manifest as { version: string }).version,
      err: "",
    });
  });

  it.each<[string, string[], string]>([
    ["no command", [], "expected a command, serve or demo, got none"],
    ["an unknown command", ["dance"], 'expected a command, serve or demo, got "dance"'],
    ["help for an unknown command", ["help", "dance"], 'got "dance"'],
    ["no address to listen on", ["serve"], "expected --listen ADDRESS, got none"],
    [
      "no backend",
      ["serve", "--listen", "a:1"],
      "expected --backend TARGET or --route PATH=TARGET, got none",
    ],
    [
      "a route without a service",
      ["serve", "--listen", "127.0.0.1:0", "--route", "/=a:1"],
      '--route: expected /pkg.Service/=TARGET or /pkg.Service/Method=TARGET, got "/=a:1"',
    ],
    [
      "a route to nowhere",
      ["serve", "--listen", "127.0.0.1:0", "--route", "/a.B/="],
      '--route: expected /pkg.Service/=TARGET or /pkg.Service/Method=TARGET, got "/a.B/="',
    ],
    [
      "a route to a wrong target",
      ["serve", "--listen", "127.0.0.1:0", "--route", "/a.B/=8080"],
      '--route: target "8080": expected HOST:PORT',
    ],
    [
      "a balancing that it has not",
      ["serve", "--listen", "127.0.0.1:0", "--backend", "a:1", "--balancing", "ringHash"],
      '--balancing: expected roundRobin, leastRequest, pickFirst, got "ringHash"',
    ],
    [
      "no worker",
      ["serve", "--listen", "127.0.0.1:0", "--backend", "a:1", "--workers", "0"],
      '--workers: expected a whole number from 1 to 1024, got "0"',
    ],
    [
      "a client authority without a certificate of its own",
      ["serve", "--listen", "127.0.0.1:0", "--backend", "a:1", "--tls-client-ca", "ca.pem"],
      "expected --tls-cert FILE beside --tls-client-ca, got none",
    ],
    [
      "an authority for backends without TLS",
      ["serve", "--listen", "127.0.0.1:0", "--backend", "a:1", "--backend-ca", "ca.pem"],
      "expected --backend-tls beside --backend-ca, got none",
    ],
    [
      "a certificate for backends without its key",
      [
        ...["serve", "--listen", "127.0.0.1:0", "--backend", "a:1"],
        ...["--backend-tls", "--backend-cert", "c.pem"],
      ],
      "expected --backend-key FILE beside --backend-cert, got none",
    ],
    ["an unknown flag", ["serve", "--quick"], "expected one of --listen, --backend"],
    ["an unknown short flag", ["demo", "-q"], "got -q"],
    ["a stray word", ["demo", "now"], 'expected a flag, got "now"'],
    ["a missing value", ["serve", "--listen"], "expected ADDRESS after --listen, got none"],
    ["an empty value", ["serve", "--listen="], "expected ADDRESS after --listen, got none"],
    [
      "a flag where a value belongs",
      ["serve", "--listen", "--backend", "a:1"],
      "expected ADDRESS after --listen, got --backend",
    ],
    ["a value for a switch", ["demo", "--once=no"], 'expected --once without a value, got "no"'],
    [
      "a flag given twice",
      ["serve", "--listen", "a:1", "--backend", "b:1", "--grace-ms", "1", "--grace-ms", "2"],
      "expected --grace-ms once, got it 2 times",
    ],
    [
      "a wrong address",
      ["serve", "--listen", "8080", "--backend", "a:1"],
      '--listen: expected HOST:PORT, [IPV6]:PORT or unix:PATH with a port from 0 to 65535, got "8080"',
    ],
    [
      "a wrong backend",
      ["serve", "--listen", "127.0.0.1:0", "--backend", "host:port"],
      '--backend: target "host:port": expected HOST:PORT',
    ],
    [
      "a wrong secondary",
      ["serve", "--listen", "127.0.0.1:0", "--backend", "a:1", "--secondary", "unix:"],
      '--secondary: target "unix:": expected HOST:PORT',
    ],
    [
      "an unknown transport",
      ["serve", "--listen", "127.0.0.1:0", "--backend", "a:1", "--transport", "quic"],
      '--transport: expected engine or node, got "quic"',
    ],
    [
      "a grace that is no number",
      ["serve", "--listen", "127.0.0.1:0", "--backend", "a:1", "--grace-ms", "5s"],
      '--grace-ms: expected a whole number of milliseconds from 0 to 2147483647, got "5s"',
    ],
    [
      "a settings timeout that is no whole number",
      ["serve", "--listen", "127.0.0.1:0", "--backend", "a:1", "--settings-timeout-ms", "1e3"],
      '--settings-timeout-ms: expected a whole number, got "1e3"',
    ],
    [
      "a header limit of nothing",
      ["serve", "--listen", "127.0.0.1:0", "--backend", "a:1", "--max-header-bytes", "0"],
      "--max-header-bytes: expected an integer from 1 to 4294967295, got 0",
    ],
    [
      "a settings timeout out of range",
      ["serve", "--listen", "127.0.0.1:0", "--backend", "a:1", "--settings-timeout-ms", "0"],
      "--settings-timeout-ms: expected an integer from 1 to 2147483647, got 0",
    ],
    [
      "a stall timeout of nothing",
      ["serve", "--listen", "127.0.0.1:0", "--backend", "a:1", "--stall-timeout-ms", "0"],
      "--stall-timeout-ms: expected a number from 1 up, got 0",
    ],
    ...["handshake", "header", "connect", "idle", "peek", "stream-stall"].map(
      (name): [string, string[], string] => [
        `no time for --${name}-timeout-ms`,
        ["serve", "--listen", "127.0.0.1:0", "--backend", "a:1", `--${name}-timeout-ms`, "0"],
        `--${name}-timeout-ms: expected `,
      ],
    ),
    [
      "a certificate without its key",
      ["serve", "--listen", "127.0.0.1:0", "--backend", "a:1", "--tls-cert", "c.pem"],
      "expected --tls-key FILE beside --tls-cert, got none",
    ],
    ["a wrong address for the demo", ["demo", "--listen", "x"], "--listen: expected HOST:PORT"],
  ])("answers %s with one line and exit code 2", async (_, args, message) => {
    const { code, out, err } = await runToEnd(...args);
    expect(err).toContain(message);
    expect(err).toMatch(/^grpc-relay: [^\n]+$/);
    expect([code, out]).toEqual([2, ""]);
  });

  it("takes -- and a value after an equals sign", async () => {
    const { err } = await runToEnd("serve", "--listen=127.0.0.1:x", "--");
    expect(err).toContain('got "127.0.0.1:x"');
  });
});
