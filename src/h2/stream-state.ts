// Stream lifecycle (RFC 9113 §5.1). Everything that can move a stream between states is in
// TRANSITIONS. Server push is refused (§8.4), so there are no reserved states; a stream without an
// entry in the stream table is idle or closed.
//
//                       +--------+
//                       |  idle  |
//                       +--------+
//                            | HEADERS
//                            v
//                       +--------+
//        recv ES        |  open  |        send ES
//       +---------------|        |---------------+
//       v               +--------+               v
//  +----------+              |              +----------+
//  |  half    |              | RST_STREAM   |  half    |
//  |  closed  |              |              |  closed  |
//  | (remote) |              v              | (local)  |
//  +----------+         +--------+          +----------+
//       |    send ES    | closed |    recv ES     |
//       +-------------->|        |<---------------+
//                       +--------+

export const OPEN = 0;
const HALF_CLOSED_LOCAL = 1;
const HALF_CLOSED_REMOTE = 2;
export const CLOSED = 3;
export type StreamState = 0 | 1 | 2 | 3;

export const RECV_END_STREAM = 0;
export const SEND_END_STREAM = 1;
/** RST_STREAM either way, or the end of the connection. */
export const RESET = 2;
type StreamEvent = 0 | 1 | 2;

type Row = readonly [StreamState, StreamState, StreamState];

/**
 * An event that cannot happen in a state leaves the state as it is: the caller has checked before.
 */
// biome-ignore format: table
const TRANSITIONS: readonly [Row, Row, Row, Row] = [
  // RECV_END_STREAM      SEND_END_STREAM     RESET
  [HALF_CLOSED_REMOTE,    HALF_CLOSED_LOCAL,  CLOSED], // OPEN
  [CLOSED,                HALF_CLOSED_LOCAL,  CLOSED], // HALF_CLOSED_LOCAL
  [HALF_CLOSED_REMOTE,    CLOSED,             CLOSED], // HALF_CLOSED_REMOTE
  [CLOSED,                CLOSED,             CLOSED], // CLOSED
];

export function nextState(state: StreamState, event: StreamEvent): StreamState {
  return TRANSITIONS[state][event];
}

/** The peer may still send DATA or trailers. */
export function remoteIsOpen(state: StreamState): boolean {
  return state < HALF_CLOSED_REMOTE;
}

/** We may still send DATA or trailers. */
export function localIsOpen(state: StreamState): boolean {
  return (state & 1) === 0;
}
