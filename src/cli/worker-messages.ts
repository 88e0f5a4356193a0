// What a worker of `serve --workers` and the process that forked it say to each other.

/** A message to a worker. */
export type ToWorker =
  /** With the meaning of SIGTERM and SIGHUP. */
  | "close"
  | "reload"
  /** To be answered: every message before has come, or was lost. */
  | "probe"
  | TicketSecret
  | Deal;

interface TicketSecret {
  readonly ticketSecret: string;
}

/** The message carries a connection. */
interface Deal {
  /** The number of its address in the command line, from 0. */
  readonly dealt: number;
}

/**
 * A message from a worker. `"started"`: it hears messages, and wants the ticket secret.
 * `"serving"`: it takes connections.
 */
export type FromWorker = "started" | "serving" | "probed" | DealAnswer;

export interface DealAnswer {
  /**
   * Whether the worker took the connection that it was given last; `false` says that the worker
   * closes, and has read nothing of the connection. Left out when only closed ones are told.
   */
  readonly taken?: boolean;
  /** Connections that have closed since the last answer. */
  readonly closed: number;
}

export function readToWorker(message: unknown): ToWorker | undefined {
  if (message === "close" || message === "reload" || message === "probe") return message;
  if (typeof message !== "object" || message === null) return undefined;
  if ("dealt" in message && typeof message.dealt === "number") return { dealt: message.dealt };
  if ("ticketSecret" in message && typeof message.ticketSecret === "string") {
    return { ticketSecret: message.ticketSecret };
  }
  return undefined;
}

export function readFromWorker(message: unknown): FromWorker | undefined {
  if (message === "started" || message === "serving" || message === "probed") return message;
  if (typeof message !== "object" || message === null) return undefined;
  if (!("closed" in message) || typeof message.closed !== "number") return undefined;
  const { closed } = message;
  if (!("taken" in message) || typeof message.taken !== "boolean") return { closed };
  return { closed, taken: message.taken };
}
