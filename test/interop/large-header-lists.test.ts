// Header lists that are larger than the other side takes: the call at fault fails, the others on
// its connection live.

import * as grpc from "@grpc/grpc-js";
import { describe, expect, it } from "vitest";
import { GrpcError } from "../../src/grpc/error.ts";
import { Status } from "../../src/grpc/status.ts";
import { StreamParameters } from "../../src/proxy/director.ts";
import { formatAddress } from "../../src/transport/address.ts";
import { transportCombos } from "../support/combos.ts";
import { type GrpcBackendHandlers, GrpcClient, grpcBackend } from "../support/grpc-js.ts";
import { dialTo, listen, listenRelay } from "../support/relay-fixture.ts";

const UNARY = "/test.Service/Unary";
const DUPLEX = "/test.Service/Duplex";
/** Only a test that fails waits this long. */
const DEADLINE_MS = 10_000;

/**
 * Few enough octets for what receives them here: nghttp2 and the engine count values and
 * CONTINUATION frames, too.
 */
const LARGE = { "x-1": "y".repeat(40_000), "x-2": "y".repeat(40_000) };

function largeMetadata(): grpc.Metadata {
  const metadata = new grpc.Metadata();
  for (const [name, value] of Object.entries(LARGE)) metadata.set(name, value);
  return metadata;
}

const echo: NonNullable<GrpcBackendHandlers["duplex"]> = (call) => {
  call.on("data", (got: Buffer) => call.write(got));
  call.on("end", () => call.end());
};

describe.each(transportCombos)("header lists that are too large, $server $client", (combo) => {
  /** A relay that takes lists of 1 MiB, between grpc-js, which takes 64 KiB. */
  async function relay(handlers: GrpcBackendHandlers): Promise<string> {
    const lists = { maxHeaderListBytes: 1_048_576 };
    const conn = dialTo(combo, await grpcBackend(handlers), lists);
    const { address } = await listenRelay(combo, () => new StreamParameters({ conn }), lists);
    return formatAddress(address);
  }

  /** A call that stands before `run` and is used after it, on `client`. */
  async function survives(client: GrpcClient, run: () => Promise<void>): Promise<void> {
    const deadline = Date.now() + DEADLINE_MS;
    const sibling = client.duplex(DUPLEX, {}, { deadline });
    sibling.send("before");
    expect(await sibling.recv()).toBe("before");
    await run();
    sibling.send("after");
    expect(await sibling.recv()).toBe("after");
    sibling.closeSend();
    expect((await sibling.status).code).toBe(grpc.status.OK);
  }

  function unary(client: GrpcClient, metadata: Readonly<Record<string, string>> = {}) {
    return client.unary(UNARY, "m", metadata, { deadline: Date.now() + DEADLINE_MS });
  }

  it("an error with a long text costs a client neither its status nor another call", async () => {
    const { server, address } = await listen(combo);
    server.register("test.Service", {
      Unary: () => {
        throw new GrpcError(Status.UNKNOWN, "y".repeat(80_000));
      },
      Duplex: async (stream) => {
        for await (const message of stream) await stream.sendMessage(message);
      },
    });
    const client = new GrpcClient(address);
    await survives(client, async () => {
      const { status } = await unary(client);
      expect(status.code).toBe(grpc.status.UNKNOWN);
      expect(status.details === "y".repeat(8_192)).toBe(true);
    });
  });

  it.each([
    ["70 KB in one value", { "x-large": "y".repeat(70_000) }],
    ["80 KB in two", LARGE],
  ])("request metadata of %s fails that call, not those of other clients", async (_, metadata) => {
    const address = await relay({ unary: (_call, reply) => reply(null, null), duplex: echo });
    const [large, other] = [new GrpcClient(address), new GrpcClient(address)];
    await survives(other, async () => {
      const { status } = await unary(large, metadata);
      expect(status.code).toBe(grpc.status.INTERNAL);
      expect(status.details).toMatch(/expected a header list of at most 65536 bytes, .* got \d+$/);
    });
  });

  it("request metadata close to the bound gets through", async () => {
    const address = await relay({
      unary: (call, reply) =>
        reply(null, Buffer.from(`${String(call.metadata.get("x-large")[0]).length}`)),
    });
    const { response } = await unary(new GrpcClient(address), { "x-large": "~".repeat(64_500) });
    expect(`${response}`).toBe("64500");
  });

  it("response headers fail that call with INTERNAL", async () => {
    const address = await relay({
      unary: (call, reply) => {
        call.sendMetadata(largeMetadata());
        reply(null, call.request);
      },
      duplex: echo,
    });
    const client = new GrpcClient(address);
    await survives(client, async () => {
      const { status } = await unary(client);
      expect(status.code).toBe(grpc.status.INTERNAL);
      expect(status.details).toMatch(/expected a header list of at most 65536 bytes/);
    });
  });

  it("trailers are replaced by INTERNAL that says so", async () => {
    const address = await relay({
      unary: (_call, reply) => reply(null, Buffer.from("m"), largeMetadata()),
      duplex: echo,
    });
    const client = new GrpcClient(address);
    await survives(client, async () => {
      const { status } = await unary(client);
      expect(status.code).toBe(grpc.status.INTERNAL);
      expect(status.details).toMatch(
        /^trailers cannot be sent: expected a header list of at most 65536 bytes/,
      );
    });
  });

  const OURS = /header list of 8\d{4} bytes, our limit is 65536 bytes \(maxHeaderListBytes\)$/;

  it("request metadata above our own bound fails that call, and says so where it can", async () => {
    const conn = dialTo(combo, await grpcBackend({ duplex: echo }));
    const { address } = await listenRelay(combo, () => new StreamParameters({ conn }));
    const client = new GrpcClient(formatAddress(address));
    await survives(client, async () => {
      const { status } = await unary(client, LARGE);
      expect(status.code).toBe(grpc.status.RESOURCE_EXHAUSTED);
      if (combo.server === "engine") expect(status.details).toMatch(OURS);
    });
  });

  it("trailers above our own bound fail that call, and say so where they can", async () => {
    const conn = dialTo(
      combo,
      await grpcBackend({
        unary: (_call, reply) => reply(null, Buffer.from("m"), largeMetadata()),
        duplex: echo,
      }),
    );
    const { address } = await listenRelay(combo, () => new StreamParameters({ conn }));
    const client = new GrpcClient(formatAddress(address));
    await survives(client, async () => {
      const { status } = await unary(client);
      if (combo.client === "engine") {
        expect(status.code).toBe(grpc.status.INTERNAL);
        expect(status.details).toMatch(OURS);
      } else {
        // nghttp2 resets the stream, as if the backend had.
        expect(status.code).toBe(grpc.status.RESOURCE_EXHAUSTED);
      }
    });
  });

  it("a backend's long message within the bound stays as it is", async () => {
    const details = "100% ☺ ".repeat(2_000);
    const address = await relay({
      unary: (_call, reply) => reply({ code: grpc.status.ABORTED, details }),
    });
    const { status } = await unary(new GrpcClient(address));
    expect(status.code).toBe(grpc.status.ABORTED);
    expect(status.details === details).toBe(true);
  });
});
