// The backend that a connection leads to: its name, its addresses, and how each is connected to.

import {
  checkClientSession,
  type HandedOverClientSession,
  wrapSession,
} from "../transport/handed-over.ts";
import type { DialOptions } from "./dial-options.ts";
import type { Address } from "./resolve/address-list.ts";
import type { Resolver } from "./resolve/resolver.ts";
import type { SessionSource } from "./subchannel/session-source.ts";

export interface Backend {
  /** For messages. */
  readonly name: string;
  /** Default `:authority`. */
  readonly authority: string;
  /** The addresses that are known from the beginning. */
  readonly addresses: readonly Address[];
  /** Finds the addresses, if they are not known. */
  readonly resolver: Resolver | undefined;
  /** There can be more than one session. */
  readonly reconnects: boolean;
  sourceOf(address: Address): SessionSource;
}

/**
 * The backend behind a session that the user has made. It has one address, which gives its session
 * once.
 * @throws {TypeError} unless `session` is an `http2.ClientHttp2Session`
 */
export function handedOverBackend(session: HandedOverClientSession, options: DialOptions): Backend {
  checkClientSession(session);
  const source: SessionSource = {
    connect: (listener) => wrapSession(session, options, listener),
    reconnects: false,
  };
  return {
    name: "(session)",
    authority: "localhost",
    addresses: [{ text: "(session)", socket: { path: "(session)" }, weight: 1 }],
    resolver: undefined,
    reconnects: source.reconnects,
    sourceOf: () => source,
  };
}
