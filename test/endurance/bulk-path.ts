// A client and a backend on either side of a relay process, and calls between them that carry much
// in one direction.

import type { TransportCombo } from "../support/combos.ts";
import { headerBlock, request, response, trailers } from "../support/frames.ts";
import { type Brake, Offer, type Reader, wholeMessages } from "./bulk.ts";
import {
  LARGEST_WINDOW_BYTES,
  LeanConnection,
  type LeanListener,
  type LeanStream,
  leanServer,
} from "./lean-peer.ts";
import { type RelayAddress, RelayProcess } from "./relay-process.ts";

const REQUEST = headerBlock(request("/bulk.Plain/Move"));
const RESPONSE = headerBlock(response());
const TRAILERS = headerBlock(trailers());

export type Sender = "backend" | "client";

/** Calls that began together. */
export class Move {
  readonly streamCount: number;
  /** Of each stream. */
  readonly byteCount: number;
  readonly reader: Reader;
  readonly atBackend: LeanStream[] = [];
  readonly atClient: LeanStream[] = [];
  /** Resolves when all of them have ended as they should; rejects when one has not. */
  readonly ended: Promise<void>;
  readonly #sender: Sender;
  #endedCount = 0;
  #resolve: () => void = () => undefined;
  #reject: (error: Error) => void = () => undefined;

  constructor(sender: Sender, streamCount: number, totalBytes: number, reader: Reader) {
    this.#sender = sender;
    this.streamCount = streamCount;
    this.byteCount = wholeMessages(totalBytes / streamCount);
    this.reader = reader;
    this.ended = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.ended.catch(() => undefined);
  }

  get sending(): readonly LeanStream[] {
    return this.#sender === "backend" ? this.atBackend : this.atClient;
  }

  get sentBytes(): number {
    return this.sending.reduce((total, stream) => total + stream.sentBytes, 0);
  }

  get receivedBytes(): number {
    const receiving = this.#sender === "backend" ? this.atClient : this.atBackend;
    return receiving.reduce((total, stream) => total + stream.receivedBytes, 0);
  }

  end(status: string | undefined): void {
    if (status !== "0") this.fail(`a call ended with status ${status}`);
    if (++this.#endedCount === this.streamCount) this.#resolve();
  }

  fail(what: string): void {
    this.#reject(new Error(what));
  }
}

export class BulkPath {
  readonly relay: RelayProcess;
  readonly #sender: Sender;
  readonly #client: LeanConnection;
  readonly #backend: { readonly close: () => void };
  readonly #current: { move: Move | undefined };
  readonly #offer: Offer;

  /**
   * @param brake "socket": the peers give credit for everything from the start
   * @param via what connections to the relay and from there to the backend are made to instead
   */
  static async start(
    combo: TransportCombo,
    sender: Sender,
    brake: Brake,
    via: (to: RelayAddress) => Promise<RelayAddress> = async (to) => to,
  ): Promise<BulkPath> {
    const current: { move: Move | undefined } = { move: undefined };
    const windows = brake === "socket" ? { streamWindowBytes: LARGEST_WINDOW_BYTES } : {};
    const backend = await leanServer(
      (connection) => backendSide(connection, sender, current),
      windows,
    );
    const behind = await via({ host: "127.0.0.1", port: Number(backend.target.split(":")[1]) });
    const relay = await RelayProcess.start(combo, { plain: `${behind.host}:${behind.port}` });
    const before = await via(relay.address);
    const clientSide: LeanListener = {
      onHeaders: (_, fields, endStream) => {
        if (!endStream) return;
        current.move?.end(fields.find(({ name }) => name === "grpc-status")?.value);
      },
      onData: (stream, piece) => current.move?.reader.onData(stream, piece),
      onReset: (_, code) => current.move?.fail(`the client's stream was reset: ${code}`),
    };
    const client = await LeanConnection.connect(before, clientSide, windows);
    return new BulkPath(relay, sender, client, backend, current);
  }

  private constructor(
    relay: RelayProcess,
    sender: Sender,
    client: LeanConnection,
    backend: { readonly close: () => void },
    current: { move: Move | undefined },
  ) {
    this.relay = relay;
    this.#sender = sender;
    this.#client = client;
    this.#backend = backend;
    this.#current = current;
    this.#offer = new Offer(client, true);
  }

  /** Begins `streamCount` calls that carry `totalBytes` together. One move at a time. */
  move(streamCount: number, totalBytes: number, reader: Reader): Move {
    const move = new Move(this.#sender, streamCount, totalBytes, reader);
    this.#current.move = move;
    for (let i = 0; i < streamCount; i++) {
      const stream = this.#client.open(REQUEST, this.#sender === "backend");
      move.atClient.push(stream);
      if (this.#sender === "client") this.#offer.add(stream, move.byteCount);
    }
    return move;
  }

  close(): void {
    this.#client.socket.destroy();
    this.#backend.close();
    this.relay.kill();
  }
}

function backendSide(
  connection: LeanConnection,
  sender: Sender,
  current: { readonly move: Move | undefined },
): LeanListener {
  const offer = new Offer(connection, false, (stream) =>
    connection.sendHeaders(stream, TRAILERS, true),
  );
  return {
    onHeaders: (stream) => {
      const { move } = current;
      if (move === undefined) return;
      move.atBackend.push(stream);
      connection.sendHeaders(stream, RESPONSE);
      if (sender === "backend") offer.add(stream, move.byteCount);
    },
    onData: (stream, piece) => current.move?.reader.onData(stream, piece),
    onEnd: (stream) => {
      if (sender === "client") connection.sendHeaders(stream, TRAILERS, true);
    },
    onReset: (_, code) => current.move?.fail(`the backend's stream was reset: ${code}`),
  };
}
