// The connections of a load, over the seam. They are opened in batches. Openers that find no free
// stream wait in a queue.

import type {
  ClientSession,
  ClientSessionListener,
  SessionEnd,
  Transport,
} from "../../src/transport/transport.ts";
import { ErrorCode } from "../../src/wire/error-code.ts";
import { HeaderField, type HeaderList } from "../../src/wire/field.ts";
import { type MethodName, methodPath } from "../backends/service.ts";
import { type LoadTarget, metadataOf } from "./workload.ts";

/** Below the usual listen backlog, so that no connection waits for a retransmitted SYN. */
const BATCH_SIZE = 128;
const OPEN_LIMIT_MS = 30_000;

/** Somebody who wants to open a stream. */
export interface Opener {
  openOn(session: LoadSession): void;
}

export class LoadSession implements ClientSessionListener {
  readonly session: ClientSession;
  readonly #waiting: Opener[] = [];
  readonly #ready: Promise<void>;
  #settle: { resolve: () => void; reject: (why: Error) => void } | undefined;
  /** Why it ended; `undefined` while it stands. */
  end: SessionEnd | undefined;

  constructor(transport: Transport, target: LoadTarget) {
    this.#ready = new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
    });
    this.session = transport.connect(
      {
        address: { host: "127.0.0.1", port: target.port },
        // The load need not verify the certificate: the correctness check does.
        ...(target.tls ? { tls: { rejectUnauthorized: false } } : {}),
        // A generator that makes the server wait for credit would measure itself.
        streamWindowBytes: 4_194_304,
        connectionWindowBytes: 67_108_864,
        connectTimeoutMs: OPEN_LIMIT_MS,
      },
      this,
    );
  }

  get ready(): Promise<void> {
    return this.#ready;
  }

  /** Opens now, or when a stream becomes free. */
  open(opener: Opener): void {
    if (this.session.availableStreamCount > 0) opener.openOn(this);
    else this.#waiting.push(opener);
  }

  onAvailable(): void {
    this.#settle?.resolve();
    while (this.#waiting.length > 0 && this.session.availableStreamCount > 0) {
      this.#waiting.shift()?.openOn(this);
    }
  }

  onGoAway(): void {}
  onRefused(): void {}

  onClosed(end: SessionEnd): void {
    this.end = end;
    this.#settle?.reject(new Error(`cannot connect: ${end.message}`));
    for (const opener of this.#waiting.splice(0)) opener.openOn(this);
  }

  close(): void {
    if (this.end === undefined) this.session.destroy(ErrorCode.NO_ERROR, "the load is over");
  }
}

/** @throws when one of them cannot be opened; then none is left open */
export async function openSessions(
  transport: Transport,
  target: LoadTarget,
  count: number,
): Promise<LoadSession[]> {
  const sessions: LoadSession[] = [];
  try {
    while (sessions.length < count) {
      const batch: LoadSession[] = [];
      while (batch.length < BATCH_SIZE && sessions.length < count) {
        const session = new LoadSession(transport, target);
        batch.push(session);
        sessions.push(session);
      }
      await Promise.all(batch.map((session) => session.ready));
    }
    return sessions;
  } catch (error) {
    for (const session of sessions) session.close();
    throw error;
  }
}

/** The headers of a call. The list is made once, so that an encoder recognises its fields. */
export function requestHeaders(
  method: MethodName,
  target: LoadTarget,
  metadataCount: number,
): HeaderList {
  return [
    new HeaderField(":method", "POST"),
    new HeaderField(":scheme", target.tls ? "https" : "http"),
    new HeaderField(":path", methodPath(method)),
    new HeaderField(":authority", `127.0.0.1:${target.port}`),
    new HeaderField("te", "trailers"),
    new HeaderField("content-type", "application/grpc"),
    new HeaderField("user-agent", "grpc-relay-bench"),
    ...metadataOf(metadataCount).map(([name, value]) => new HeaderField(name, value)),
  ];
}
