import { describe, expect, it } from "vitest";
import { type TransportCombo, transportCombos } from "../support/combos.ts";
import { headerBlock, request, response, trailers } from "../support/frames.ts";
import { type Brake, Offer, Reader, wholeMessages } from "./bulk.ts";
import {
  LARGEST_WINDOW_BYTES,
  LeanConnection,
  type LeanListener,
  type LeanStream,
  leanServer,
} from "./lean-peer.ts";
import { RelayProcess } from "./relay-process.ts";

const MIB = 1_048_576;
const GIB = 1_024 * MIB;
const WATCHED_SECONDS = 10;
const READ_BYTES_PER_SECOND = MIB;
/** The whole of what the relay may cost, whoever does not read. */
const MAX_RSS_GROWTH_BYTES = 64 * MIB;

/**
 * What a sender may be ahead of its reader: the relay's stream window (256 KiB), and what the relay has passed on to its
 * own transport, which is less than one more frame and the reader's window.
 */
const MAX_AHEAD_BYTES = 262_144 + 65_535 + 2 * 16_384;
/** The kernel's buffers stand between a reader that does not read its socket and everyone else. */
const KERNEL_BYTES = 16 * MIB;

interface Case {
  readonly sender: "backend" | "client";
  readonly brake: Brake;
  readonly streamCount: number;
}

// biome-ignore format: table
const CASES: readonly (readonly [name: string, kind: Case])[] = [
  ["a backend that offers 1 GiB to a client that reads 1 MiB/s", { sender: "backend", brake: "credit", streamCount: 1 }],
  ["a client that offers 1 GiB to a backend that reads 1 MiB/s", { sender: "client", brake: "credit", streamCount: 1 }],
  ["50 streams of backends to clients that read 1 MiB/s each", { sender: "backend", brake: "credit", streamCount: 50 }],
  ["50 streams of clients to backends that read 1 MiB/s each", { sender: "client", brake: "credit", streamCount: 50 }],
  ["a backend that offers 1 GiB to a client that gives all credit and reads 1 MiB/s off its socket", { sender: "backend", brake: "socket", streamCount: 1 }],
];

const REQUEST = headerBlock(request("/bulk.Plain/Move"));
const RESPONSE = headerBlock(response());
const TRAILERS = headerBlock(trailers());

/** Everything that one case is made of, running. */
interface Running {
  readonly relay: RelayProcess;
  readonly reader: Reader;
  /** As the sender sees them. */
  readonly sending: readonly LeanStream[];
  /** As the reader sees them. */
  readonly receiving: readonly LeanStream[];
  /** Resolves when all calls have ended as they should; rejects when one has not. */
  readonly ended: Promise<void>;
  readonly close: () => void;
}

async function start(combo: TransportCombo, kind: Case): Promise<Running> {
  const { sender, brake, streamCount } = kind;
  const byteCount = wholeMessages(GIB / streamCount);
  const reader = new Reader(brake, READ_BYTES_PER_SECOND);
  const atBackend: LeanStream[] = [];
  const atClient: LeanStream[] = [];
  let endedCount = 0;
  let settle: { resolve: () => void; reject: (error: Error) => void };
  const ended = new Promise<void>((resolve, reject) => {
    settle = { resolve, reject };
  });
  ended.catch(() => undefined);
  const fail = (what: string): void => settle.reject(new Error(what));

  const backendSide = (connection: LeanConnection): LeanListener => {
    const offer = new Offer(connection, byteCount, false, (stream) =>
      connection.sendHeaders(stream, TRAILERS, true),
    );
    return {
      onHeaders: (stream) => {
        atBackend.push(stream);
        connection.sendHeaders(stream, RESPONSE);
        if (sender === "backend") offer.add(stream);
      },
      onData: (stream, piece) => reader.onData(stream, piece),
      onEnd: (stream) => {
        if (sender === "client") connection.sendHeaders(stream, TRAILERS, true);
      },
      onReset: (_, code) => fail(`the backend's stream was reset: ${code}`),
    };
  };
  const clientSide: LeanListener = {
    onHeaders: (_, fields, endStream) => {
      if (!endStream) return;
      const status = fields.find(({ name }) => name === "grpc-status")?.value;
      if (status !== "0") fail(`a call ended with status ${status}`);
      if (++endedCount === streamCount) settle.resolve();
    },
    onData: (stream, piece) => reader.onData(stream, piece),
    onReset: (_, code) => fail(`the client's stream was reset: ${code}`),
  };

  const windows = brake === "socket" ? { streamWindowBytes: LARGEST_WINDOW_BYTES } : {};
  const backend = await leanServer(backendSide, windows);
  const relay = await RelayProcess.start(combo, { plain: backend.target });
  const client = await LeanConnection.connect(relay.address, clientSide, windows);
  await relay.ask("resetPeak");
  const offer = new Offer(client, byteCount, true);
  for (let i = 0; i < streamCount; i++) {
    const stream = client.open(REQUEST, sender === "backend");
    atClient.push(stream);
    if (sender === "client") offer.add(stream);
  }
  return {
    relay,
    reader,
    sending: sender === "backend" ? atBackend : atClient,
    receiving: sender === "backend" ? atClient : atBackend,
    ended,
    close: () => {
      client.socket.destroy();
      backend.close();
      relay.kill();
    },
  };
}

function sum(streams: readonly LeanStream[], field: "sentBytes" | "receivedBytes"): number {
  return streams.reduce((total, stream) => total + stream[field], 0);
}

describe.concurrent.each(transportCombos)("backpressure, $server $client", (combo) => {
  it.each(CASES)(
    "holds %s",
    async (_, kind) => {
      const running = await start(combo, kind);
      const { relay, reader, sending, receiving } = running;
      try {
        const before = await relay.ask("stats");
        // Not for anything to happen: for as long as nothing may.
        await new Promise((resolve) => setTimeout(resolve, WATCHED_SECONDS * 1_000));
        const watched = await relay.ask("stats");
        const aheadBytes = sum(sending, "sentBytes") - sum(receiving, "receivedBytes");
        const slack = kind.brake === "socket" ? KERNEL_BYTES : 0;
        expect(sending.length).toBe(kind.streamCount);
        expect(aheadBytes).toBeLessThanOrEqual(kind.streamCount * MAX_AHEAD_BYTES + slack);
        expect(sending.filter((stream) => !stream.blocked)).toEqual([]);
        expect(watched.peakRssBytes - before.rssBytes).toBeLessThan(MAX_RSS_GROWTH_BYTES);
        // Held back, not stuck: the readers got what they asked for.
        const wantedBytes = kind.streamCount * WATCHED_SECONDS * READ_BYTES_PER_SECOND;
        expect(sum(receiving, "receivedBytes")).toBeGreaterThan(0.25 * wantedBytes);

        reader.release();
        await running.ended;
        const done = await relay.ask("stats");
        expect(reader.corrupted.size).toBe(0);
        expect(sum(receiving, "receivedBytes")).toBe(sum(sending, "sentBytes"));
        expect(sum(receiving, "receivedBytes")).toBeGreaterThanOrEqual(GIB);
        expect(done.problems).toEqual([]);
      } finally {
        running.close();
      }
    },
    120_000,
  );
});
