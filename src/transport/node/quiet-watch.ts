// Finds sessions that node:http2 on Node 20 leaves for dead: after some breaches of the protocol nghttp2 sends GOAWAY, reads
// nothing more and tells nobody, so that not even the end of the socket is seen. Newer Node closes them itself.

/** What can be asked whether it still hears its peer. */
export interface Probed {
  /** Ends the session when a PING of the probe before went unanswered; sends one when nothing was received since. */
  probe(): void;
}

const SERVER_PROBE_MS = 30_000;
/** gRPC servers forbid a client more than one PING in five minutes by default (gRFC A8). */
const ROUNDS_OF_A_CLIENT = 11;

const IS_NEEDED = process.versions.node.startsWith("20.");

interface Watched {
  readonly everyRounds: number;
  rounds: number;
}

const watched = new Map<Probed, Watched>();
let timer: NodeJS.Timeout | undefined;

/** One timer for all sessions; it does not keep the process alive. */
export function watch(session: Probed, side: "client" | "server"): void {
  if (!IS_NEEDED) return;
  watched.set(session, { everyRounds: side === "server" ? 1 : ROUNDS_OF_A_CLIENT, rounds: 0 });
  timer ??= setInterval(probeAll, SERVER_PROBE_MS).unref();
}

export function unwatch(session: Probed): void {
  watched.delete(session);
  if (watched.size > 0 || timer === undefined) return;
  clearInterval(timer);
  timer = undefined;
}

function probeAll(): void {
  for (const [session, state] of watched) {
    state.rounds++;
    if (state.rounds < state.everyRounds) continue;
    state.rounds = 0;
    session.probe();
  }
}
