// Where the sessions of one address come from.

import type { ClientSession, ClientSessionListener } from "../../transport/transport.ts";

/** Makes sessions. */
export interface SessionSource {
  connect(listener: ClientSessionListener): ClientSession;
  /** The source can be asked again. */
  readonly reconnects: boolean;
}
