// The words that backends, load and the correctness check share: methods, special metadata, the state of one call.
// It must not know any transport.

export const SERVICE = "relay.bench.v1.Echo";

export const METHODS = ["Unary", "ServerStream", "ClientStream", "Bidi", "CallState"] as const;
export type MethodName = (typeof METHODS)[number];

export function methodPath(method: MethodName): string {
  return `/${SERVICE}/${method}`;
}

/** Every value comes back in the response headers. */
export const ECHO_INITIAL = "x-bench-echo-initial";
/** Every value comes back in the trailers. */
export const ECHO_TRAILING = "x-bench-echo-trailing-bin";
/** The call ends with this status and `FAILURE_DETAILS`, without a message. */
export const FAIL_WITH = "x-bench-status";
/** The backend remembers what becomes of the call under this name, for `CallState`. */
export const TOKEN = "x-bench-token";

/** Needs percent-encoding (gRPC PROTOCOL-HTTP2 "Responses"): two bytes outside ASCII, a percent sign. */
export const FAILURE_DETAILS = "told to fail, 100 % of the time: ½";
export const FAILURE_DETAILS_ENCODED = "told to fail, 100 %25 of the time: %C2%BD";

/** What became of a call, as its backend saw it. */
export type CallOutcome = "unknown" | "open" | "completed" | "cancelled";

export interface CallState {
  outcome: CallOutcome;
  /** The client's half-close arrived. */
  halfClosed: boolean;
  /** Response bytes handed to the transport, prefixes included. */
  sentBytes: number;
}

/** What `CallState` answers with. */
export interface CallReport extends CallState {
  /** Calls that this backend ended with OK, the questions themselves not counted. */
  servedCount: number;
}

const NOTHING_KNOWN: CallState = { outcome: "unknown", halfClosed: false, sentBytes: 0 };

/** The calls with a token that a backend remembers; bounded, the oldest is forgotten. */
export class CallBook {
  readonly #states = new Map<string, CallState>();

  open(token: string): CallState {
    if (this.#states.size >= 1_000) {
      for (const oldest of this.#states.keys()) {
        this.#states.delete(oldest);
        break;
      }
    }
    const state: CallState = { outcome: "open", halfClosed: false, sentBytes: 0 };
    this.#states.set(token, state);
    return state;
  }

  /** The payload of a `CallState` reply. */
  report(token: string, servedCount: number): Buffer {
    const state = this.#states.get(token) ?? NOTHING_KNOWN;
    const report: CallReport = { ...state, servedCount };
    return Buffer.from(JSON.stringify(report));
  }
}

export function parseCallReport(payload: Buffer): CallReport {
  const parsed: unknown = JSON.parse(payload.toString("utf8"));
  if (typeof parsed !== "object" || parsed === null || !("servedCount" in parsed)) {
    throw new TypeError(`expected the state of a call, got ${payload.toString("utf8")}`);
  }
  // The sender is our own backend (`CallBook.report`).
  return parsed as CallReport;
}
