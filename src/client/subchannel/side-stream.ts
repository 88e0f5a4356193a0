// A stream of our own beside the calls of a session: it is no call, and counts as none.

import type { ClientSession, StreamListener } from "../../transport/transport.ts";

/** The `fairnessKey` of a stream that is no call: it takes no share from those who make calls. */
export const NO_CALL: object = Object.freeze({ source: "no call" });

/** One such stream, at most one per session. It is its own listener. */
export interface SideStream extends StreamListener {
  readonly fairnessKey: typeof NO_CALL;
  /** The stream stands: its session counts it. */
  readonly isOpen: boolean;
  /** Opens the stream on `session`, which has room for it. Called once. */
  open(session: ClientSession): void;
  /** The session takes no more calls. An open stream has to be reset: it would keep the session. */
  onSessionLeft(): void;
}
