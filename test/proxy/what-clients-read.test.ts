// Whatever goes wrong behind the relay or in the program around it: the client reads what helps it,
// and neither where the backend is nor what the system, TLS or a plain Error says. Operators read
// that.

import { describe, expect, it, vi } from "vitest";
import { dial } from "../../src/client/dial.ts";
import type { DialOptions } from "../../src/client/dial-options.ts";
import { codecWithParent } from "../../src/grpc/codec.ts";
import { GrpcError } from "../../src/grpc/error.ts";
import { Metadata } from "../../src/grpc/metadata.ts";
import { Status } from "../../src/grpc/status.ts";
import type { CallEndEvent } from "../../src/observe/channels.ts";
import { type StreamDirector, StreamParameters } from "../../src/proxy/director.ts";
import type { StreamHandler } from "../../src/server/interceptor.ts";
import type { ServerOptions } from "../../src/server/server.ts";
import { formatAddress } from "../../src/transport/address.ts";
import { ErrorCode } from "../../src/wire/error-code.ts";
import { fieldValue, type HeaderList } from "../../src/wire/field.ts";
import { makeCertificate } from "../support/certificate.ts";
import { closeAtEnd, socketPath } from "../support/cleanup.ts";
import { transportCombos } from "../support/combos.ts";
import { callEnds, warnings } from "../support/events.ts";
import { frames, message, request, response, trailersOnly } from "../support/frames.ts";
import { refusingAddress } from "../support/refusing.ts";
import {
  connectTo,
  dialTo,
  eventually,
  listen,
  listenRelay,
  PATH,
  scriptedBackend,
  statusOf,
} from "../support/relay-fixture.ts";
import { ScriptedClient, ScriptedServer } from "../support/scripted-endpoints.ts";
import type { ScriptedPeer } from "../support/scripted-peer.ts";

const INTERNAL = "internal error in the proxy";
const UNARY = [frames.headers(1, request(PATH)), frames.data(1, message("x")).end()] as const;
/** Nothing that a client reads may look like this. */
const SECRETS =
  /127\.0\.0\.1|localhost|secret|error:|ssl|x509|certificate|alert|version number|econn|enoent|enotfound|unix:|\.sock|\.ts\b|node:/i;

function textOf(fields: HeaderList): string {
  return decodeURIComponent(fieldValue(fields, "grpc-message") ?? "");
}

/**
 * Makes the call; what its client is sent at the end must hold no secret, nor `where` or its port.
 */
async function readBy(
  address: Parameters<typeof ScriptedClient.connect>[0],
  where: string,
  play: () => Promise<void> = async () => {},
  headersFirst = false,
): Promise<{ readonly status: number; readonly text: string; readonly end: CallEndEvent }> {
  const ends = callEnds();
  const client = await ScriptedClient.connect(address, { refillWindows: true });
  client.send(...UNARY);
  await play();
  if (headersFirst) await client.expectHeaders(1);
  const fields = await client.expectTrailers(1);
  for (const { name, value } of fields) {
    expect(`${name}: ${decodeURIComponent(value)}`).not.toMatch(SECRETS);
    expect(value).not.toContain(where);
    expect(value).not.toContain(/\d+$/.exec(where)?.[0] ?? where);
  }
  await eventually("the call has ended", () => ends.length > 0);
  const [end] = ends;
  if (end === undefined) throw new Error("no end");
  return { status: statusOf(fields), text: textOf(fields), end };
}

