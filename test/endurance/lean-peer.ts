// An HTTP/2 peer that costs little and lies about nothing: it moves gigabytes, or ends a hundred
// thousand calls, beside a relay on the same machine. Either side of a connection; keeps strict
// account of flow control, because that is what is measured.

import { connect as connectSocket, createServer, type Socket } from "node:net";
import { HpackDecoder } from "../../src/h2/hpack/decoder.ts";
import type { HeaderList } from "../../src/wire/field.ts";
import { FRAME_TYPES, frames } from "../support/frames.ts";

const HEADER_BYTES = 9;
/** Largest payload of a frame that no SETTINGS are needed for. */
export const FRAME_BYTES = 16_384;
/** Smaller payloads go out in one piece with their frame header. */
const COPIED_BYTES = 2_048;
const DEFAULT_WINDOW_BYTES = 65_535;
export const LARGEST_WINDOW_BYTES = 0x7fffffff;
const END_STREAM = 0x1;
const ACK = 0x1;
const END_HEADERS = 0x4;
/** What may wait in our own socket before we look at its 'drain'. */
const SOCKET_QUEUE_BYTES = 262_144;

export interface LeanOptions {
  /** What each stream of ours may receive before credit is given. @default 65_535 */
  readonly streamWindowBytes?: number;
}

/** What the owner of a connection does about its streams. */
export interface LeanListener {
  onHeaders?(stream: LeanStream, fields: HeaderList, endStream: boolean): void;
  /** A piece of DATA, not necessarily a whole frame. Owes `LeanStream.grant`. */
  onData?(stream: LeanStream, piece: Buffer): void;
  /** The peer has ended its side by DATA. */
  onEnd?(stream: LeanStream): void;
  onReset?(stream: LeanStream, code: number): void;
  onClosed?(): void;
}

/** One stream: how much went and came, and how much still may. */
export class LeanStream {
  readonly id: number;
  readonly connection: LeanConnection;
  sendWindowBytes: number;
  sentBytes = 0;
  receivedBytes = 0;
  /** Whatever the owner wants to remember. */
  note: unknown;

  constructor(connection: LeanConnection, id: number, sendWindowBytes: number) {
    this.connection = connection;
    this.id = id;
    this.sendWindowBytes = sendWindowBytes;
  }

  /** Stands still because the peer gave no more credit. */
  get blocked(): boolean {
    return this.sendWindowBytes <= 0 || this.connection.sendWindowBytes <= 0;
  }

  grant(bytes: number): void {
    if (bytes > 0) this.connection.write(frames.windowUpdate(this.id, bytes).bytes());
  }

  reset(code: number): void {
    this.connection.write(frames.rst(this.id, code).bytes());
    this.forget();
  }

  /** Nothing of it is of interest any more. */
  forget(): void {
    this.connection.streams.delete(this.id);
  }
}

