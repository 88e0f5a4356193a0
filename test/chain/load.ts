// Load on a relay while something happens to it or behind it: unary calls at a rate, and streams
// that are always open, by grpc-js clients.

import * as grpc from "@grpc/grpc-js";

const identity = (bytes: Buffer): Buffer => bytes;
const MESSAGE = Buffer.from("0123456789abcdef");

export interface Failure {
  readonly kind: "unary" | "stream";
  readonly atMs: number;
  readonly code: number;
  readonly details: string;
}

export interface LoadOptions {
  readonly address: string;
  /** Connections that the calls are spread over. */
  readonly clients: number;
  readonly unaryPerSecond: number;
  readonly streams: number;
  /** How long each stream is open, in milliseconds, give or take a half. */
  readonly streamMs: number;
}

/** Runs from its construction until `stop`. */
export class Load {
  readonly failures: Failure[] = [];
  unaryCount = 0;
  streamCount = 0;
  readonly #options: LoadOptions;
  readonly #clients: grpc.Client[];
  readonly #startedMs = performance.now();
  readonly #ticker: NodeJS.Timeout;
  readonly #streams: Promise<void>[];
  #due = 0;
  #next = 0;
  #open = 0;
  #stopped = false;

  constructor(options: LoadOptions) {
    this.#options = options;
    this.#clients = Array.from({ length: options.clients }, (_, at) => {
      // Each one has connections of its own.
      const channelOptions = { "grpc.use_local_subchannel_pool": 1, "x-client": at };
      return new grpc.Client(
        options.address,
        grpc.credentials.createInsecure(),
        channelOptions as grpc.ClientOptions,
      );
    });
    this.#ticker = setInterval(() => this.#tick(), 5);
    this.#streams = Array.from({ length: options.streams }, () => this.#keepStream());
  }

  /** Milliseconds since it began. */
  get nowMs(): number {
    return performance.now() - this.#startedMs;
  }

  /** Resolves when the last call has ended. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearInterval(this.#ticker);
    await Promise.all(this.#streams);
    while (this.#open > 0) await new Promise((resolve) => setTimeout(resolve, 20));
    for (const client of this.#clients) client.close();
  }

  #client(): grpc.Client {
    this.#next = (this.#next + 1) % this.#clients.length;
    return this.#clients[this.#next] as grpc.Client;
  }

  #tick(): void {
    const due = (this.nowMs / 1_000) * this.#options.unaryPerSecond;
    // Behind a pause there is no burst of more than a tenth of a second.
    this.#due = Math.max(this.#due, due - this.#options.unaryPerSecond / 10);
    for (; this.#due < due; this.#due++) this.#unary();
  }

  #unary(): void {
    this.unaryCount++;
    this.#open++;
    const atMs = this.nowMs;
    const deadline = Date.now() + 10_000;
    this.#client().makeUnaryRequest(
      "/t.Echo/Unary",
      identity,
      identity,
      MESSAGE,
      new grpc.Metadata(),
      { deadline },
      (error) => {
        this.#open--;
        if (error !== null) this.#failed("unary", atMs, error);
      },
    );
  }

  async #keepStream(): Promise<void> {
    while (!this.#stopped) {
      this.streamCount++;
      const atMs = this.nowMs;
      const status = await this.#stream();
      if (status.code !== grpc.status.OK) this.#failed("stream", atMs, status);
    }
  }

  #stream(): Promise<grpc.StatusObject> {
    const call = this.#client().makeBidiStreamRequest("/t.Echo/Stream", identity, identity);
    const lifeMs = this.#options.streamMs * (0.5 + Math.random());
    call.write(MESSAGE);
    const echo = setInterval(() => call.write(MESSAGE), 500);
    const end = setTimeout(() => call.end(), lifeMs);
    call.on("data", () => {});
    call.on("error", () => {});
    return new Promise((resolve) => {
      call.on("status", (status) => {
        clearInterval(echo);
        clearTimeout(end);
        resolve(status);
      });
    });
  }

  #failed(kind: "unary" | "stream", atMs: number, { code, details }: grpc.StatusObject): void {
    this.failures.push({ kind, atMs, code, details });
  }
}