describe.each(transportCombos)(
  "of a backend, server $server, client $client, a client",
  (combo) => {
    /** A relay to `target`. */
    async function toward(target: string, options: DialOptions = {}) {
      const conn = dialTo(combo, target, options);
      const { address } = await listenRelay(combo, () => new StreamParameters({ conn }));
      return readBy(address, target);
    }

    async function tlsBackend() {
      const { cert, key } = makeCertificate("secret.example");
      const backend = await ScriptedServer.listen({ tls: { cert, key } });
      return { target: formatAddress(backend.address), ca: cert };
    }

    /** Operators read the address once, and no line of OpenSSL's source. */
    function expectForOperators(end: CallEndEvent, target: string, text: RegExp): void {
      const { error } = end;
      expect(error?.message).toContain(`upstream ${target} `);
      expect(error?.message.split(target)).toHaveLength(2);
      expect(error?.message).toMatch(text);
      expect(error?.message).not.toMatch(/error:[0-9A-F]|\.c:|\s$|\n/);
      expect(error?.stack).toContain("GrpcError");
    }

    it("reads that it refuses connections", async () => {
      const target = formatAddress(await refusingAddress());
      const { status, text, end } = await toward(target);
      expect([status, text]).toEqual([14, "the backend cannot be reached: connection refused"]);
      expectForOperators(end, target, /connect ECONNREFUSED/);
      expect(end.error?.cause).toMatchObject({ code: "ECONNREFUSED" });
    });

    it("reads that it cannot be reached by its socket", async () => {
      const target = `unix:${socketPath()}`;
      const { status, text, end } = await toward(target);
      expect([status, text]).toEqual([14, "the backend cannot be reached"]);
      expectForOperators(end, target, /connect ENOENT/);
    });

    it("reads that it has no address", async () => {
      const { status, text, end } = await toward("secret.invalid:50051");
      expect(status).toBe(14);
      expect(text).toMatch(/^the backend cannot be reached/);
      expectForOperators(end, "secret.invalid:50051", /getaddrinfo (?:ENOTFOUND|EAI_AGAIN)/);
    });

    it("reads that TLS failed, and operators read why", async () => {
      const { target, ca } = await tlsBackend();
      const unknown = await toward(target, { tls: {} });
      expect(unknown.text).toBe("the backend cannot be reached: the TLS handshake failed");
      expectForOperators(unknown.end, target, /self-signed certificate/);
      const misnamed = await toward(target, { tls: { ca, serverName: "other.example" } });
      expect(misnamed.text).toBe("the backend cannot be reached: the TLS handshake failed");
      expectForOperators(
        misnamed.end,
        target,
        /the certificate is not for other\.example, but for/,
      );
      const plain = await ScriptedServer.listen();
      const noTls = formatAddress(plain.address);
      const { text, end } = await toward(noTls, { tls: {} });
      expect(text).toBe("the backend cannot be reached: the TLS handshake failed");
      expectForOperators(end, noTls, /the other side does not speak TLS/);
    });

    it("reads that too many calls wait, and that its connection was closed", async () => {
      const backend = await scriptedBackend(combo, {}, { maxWaitingCalls: 0 });
      const target = formatAddress(backend.scripted.address);
      const { address } = await listenRelay(
        combo,
        () => new StreamParameters({ conn: backend.conn }),
      );
      const full = await readBy(address, target);
      expect(full.text).toBe("the backend has 0 calls waiting already, the limit");
      expectForOperators(full.end, target, /calls waiting already/);
      await backend.conn.close();
      const closed = await readBy(address, target);
      expect(closed.text).toBe("the backend cannot be reached: the connection to it was closed");
      expectForOperators(closed.end, target, /was closed/);
    });

    type Play = (peer: ScriptedPeer, streamId: number) => unknown;
    const rows: readonly (readonly [string, Play, number, RegExp])[] = [
      [
        "reset the call",
        (peer, id) => peer.send(frames.rst(id, ErrorCode.ENHANCE_YOUR_CALM)),
        8,
        /^the backend reset stream \d+: ENHANCE_YOUR_CALM$/,
      ],
      [
        "refused the call twice",
        async (peer, id) => {
          peer.send(frames.rst(id, ErrorCode.REFUSED_STREAM));
          const { streamId } = await peer.expectRequest(PATH);
          peer.send(frames.rst(streamId, ErrorCode.REFUSED_STREAM));
        },
        14,
        /^the backend reset stream \d+: REFUSED_STREAM$/,
      ],
      [
        "went away with an error",
        (peer, id) => peer.send(frames.goaway(id, ErrorCode.INTERNAL_ERROR, "secret")),
        14,
        /^the backend (?:went away|announced GOAWAY): INTERNAL_ERROR$/,
      ],
      [
        "answered with an HTTP error",
        (peer, id) => peer.send(frames.headers(id, [[":status", "503"]], { endStream: true })),
        14,
        /^the backend answered with HTTP status 503$/,
      ],
      [
        "answered with something else",
        (peer, id) =>
          peer.send(
            frames.headers(id, [
              [":status", "200"],
              ["content-type", "text/html"],
            ]),
          ),
        2,
        /^the backend answered with content-type text\/html, expected application\/grpc$/,
      ],
      [
        "ended without trailers",
        (peer, id) => peer.send(frames.headers(id, response()), frames.data(id, "").end()),
        2,
        /^the backend ended the response without trailers$/,
      ],
    ];
    it.each(rows)("reads that it %s", async (what, play, status, text) => {
      const backend = await scriptedBackend(combo);
      const target = formatAddress(backend.scripted.address);
      const { address } = await listenRelay(
        combo,
        () => new StreamParameters({ conn: backend.conn }),
      );
      const peer = await connectTo(backend);
      const playing = async (): Promise<void> => {
        const { streamId } = await peer.expectRequest(PATH);
        await play(peer, streamId);
      };
      const told = await readBy(address, target, playing, what === "ended without trailers");
      expect(told.status).toBe(status);
      expect(told.text).toMatch(text);
      expectForOperators(told.end, target, /./);
    });

    it("reads that the connection to it was lost", async () => {
      const backend = await scriptedBackend(combo);
      const target = formatAddress(backend.scripted.address);
      const { address } = await listenRelay(
        combo,
        () => new StreamParameters({ conn: backend.conn }),
      );
      const peer = await connectTo(backend);
      const { status, text, end } = await readBy(address, target, async () => {
        await peer.expectRequest(PATH);
        peer.destroy();
      });
      expect([status, text]).toEqual([
        14,
        "the backend is lost: the connection to it ended under the call",
      ]);
      expectForOperators(
        end,
        target,
        /is lost: (?:closed the connection|connection closed|read ECONNRESET)/,
      );
    });

    it("reads that what it is to be sent cannot be sent", async () => {
      const backend = await scriptedBackend(combo);
      const target = formatAddress(backend.scripted.address);
      await connectTo(backend);
      const metadata = Object.assign(new Metadata(), {
        toFields: () => [{ name: "x", value: "10.0.0.7\n", sensitive: false, ruleClass: 0 }],
      });
      const { address } = await listenRelay(
        combo,
        (ctx) => new StreamParameters({ conn: backend.conn, ctx: ctx.withMetadata(metadata) }),
      );
      const { status, text } = await readBy(address, target);
      expect(status).toBe(Status.INTERNAL);
      expect(text).toMatch(/^the request headers cannot be sent/);
      expect(text).not.toContain("10.0.0.7");
    });

    it("reads what it says itself byte for byte, addresses and all", async () => {
      const backend = await scriptedBackend(combo);
      const { address } = await listenRelay(
        combo,
        () => new StreamParameters({ conn: backend.conn }),
      );
      const peer = await connectTo(backend);
      const client = await ScriptedClient.connect(address);
      client.send(...UNARY);
      const { streamId } = await peer.expectRequest(PATH);
      const text = "127.0.0.1:50051 is%20%e4%zz";
      peer.send(frames.headers(streamId, trailersOnly(14, text), { endStream: true }));
      expect(fieldValue(await client.expectTrailers(1), "grpc-message")).toBe(text);
    });
  },
);

