// A read that is too much work for one turn: the connection goes on in later turns, and others have
// theirs meanwhile.

import { connect as connectSocket, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { describe, expect, it } from "vitest";
import { engineTransport } from "../../../src/transport/engine/index.ts";
import type { Session, SessionEnd, StreamListener } from "../../../src/transport/transport.ts";
import { makeCertificate } from "../../support/certificate.ts";
import { closeAtEnd, within } from "../../support/cleanup.ts";
import { frames, request } from "../../support/frames.ts";

/** More than fits in a turn, and in one read of a socket. */
const REQUESTS = 900;
/** A turn may have a read of its own, and a share of the rest of the read before. */
const MOST_IN_A_TURN = (4_096 + 2_048) / 17;

const IGNORE: StreamListener = {
  onHeaders: () => {},
  onData: () => {},
  onTrailers: () => {},
  onWritable: () => {},
  onReset: () => {},
};

/** Streams in the order in which they came, and how many of them came in each turn. */
class Arrivals {
  readonly streamIds: number[] = [];
  readonly perTurn: number[] = [];
  onArrival: (session: Session) => void = () => {};
  #isTurnOpen = false;
  #waiting: (() => void) | undefined;

  note(session: Session, streamId: number): void {
    if (!this.#isTurnOpen) {
      this.#isTurnOpen = true;
      this.perTurn.push(0);
      setImmediate(() => {
        this.#isTurnOpen = false;
      });
    }
    this.perTurn.push((this.perTurn.pop() ?? 0) + 1);
    this.streamIds.push(streamId);
    this.onArrival(session);
    this.#waiting?.();
  }

  until(count: number): Promise<void> {
    const come = new Promise<void>((resolve) => {
      this.#waiting = () => {
        if (this.streamIds.length >= count) resolve();
      };
      this.#waiting();
    });
    return within(`${count} requests`, come);
  }
}

interface Serving {
  readonly arrivals: Arrivals;
  readonly ended: Promise<SessionEnd>;
  connect(): Promise<Socket>;
}

async function serve(isSecure = false): Promise<Serving> {
  const arrivals = new Arrivals();
  const certificate = isSecure ? makeCertificate() : undefined;
  let onEnd: (end: SessionEnd) => void;
  const ended = new Promise<SessionEnd>((resolve) => {
    onEnd = resolve;
  });
  const listener = await engineTransport().listen(
    {
      address: { host: "127.0.0.1", port: 0 },
      ...(certificate === undefined ? {} : { tls: certificate }),
    },
    {
      onSession: (session) => {
        closeAtEnd(() => session.destroy(0, "the test is over"));
        return {
          onStream: (stream) => {
            arrivals.note(session, stream.id);
            return IGNORE;
          },
          onGoAway: () => {},
          onRefused: () => {},
          onAvailable: () => {},
          onClosed: (end: SessionEnd) => onEnd(end),
        };
      },
      onError: () => {},
    },
  );
  closeAtEnd(() => listener.close());
  const connect = async (): Promise<Socket> => {
    const { address } = listener;
    const socket =
      certificate === undefined
        ? connectSocket(address)
        : connectTls({
            ...address,
            ca: certificate.cert,
            servername: "localhost",
            ALPNProtocols: ["h2"],
          });
    closeAtEnd(() => socket.destroy());
    socket.resume();
    const name = certificate === undefined ? "connect" : "secureConnect";
    await within("a connection", new Promise<void>((resolve) => socket.once(name, resolve)));
    return socket;
  };
  return { arrivals, ended, connect };
}

const OPENING: Buffer = frames.bytes(frames.preface(), frames.settings(), frames.settingsAck());

/** `count` requests from stream `first` on. */
function requests(count: number, first = 1): Buffer {
  return frames.bytes(
    OPENING,
    ...Array.from({ length: count }, (_, i) => frames.headers(first + 2 * i, request("/a/B"))),
  );
}

const IDS = Array.from({ length: REQUESTS }, (_, i) => 1 + 2 * i);

describe("requests that come at once", () => {
  it.each([
    ["a plain socket", false],
    ["TLS", true],
  ])("on %s are spread over turns, in their order", async (_, isSecure) => {
    const { arrivals, connect } = await serve(isSecure);
    (await connect()).write(requests(REQUESTS));
    await arrivals.until(REQUESTS);
    expect(arrivals.streamIds).toEqual(IDS);
    expect(Math.max(...arrivals.perTurn)).toBeLessThanOrEqual(MOST_IN_A_TURN);
  });

  it("let a request of another connection pass", async () => {
    const { arrivals, connect } = await serve();
    const [busy, other] = [await connect(), await connect()];
    busy.write(requests(REQUESTS));
    other.write(requests(1, 2 * REQUESTS + 1));
    await arrivals.until(REQUESTS + 1);
    const place = arrivals.streamIds.indexOf(2 * REQUESTS + 1);
    expect(place).toBeLessThanOrEqual(2 * MOST_IN_A_TURN);
    expect(arrivals.streamIds.filter((id) => id <= 2 * REQUESTS)).toEqual(IDS);
  });

  it("are all taken from a client that ends its side behind them, and are read on afterwards", async () => {
    const { arrivals, ended, connect } = await serve();
    const socket = await connect();
    socket.write(requests(REQUESTS));
    await arrivals.until(REQUESTS);
    socket.end(frames.headers(2 * REQUESTS + 1, request("/a/B")).bytes());
    await arrivals.until(REQUESTS + 1);
    expect((await within("the end of the session", ended)).kind).toBe("socket");
  });

  it("are dropped when the session ends meanwhile", async () => {
    const { arrivals, ended, connect } = await serve();
    arrivals.onArrival = (session) => session.destroy(0, "enough");
    const socket = await connect();
    socket.write(requests(REQUESTS));
    expect((await within("the end of the session", ended)).kind).toBe("destroyed");
    expect(arrivals.streamIds).toEqual([1]);
  });
});
