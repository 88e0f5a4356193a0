// The connectivity state of one address, or of a whole connection, as gRPC defines it.

import type { GrpcError } from "../../grpc/error.ts";

/**
 * The connectivity state of the address, as gRPC defines it. It is the first that holds, in this
 * order: shutdown, ready, connecting, transientFailure, idle. So from ready it may go to any other.
 */
export type SubchannelState =
  /** Nobody is connecting, and nobody waits for a backoff. */
  | { readonly kind: "idle" }
  /** No session takes calls, and one is being made. */
  | { readonly kind: "connecting" }
  /** At least one session takes calls. `Subchannel.hasRoom` says whether there is room. */
  | { readonly kind: "ready" }
  /** The address could not be reached. It is tried again after the backoff if it is wanted then. */
  | { readonly kind: "transientFailure"; readonly error: GrpcError }
  /** It is shut down for good. Calls that waited for it fail with `error`. */
  | { readonly kind: "shutdown"; readonly error: GrpcError };

export const IDLE: SubchannelState = { kind: "idle" };
export const CONNECTING: SubchannelState = { kind: "connecting" };
const READY: SubchannelState = { kind: "ready" };

/**
 * The state of an address that was not shut down.
 * @param failure while the backoff runs: why the latest attempt failed
 */
export function stateOf(
  hasReady: boolean,
  isConnecting: boolean,
  failure: GrpcError | undefined,
): SubchannelState {
  if (hasReady) return READY;
  if (isConnecting) return CONNECTING;
  return failure === undefined ? IDLE : { kind: "transientFailure", error: failure };
}