describe.each(["engine", "node"] as const)(
  "of the program around a relay on %s, a client",
  (name) => {
    const combo = { server: name, client: name };
    const plain = (): never => {
      throw new TypeError("connect ECONNREFUSED 127.0.0.1:5432 of /srv/secret.ts", {
        cause: new Error("password of secret"),
      });
    };
    const meant = (): never => {
      throw new GrpcError(Status.NOT_FOUND, "no row 7", { cause: new Error("secret") });
    };

    interface Place {
      readonly place: string;
      readonly code: string;
      /** Where the program throws. */
      readonly options: (fail: () => never) => Promise<ServerOptions>;
    }
    const handler = (run: StreamHandler): ServerOptions => ({ unknownServiceHandler: run });
    async function relayed(
      parameters: (conn: ReturnType<typeof dial>, fail: () => never) => ReturnType<StreamDirector>,
      fail: () => never,
    ): Promise<ServerOptions> {
      const conn = dial(formatAddress(await refusingAddress()));
      closeAtEnd(() => conn.close());
      const { transparentHandler } = await import("../../src/proxy/transparent-handler.ts");
      return handler(transparentHandler(() => parameters(conn, fail)));
    }
    const codec = (fail: () => never) =>
      codecWithParent({ name: "bad", marshal: fail, unmarshal: fail });

    const places: readonly Place[] = [
      { place: "handler", code: "GRPC_RELAY_HANDLER", options: async (fail) => handler(fail) },
      {
        place: "handler, later",
        code: "GRPC_RELAY_HANDLER",
        options: async (fail) => handler(async () => fail()),
      },
      {
        place: "interceptor",
        code: "GRPC_RELAY_HANDLER",
        options: async (fail) => ({ ...handler(() => {}), interceptors: [fail] }),
      },
      { place: "director", code: "GRPC_RELAY_DIRECTOR", options: (fail) => relayed(fail, fail) },
      {
        place: "director, later",
        code: "GRPC_RELAY_DIRECTOR",
        options: (fail) => relayed(async () => fail(), fail),
      },
      {
        place: "onError",
        code: "GRPC_RELAY_ON_ERROR",
        // The error of a destination that could not be opened stands, so this one is opened.
        options: async (fail) => {
          const backend = await scriptedBackend(combo);
          void backend.peer().then(async (peer) => {
            const { streamId } = await peer.expectRequest(PATH);
            peer.send(frames.headers(streamId, trailersOnly(9, "no"), { endStream: true }));
          });
          const { transparentHandler } = await import("../../src/proxy/transparent-handler.ts");
          return handler(
            transparentHandler(() => new StreamParameters({ conn: backend.conn, onError: fail })),
          );
        },
      },
      {
        place: "finalizer",
        code: "GRPC_RELAY_FINALIZER",
        options: async (fail) => {
          const backend = await scriptedBackend(combo);
          void backend.peer().then(async (peer) => {
            const { streamId } = await peer.expectRequest(PATH);
            peer.send(frames.headers(streamId, trailersOnly(0), { endStream: true }));
          });
          const { transparentHandler } = await import("../../src/proxy/transparent-handler.ts");
          return handler(
            transparentHandler(() => new StreamParameters({ conn: backend.conn }, [], fail)),
          );
        },
      },
      {
        place: "codec that reads",
        code: "GRPC_RELAY_CODEC",
        options: async (fail) => ({
          codec: codec(fail),
          ...handler(async (stream) => {
            await stream.recvMessage();
          }),
        }),
      },
      {
        place: "codec that writes",
        code: "GRPC_RELAY_CODEC",
        options: async (fail) => ({
          codec: codec(fail),
          ...handler((stream) => stream.sendMessage({})),
        }),
      },
    ];

    it.each(places)(
      "reads nothing of a plain Error of a $place",
      async ({ place, code, options }) => {
        const warned = vi.spyOn(process, "emitWarning").mockImplementation(() => {});
        closeAtEnd(() => warned.mockRestore());
        const thrown: Error[] = [];
        const fail = (): never => {
          try {
            return plain();
          } catch (error) {
            if (error instanceof Error)
              thrown.push(
                Object.assign(error, {
                  name: `Error of ${name} ${code} ${thrown.length} ${Math.random()}`,
                }),
              );
            throw error;
          }
        };
        const { address } = await listen(combo, await options(fail));
        const { status, text, end } = await readBy(
          address,
          "5432",
          undefined,
          place === "codec that writes",
        );
        if (code === "GRPC_RELAY_CODEC") {
          expect(status).toBe(Status.INTERNAL);
          expect(text).toMatch(
            /^grpc: (?:error while marshaling|failed to unmarshal the received message)$/,
          );
        } else expect([status, text]).toEqual([Status.UNKNOWN, INTERNAL]);
        expect(end.error?.message).toContain(
          "connect ECONNREFUSED 127.0.0.1:5432 of /srv/secret.ts",
        );
        expect(end.error?.cause).toBe(thrown[0]);
        expect(warned).toHaveBeenCalledTimes(1);
        expect(warned.mock.calls[0]?.[0]).toMatchObject({ code, cause: thrown[0] });
      },
    );

    it.each(places)("reads a GrpcError of a $place as it is", async ({ place, options }) => {
      const given = warnings();
      const { address } = await listen(combo, await options(meant));
      const { status, text, end } = await readBy(
        address,
        "5432",
        undefined,
        place === "codec that writes",
      );
      expect([status, text]).toEqual([Status.NOT_FOUND, "no row 7"]);
      expect(end.error).toMatchObject({ message: "NOT_FOUND: no row 7", cause: expect.any(Error) });
      expect(given).toEqual([]);
    });

    it("costs one warning, however many calls fail in the same place", async () => {
      const given = warnings();
      const { address } = await listen(combo, {
        unknownServiceHandler: () => {
          throw Object.assign(new Error(`${Math.random()}`), { name: `Error on ${name}` });
        },
      });
      const client = await ScriptedClient.connect(address, { refillWindows: true });
      for (let id = 1; id < 200; id += 2) {
        client.send(frames.headers(id, request(PATH), { endStream: true }));
        expect(textOf(await client.expectTrailers(id))).toBe(INTERNAL);
      }
      await eventually("it is told", () => given.length > 0);
      expect(given).toHaveLength(1);
    });
  },
);
