// Connections or streams that are opened and then do nothing, for the memory they cost.

import type { Stream, StreamListener, Transport } from "../../src/transport/transport.ts";
import { messageOfSize, withPrefix } from "../backends/message.ts";
import { type LoadSession, openSessions, requestHeaders } from "./sessions.ts";
import type { LoadTarget } from "./workload.ts";

export interface IdlePlan {
  readonly target: LoadTarget;
  readonly connectionCount: number;
  /** Open bidi calls on each connection, each with one message echoed before it fell silent. */
  readonly streamsPerConnection: number;
}

/** Holds them until `close`. */
export interface IdleLoad {
  close(): void;
}

/**
 * Resolves when all stand.
 * @throws when one of them fails
 */
export async function holdIdle(transport: Transport, plan: IdlePlan): Promise<IdleLoad> {
  const { target, connectionCount, streamsPerConnection } = plan;
  const sessions = await openSessions(transport, target, connectionCount);
  const close = (): void => {
    for (const session of sessions) session.close();
  };
  try {
    const headers = requestHeaders("Bidi", target, 0);
    const frame = withPrefix(messageOfSize(32));
    for (const session of sessions) {
      const echoes: Promise<void>[] = [];
      for (let i = 0; i < streamsPerConnection; i++) {
        echoes.push(
          new Promise((resolve, reject) => {
            session.open({
              openOn: (on) => {
                if (on.end !== undefined) reject(new Error(on.end.message));
                else openSilent(on, headers, frame, resolve, reject);
              },
            });
          }),
        );
      }
      await Promise.all(echoes);
    }
    return { close };
  } catch (error) {
    close();
    throw error;
  }
}

function openSilent(
  on: LoadSession,
  headers: ReturnType<typeof requestHeaders>,
  frame: Buffer,
  resolve: () => void,
  reject: (why: Error) => void,
): void {
  const listener: StreamListener = {
    onHeaders: (_, endStream) => {
      if (endStream) reject(new Error("an idle stream was refused"));
    },
    onData: (chunk) => {
      stream.acknowledge(chunk.length);
      resolve();
    },
    onTrailers: () => reject(new Error("an idle stream was ended")),
    onWritable: () => {},
    onReset: (end) => reject(new Error(end.message)),
  };
  const stream: Stream = on.session.openStream(headers, false, listener);
  stream.sendData(frame, false);
}
