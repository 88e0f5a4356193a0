import { once } from "node:events";
import {
  createServer,
  type Http2Server,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
  sensitiveHeaders,
} from "node:http2";
import { type AddressInfo, connect, type Socket } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import type { HpackDecoder } from "../../../src/h2/hpack/decoder.ts";
import { HpackEncoder } from "../../../src/h2/hpack/encoder.ts";
import { HeaderField, type HeaderList } from "../../../src/wire/field.ts";
import { FrameDecoder, frames, type SettingsInput, settingsOf } from "../../support/frames.ts";
import { createDecoder, encode, seededRandom } from "./blocks.ts";

type Pair = readonly [name: string, value: string];

/**
 * The client end of a connection to node:http2, with our HPACK in both directions and nothing else
 * of ours.
 */
class RawClient {
  readonly encoder: HpackEncoder;
  readonly decoder: HpackDecoder;
  readonly socket: Socket;
  /** Rejects when the connection breaks. */
  readonly broken: Promise<never>;
  readonly #frames = new FrameDecoder();
  readonly #waiting: ((fields: HeaderList) => void)[] = [];
  readonly #announced: number[] = [];
  #nextStreamId = 1;

  constructor(socket: Socket, tableBytes: number) {
    this.socket = socket;
    this.encoder = new HpackEncoder({ maxTableBytes: tableBytes });
    this.decoder = createDecoder({ maxTableBytes: tableBytes });
    this.broken = new Promise((_, reject) => socket.on("error", reject));
    this.broken.catch(() => {});
    socket.write(frames.preface());
    this.announce(tableBytes);
    socket.on("data", (chunk: Buffer) => this.#recv(chunk));
  }

  announce(tableBytes: number): void {
    this.#announced.push(tableBytes);
    const settings: SettingsInput = { HEADER_TABLE_SIZE: tableBytes };
    this.socket.write(frames.settings(settings).bytes());
  }

  /** Sends a request and resolves with the fields of its response. */
  request(fields: HeaderList): Promise<HeaderList> {
    const head = frames.headers(this.#nextStreamId, encode(this.encoder, fields), {
      endStream: true,
    });
    this.#nextStreamId += 2;
    this.socket.write(head.bytes());
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #recv(chunk: Buffer): void {
    for (const frame of this.#frames.push(chunk)) {
      if (frame.name === "SETTINGS" && frame.has(1)) {
        this.decoder.setMaxTableBytes(this.#announced.shift()!);
      } else if (frame.name === "SETTINGS") {
        for (const [name, value] of settingsOf(frame)) {
          if (name === "HEADER_TABLE_SIZE") this.encoder.setPeerMaxTableBytes(value);
        }
        this.socket.write(frames.settingsAck().bytes());
      } else if (frame.name === "HEADERS") {
        const { body } = frame;
        this.#waiting.shift()!(this.decoder.decode(body, 0, body.length));
      } else if (frame.name === "GOAWAY" || frame.name === "RST_STREAM") {
        this.socket.destroy(new Error(`node:http2 answered with ${frame}`));
      }
    }
  }
}

const PRINTABLE = Array.from({ length: 0xff - 0x20 }, (_, i) => 0x20 + i).filter((c) => c !== 0x7f);

function randomPairs(random: (below: number) => number): Pair[] {
  return Array.from({ length: random(10) }, (): Pair => {
    const name = ["authorization", "user-agent", "grpc-timeout", `x-${random(20)}`][random(4)]!;
    const kind = random(4);
    if (kind === 0) return [name, `${random(5)}`];
    if (kind === 1) return [name, "lower-case-text-that-gains-by-huffman-code/".repeat(random(8))];
    // Mostly letters with short codes, so that nghttp2 prefers Huffman code in spite of the long
    // code of some.
    const char = String.fromCharCode(PRINTABLE[random(PRINTABLE.length)]!);
    return [name, `${"aeiost".repeat(5 + random(5))}${char}${"012".repeat(random(9))}${char}.`];
  });
}

function requestOf(pairs: readonly Pair[], random: (below: number) => number): HeaderField[] {
  return [
    new HeaderField(":method", "POST"),
    new HeaderField(":scheme", "http"),
    new HeaderField(":path", `/svc/${random(30)}`),
    new HeaderField(":authority", "relay.test"),
    ...pairs.map(([name, value]) => new HeaderField(name, value, random(6) === 0)),
  ];
}

describe("HPACK against nghttp2, in both directions of one connection", () => {
  let server: Http2Server | undefined;
  let client: RawClient | undefined;

  afterEach(async () => {
    client?.socket.destroy();
    if (server === undefined) return;
    const closed = once(server, "close");
    server.close();
    await closed;
  });

  /** Connects; what the server received last, as it came from nghttp2, is in `received`. */
  async function start(tableBytes: number): Promise<{
    readonly peer: RawClient;
    readonly session: ServerHttp2Session;
    exchange(fields: HeaderList, response: OutgoingHttpHeaders): Promise<HeaderList>;
    readonly received: string[][];
  }> {
    const received: string[][] = [];
    let respond: (stream: ServerHttp2Stream) => void = () => {};
    server = createServer({
      settings: { headerTableSize: tableBytes },
      maxDeflateDynamicTableSize: 65_536,
    } as Parameters<typeof createServer>[0]);
    server.on(
      "stream",
      (stream: ServerHttp2Stream, _headers: IncomingHttpHeaders, _flags: number, raw: string[]) => {
        received.push(raw);
        respond(stream);
      },
    );
    const sessions = once(server, "session") as Promise<[ServerHttp2Session]>;
    await once(server.listen(0, "127.0.0.1"), "listening");
    const socket = connect((server.address() as AddressInfo).port, "127.0.0.1");
    const peer = new RawClient(socket, tableBytes);
    client = peer;
    const [session] = await sessions;
    return {
      peer,
      session,
      received,
      exchange: async (fields, response) => {
        respond = (stream) =>
          stream.respond(response, { endStream: true, sendDate: false } as object);
        return Promise.race([peer.request(fields), peer.broken]);
      },
    };
  }

  async function exchangeMany(
    link: Awaited<ReturnType<typeof start>>,
    count: number,
    seed: number,
  ): Promise<void> {
    const random = seededRandom(seed);
    for (let i = 0; i < count; i++) {
      const fields = requestOf(randomPairs(random), random);
      const answer = new Map(randomPairs(random));
      const secret = [...answer.keys()].slice(0, random(2));
      const got = await link.exchange(fields, {
        ":status": 200,
        ...Object.fromEntries(answer),
        [sensitiveHeaders]: secret,
      } as OutgoingHttpHeaders);
      expect(link.received.at(-1)).toEqual(fields.flatMap(({ name, value }) => [name, value]));
      expect(got.map(({ name, value }) => [name, value])).toEqual([[":status", "200"], ...answer]);
      expect(got.filter(({ sensitive }) => sensitive).map(({ name }) => name)).toEqual(
        expect.arrayContaining(secret),
      );
    }
  }

  it.each([0, 128, 4_096, 65_536])("agrees with tables of %i bytes", async (tableBytes) => {
    const link = await start(tableBytes);
    await exchangeMany(link, 150, tableBytes + 1);
  });

  it("agrees while both ends change their table sizes", async () => {
    const link = await start(4_096);
    let seed = 1;
    for (const tableBytes of [4_096, 100, 0, 8_192, 300, 4_096]) {
      link.peer.announce(tableBytes);
      const acknowledged = new Promise<void>((resolve) => {
        link.session.settings({ headerTableSize: tableBytes }, () => resolve());
      });
      await acknowledged;
      await exchangeMany(link, 25, seed++);
    }
  });

  it("agrees on every printable octet in Huffman code", async () => {
    const link = await start(4_096);
    for (let at = 0; at < PRINTABLE.length; at += 8) {
      // 200 letters of 5 bits make Huffman code worth it for the eight octets between them.
      const octets = String.fromCharCode(...PRINTABLE.slice(at, at + 8));
      const value = `${"e".repeat(100)}${octets}${"e".repeat(100)}`;
      const got = await link.exchange(
        requestOf([], () => 0),
        { ":status": 200, "x-octets": value },
      );
      expect(got.at(-1)).toMatchObject({ name: "x-octets", value });
    }
  });
});
