// The words that backends, load and the correctness check share: methods, special metadata, the
// state of one call. It must not know any transport.

export const SERVICE = "relay.bench.v1.Echo";

export const METHODS = ["Unary", "ServerStream", "ClientStream", "Bidi", "CallState"] as const;
export type MethodName = (typeof METHODS)[number];

export function methodPath(method: MethodName): string {
  return `/${SERVICE}/${method}`;
}

/** Metadata; every value comes back in the response headers. */
export const ECHO_INITIAL = "x-bench-echo-initial";
/** Metadata; every value comes back in the trailers. */
export const ECHO_TRAILING = "x-bench-echo-trailing-bin";
/** The call ends with this status and `FAILURE_DETAILS`, without a message. */
export const FAIL_WITH = "x-bench-status";
/** The backend remembers what becomes of the call under this name, for `CallState`. */
export const TOKEN = "x-bench-token";

/**
 * A `grpc-message` that needs percent-encoding (gRPC PROTOCOL-HTTP2 "Responses"): it has two bytes
 * outside ASCII and a percent sign.
 */
export const FAILURE_DETAILS = "told to fail, 100 % of the time: ½";
export const FAILURE_DETAILS_ENCODED = "told to fail, 100 %25 of the time: %C2%BD";

/** The outcome of a call, as its backend saw it. */
export type CallOutcome = "unknown" | "open" | "completed" | "cancelled";

export interface CallState {
  outcome: CallOutcome;
  /** The client's half-close arrived. */
  halfClosed: boolean;
  /** Response bytes handed to the transport, prefixes included. */
  sentBytes: number;
}

/** The answer of `CallState`. */
export interface CallReport extends CallState {
  /** Calls that this backend ended with OK, the questions themselves not counted. */
  servedCount: number;
}

/**
 * The calls with a token that a backend remembers. The number is bounded: the oldest token is
 * forgotten.
 */
export class CallBook {
  /** Calls by token; there are several where a subject sends copies to secondaries. */
  readonly #calls = new Map<string, CallState[]>();

  open(token: string): CallState {
    const state: CallState = { outcome: "open", halfClosed: false, sentBytes: 0 };
    const known = this.#calls.get(token);
    if (known !== undefined) {
      known.push(state);
      return state;
    }
    if (this.#calls.size >= TOKEN_LIMIT) {
      for (const oldest of this.#calls.keys()) {
        this.#calls.delete(oldest);
        break;
      }
    }
    this.#calls.set(token, [state]);
    return state;
  }

  /** The payload of a `CallState` reply. */
  report(token: string, servedCount: number): Buffer {
    const report: CallReport = { ...combined(this.#calls.get(token) ?? []), servedCount };
    return Buffer.from(JSON.stringify(report));
  }
}

const TOKEN_LIMIT = 1_000;

/**
 * One state for all copies of a call. A secondary's copy may complete, and be read to its end,
 * while the client's own call is cancelled or held back.
 */
function combined(states: readonly CallState[]): CallState {
  if (states.length === 0) return { outcome: "unknown", halfClosed: false, sentBytes: 0 };
  const outcomes = states.map((state) => state.outcome);
  const outcome = (["open", "cancelled"] as const).find((one) => outcomes.includes(one));
  return {
    outcome: outcome ?? "completed",
    halfClosed: states.some((state) => state.halfClosed),
    sentBytes: Math.min(...states.map((state) => state.sentBytes)),
  };
}

export function parseCallReport(payload: Buffer): CallReport {
  const parsed: unknown = JSON.parse(payload.toString("utf8"));
  if (typeof parsed !== "object" || parsed === null || !("servedCount" in parsed)) {
    throw new TypeError(`expected the state of a call, got ${payload.toString("utf8")}`);
  }
  // The sender is our own backend (`CallBook.report`).
  return parsed as CallReport;
}