export class LeanConnection {
  readonly socket: Socket;
  readonly streams: Map<number, LeanStream> = new Map();
  sendWindowBytes: number = DEFAULT_WINDOW_BYTES;
  /** Called when there is window or room in the socket again. */
  onSendable: (() => void) | undefined;
  closed = false;
  readonly #listener: LeanListener;
  readonly #isServer: boolean;
  readonly #hpack = new HpackDecoder({
    maxTableBytes: 4_096,
    maxHeaderListBytes: 65_536,
  });
  #peerStreamWindowBytes = DEFAULT_WINDOW_BYTES;
  #nextId = 1;
  #rest: Buffer = Buffer.alloc(0);
  #prefaceBytes: number;
  // The DATA frame that pieces come of.
  #dataStream: LeanStream | undefined;
  #dataLeftBytes = 0;
  #dataEnds = false;

  constructor(socket: Socket, isServer: boolean, listener: LeanListener, options: LeanOptions) {
    this.socket = socket;
    this.#isServer = isServer;
    this.#listener = listener;
    this.#prefaceBytes = isServer ? frames.preface().length : 0;
    socket.setNoDelay(true);
    socket.on("data", (chunk: Buffer) => this.#recv(chunk));
    socket.on("drain", () => this.onSendable?.());
    socket.on("error", () => undefined);
    socket.on("close", () => {
      this.closed = true;
      listener.onClosed?.();
    });
    if (!isServer) this.write(frames.preface());
    const { streamWindowBytes = DEFAULT_WINDOW_BYTES } = options;
    this.write(frames.settings({ INITIAL_WINDOW_SIZE: streamWindowBytes }).bytes());
    // Streams are what is held back here, never the connection.
    this.write(frames.windowUpdate(0, LARGEST_WINDOW_BYTES - DEFAULT_WINDOW_BYTES).bytes());
  }

  static async connect(
    address: { readonly host: string; readonly port: number },
    listener: LeanListener,
    options: LeanOptions = {},
  ): Promise<LeanConnection> {
    const socket = connectSocket(address);
    await new Promise<void>((resolve, reject) => {
      socket.once("connect", resolve);
      socket.once("error", reject);
    });
    return new LeanConnection(socket, false, listener, options);
  }

  get canSend(): boolean {
    return this.socket.writableLength < SOCKET_QUEUE_BYTES;
  }

  write(bytes: Uint8Array): void {
    if (!this.closed) this.socket.write(bytes);
  }

  /** Client side: a new stream whose request headers are `block`. */
  open(block: Buffer, endStream = false): LeanStream {
    const stream = new LeanStream(this, this.#nextId, this.#peerStreamWindowBytes);
    this.#nextId += 2;
    this.streams.set(stream.id, stream);
    this.sendHeaders(stream, block, endStream);
    return stream;
  }

  sendHeaders(stream: LeanStream, block: Buffer, endStream = false): void {
    this.#writeFrame(
      FRAME_TYPES.HEADERS,
      END_HEADERS | (endStream ? END_STREAM : 0),
      stream,
      block,
    );
  }

  /** One frame, which the windows must have room for. */
  sendData(stream: LeanStream, bytes: Buffer, endStream = false): void {
    stream.sendWindowBytes -= bytes.length;
    this.sendWindowBytes -= bytes.length;
    stream.sentBytes += bytes.length;
    this.#writeFrame(FRAME_TYPES.DATA, endStream ? END_STREAM : 0, stream, bytes);
  }

  #writeFrame(type: number, flags: number, stream: LeanStream, payload: Buffer): void {
    if (this.closed) return;
    const header = Buffer.allocUnsafe(HEADER_BYTES);
    header.writeUIntBE(payload.length, 0, 3);
    header.writeUInt8(type, 3);
    header.writeUInt8(flags, 4);
    header.writeUInt32BE(stream.id, 5);
    if (payload.length < COPIED_BYTES) {
      this.socket.write(Buffer.concat([header, payload]));
      return;
    }
    this.socket.cork();
    this.socket.write(header);
    this.socket.write(payload);
    this.socket.uncork();
  }

  #recv(chunk: Buffer): void {
    const skipped = Math.min(this.#prefaceBytes, chunk.length);
    this.#prefaceBytes -= skipped;
    let rest = chunk.subarray(skipped);
    while (rest.length > 0) {
      if (this.#dataLeftBytes > 0) {
        const piece = rest.subarray(0, this.#dataLeftBytes);
        this.#dataLeftBytes -= piece.length;
        rest = rest.subarray(piece.length);
        this.#recvData(piece);
        continue;
      }
      if (this.#rest.length > 0) {
        rest = Buffer.concat([this.#rest, rest]);
        this.#rest = Buffer.alloc(0);
      }
      const used = this.#recvFrame(rest);
      if (used === 0) {
        this.#rest = rest;
        return;
      }
      rest = rest.subarray(used);
    }
  }

  /** @returns how many bytes it took; 0 when there is no whole frame */
  #recvFrame(bytes: Buffer): number {
    if (bytes.length < HEADER_BYTES) return 0;
    const length = bytes.readUIntBE(0, 3);
    const type = bytes.readUInt8(3);
    const flags = bytes.readUInt8(4);
    const streamId = bytes.readUInt32BE(5) & 0x7fffffff;
    if (type === FRAME_TYPES.DATA) {
      this.#dataStream = this.streams.get(streamId);
      this.#dataLeftBytes = length;
      this.#dataEnds = (flags & END_STREAM) !== 0;
      if (length === 0) this.#recvDataEnd();
      return HEADER_BYTES;
    }
    if (bytes.length < HEADER_BYTES + length) return 0;
    this.#handle(type, flags, streamId, bytes.subarray(HEADER_BYTES, HEADER_BYTES + length));
    return HEADER_BYTES + length;
  }

  #recvData(piece: Buffer): void {
    // The connection's credit comes back at once.
    this.#consumedBytes += piece.length;
    if (this.#consumedBytes > 1_048_576) {
      this.write(frames.windowUpdate(0, this.#consumedBytes).bytes());
      this.#consumedBytes = 0;
    }
    const stream = this.#dataStream;
    if (stream !== undefined) {
      stream.receivedBytes += piece.length;
      this.#listener.onData?.(stream, piece);
    }
    if (this.#dataLeftBytes === 0) this.#recvDataEnd();
  }

  #consumedBytes = 0;

  #recvDataEnd(): void {
    const stream = this.#dataStream;
    this.#dataStream = undefined;
    if (this.#dataEnds && stream !== undefined) this.#listener.onEnd?.(stream);
  }

  #handle(type: number, flags: number, streamId: number, payload: Buffer): void {
    switch (type) {
      case FRAME_TYPES.HEADERS:
        this.#recvHeaders(flags, streamId, payload);
        return;
      case FRAME_TYPES.SETTINGS:
        if ((flags & ACK) === 0) this.#recvSettings(payload);
        return;
      case FRAME_TYPES.PING:
        if ((flags & ACK) === 0) this.write(frames.pingAck(payload).bytes());
        return;
      case FRAME_TYPES.WINDOW_UPDATE:
        this.#recvWindowUpdate(streamId, payload.readUInt32BE(0));
        return;
      case FRAME_TYPES.RST_STREAM: {
        const stream = this.streams.get(streamId);
        if (stream === undefined) return;
        stream.forget();
        this.#listener.onReset?.(stream, payload.readUInt32BE(0));
        return;
      }
      case FRAME_TYPES.CONTINUATION:
        throw new Error("the lean peer knows no CONTINUATION");
    }
  }

  #recvHeaders(flags: number, streamId: number, payload: Buffer): void {
    if ((flags & END_HEADERS) === 0) throw new Error("the lean peer knows no CONTINUATION");
    // Decoded in any case: the table has to stay in step.
    const fields = this.#hpack.decode(payload, 0, payload.length);
    let stream = this.streams.get(streamId);
    if (stream === undefined) {
      if (!this.#isServer) return;
      stream = new LeanStream(this, streamId, this.#peerStreamWindowBytes);
      this.streams.set(streamId, stream);
    }
    this.#listener.onHeaders?.(stream, fields, (flags & END_STREAM) !== 0);
  }

  #recvSettings(payload: Buffer): void {
    for (let at = 0; at + 6 <= payload.length; at += 6) {
      const value = payload.readUInt32BE(at + 2);
      // INITIAL_WINDOW_SIZE, which also moves the windows of open streams (RFC 9113 §6.9.2).
      if (payload.readUInt16BE(at) !== 0x4) continue;
      const delta = value - this.#peerStreamWindowBytes;
      this.#peerStreamWindowBytes = value;
      for (const stream of this.streams.values()) stream.sendWindowBytes += delta;
    }
    this.write(frames.settingsAck().bytes());
    this.onSendable?.();
  }

  #recvWindowUpdate(streamId: number, increment: number): void {
    if (streamId === 0) this.sendWindowBytes += increment;
    else {
      const stream = this.streams.get(streamId);
      if (stream === undefined) return;
      stream.sendWindowBytes += increment;
    }
    this.onSendable?.();
  }
}

/** Listens on a free port of `host`. */
export async function leanServer(
  listener: (connection: LeanConnection) => LeanListener,
  options: LeanOptions = {},
  host = "127.0.0.1",
): Promise<{ readonly target: string; readonly close: () => void }> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    // The listener wants the connection, and the connection its listener.
    const forward: LeanListener = {};
    const connection = new LeanConnection(socket, true, forward, options);
    Object.assign(forward, listener(connection));
  });
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  const bound = server.address();
  if (bound === null || typeof bound === "string") throw new Error("not listening");
  return {
    target: `${host}:${bound.port}`,
    close: () => {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}
