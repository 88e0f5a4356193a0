// What the contract cases stand on: the transport under test between recorders, or between a
// recorder and a script.

import { expect } from "vitest";
import type {
  ClientSession,
  ConnectOptions,
  Listener,
  ListenOptions,
  Session,
  SessionOptions,
  StreamEnd,
  Transport,
} from "../../../src/transport/transport.ts";
import { ErrorCode } from "../../../src/wire/error-code.ts";
import { closeAtEnd, within } from "../../support/cleanup.ts";
import { type FieldInput, type Frame, fieldsOf, request } from "../../support/frames.ts";
import {
  guard,
  SessionRecorder,
  type StreamRecorder,
  type StreamRecorderOptions,
} from "../../support/recorder.ts";
import { ScriptedClient, ScriptedServer } from "../../support/scripted-endpoints.ts";
import type { PeerOptions, ScriptedPeer } from "../../support/scripted-peer.ts";

/**
 * What a transport is known not to be able to do. The value is the reason; the suite then asserts
 * the weaker behaviour that is documented, it never leaves a case out.
 *
 * - `fieldOrder`: fields of one name go out together; the order of a name's values is kept.
 * - `acceptedBytes`: `sendData` accepts a bounded amount beyond the peer's window.
 * - `drainSteps`: a server announces its drain in one step.
 * - `protocolKind`: a stream that the transport reset because the peer broke the protocol is told
 *   as kind "reset".
 * - `requestTrailers`: request trailers are sent as END_STREAM alone.
 * - `overdraft`: the frame that overdraws a window may be delivered before the stream is reset.
 * - `protocolClose`: neither GOAWAY nor the session's end says which code a breach of the protocol
 *   has.
 * - `refusals`: the owner is not told of a malformed request or response that was reset.
 * - `streamLimit`: a client above our MAX_CONCURRENT_STREAMS loses the connection instead of the
 *   stream.
 * - `blanks`: fields with blanks around their value are lost.
 * - `controlOctets`: fields with control octets are lost, and cost nothing else.
 * - `goAwayPing`: no PING is sent behind the peer's GOAWAY.
 * - `unixAuthority`: what clients over UNIX sockets send as `:authority` may cost the stream.
 */
export type Weakness =
  | "fieldOrder"
  | "acceptedBytes"
  | "drainSteps"
  | "protocolKind"
  | "requestTrailers"
  | "overdraft"
  | "protocolClose"
  | "refusals"
  | "streamLimit"
  | "blanks"
  | "controlOctets"
  | "goAwayPing"
  | "unixAuthority";

export interface Contract {
  readonly makeTransport: () => Transport;
  /** It speaks HTTP/2 on sockets, so scripted peers can talk to it. */
  readonly sockets: boolean;
  readonly weaker: Readonly<Partial<Record<Weakness, string>>>;
}

export interface End<S extends Session = Session> {
  readonly session: S;
  readonly events: SessionRecorder;
}

export interface Scripted<S extends Session = Session> extends End<S> {
  readonly peer: ScriptedPeer;
}

export interface Options {
  /** For the side under test; for both in a loopback. */
  readonly session?: SessionOptions;
  /** For the client side alone. */
  readonly connect?: Pick<ConnectOptions, "keepalive">;
  /** For the server side alone. */
  readonly listen?: Pick<ListenOptions, "keepalive">;
  readonly peer?: PeerOptions;
  readonly streams?: StreamRecorderOptions;
}

/** The client side of the transport connected to a script, its SETTINGS received. */
export async function clientToScript(
  contract: Contract,
  options: Options = {},
): Promise<Scripted<ClientSession> & { readonly backend: ScriptedServer }> {
  const backend = await ScriptedServer.listen(options.peer);
  const connectOptions = { address: backend.address, ...options.session, ...options.connect };
  const end = connect(contract, connectOptions, options.streams);
  const peer = await backend.connection();
  if (options.peer?.handshake !== false && options.peer?.settings?.MAX_CONCURRENT_STREAMS !== 0)
    await end.events.untilAvailable();
  return { ...end, peer, backend };
}

/** A script connected to the server side of the transport. */
export async function scriptToServer(
  contract: Contract,
  options: Options = {},
): Promise<Scripted & { readonly listener: Listener }> {
  const server = await serve(contract, { ...options.session, ...options.listen }, options.streams);
  const [end, peer] = await Promise.all([
    server.nextSession(),
    ScriptedClient.connect(server.listener.address, options.peer),
  ]);
  return { ...end, peer, listener: server.listener };
}

export interface Loopback {
  readonly client: End<ClientSession>;
  readonly server: End;
  readonly listener: Listener;
  /** Opens a stream and waits until the server has it. */
  call(fields?: readonly FieldInput[], endStream?: boolean): Promise<Call>;
}

export interface Call {
  readonly client: StreamRecorder;
  readonly server: StreamRecorder;
}

/** The transport connected to itself. */
export async function loopback(contract: Contract, options: Options = {}): Promise<Loopback> {
  const listening = await serve(contract, options.session, options.streams);
  const address = listening.listener.address;
  const client = connect(contract, { address, ...options.session }, options.streams);
  const server = await listening.nextSession();
  await client.events.untilAvailable();
  return {
    client,
    server,
    listener: listening.listener,
    async call(fields = request("/a/B"), endStream = false): Promise<Call> {
      const opened = open(client, fields, endStream, options.streams);
      return { client: opened, server: await server.events.nextStream() };
    },
  };
}

/**
 * Starts connecting; at the end of the test the session is destroyed and its promises looked at.
 */
export function connect(
  contract: Contract,
  options: ConnectOptions,
  streams: StreamRecorderOptions = {},
): End<ClientSession> {
  const events = new SessionRecorder("client", streams);
  const session = contract.makeTransport().connect(options, events);
  events.attach(session);
  settleAtEnd(session, events);
  return { session: guard(session), events };
}

export interface Serving {
  readonly listener: Listener;
  readonly errors: Error[];
  nextSession(): Promise<End>;
  readonly sessionCount: number;
}

export async function serve(
  contract: Contract,
  options: Partial<ListenOptions> = {},
  streams: StreamRecorderOptions = {},
): Promise<Serving> {
  const ends: End[] = [];
  const errors: Error[] = [];
  let onSession: (() => void) | undefined;
  let claimed = 0;
  const listener = await contract.makeTransport().listen(
    { address: { host: "127.0.0.1", port: 0 }, ...options },
    {
      onSession(session: Session): SessionRecorder {
        const events = new SessionRecorder("server", streams);
        events.attach(session);
        ends.push({ session: guard(session), events });
        onSession?.();
        return events;
      },
      onError(error: Error): void {
        errors.push(error);
      },
    },
  );
  closeAtEnd(async () => {
    for (const end of ends) await settle(end.session, end.events);
    await listener.close();
  });
  return {
    listener,
    errors,
    get sessionCount(): number {
      return ends.length;
    },
    async nextSession(): Promise<End> {
      const index = claimed++;
      while (ends.length <= index) {
        const accepted = new Promise<void>((resolve) => {
          onSession = resolve;
        });
        await within("a session", accepted);
      }
      return ends[index]!;
    },
  };
}

/** The kind of a stream's end that the peer's breach of the protocol brought about. */
export function protocolKind(contract: Contract): StreamEnd["kind"] {
  return contract.weaker.protocolKind === undefined ? "protocol" : "reset";
}

/** Opens a stream whose recorder is `events`' newest. */
export function open(
  end: End<ClientSession>,
  fields: readonly FieldInput[] = request("/a/B"),
  endStream = false,
  options?: StreamRecorderOptions,
): StreamRecorder {
  const recorder = end.events.newStream(options);
  recorder.attach(end.session.openStream(fieldsOf(fields), endStream, recorder));
  return recorder;
}

/** A request of the script as the server sees it. */
export async function requestFromScript(
  end: Scripted,
  ...frames: readonly (Frame | Uint8Array)[]
): Promise<StreamRecorder> {
  end.peer.send(...frames);
  return await end.events.nextStream();
}

/** Everything that was under way when it was called has arrived: three round trips. */
export async function settled(session: Session): Promise<void> {
  for (let round = 0; round < 3; round++) {
    await within("a PING", new Promise<void>((resolve) => session.ping(resolve)));
  }
}

function settleAtEnd(session: Session, events: SessionRecorder): void {
  closeAtEnd(() => settle(session, events));
}

/**
 * `onClosed` comes exactly once whatever happened, no stream is left, and no promise was broken.
 */
async function settle(session: Session, events: SessionRecorder): Promise<void> {
  if (events.end === undefined) session.destroy(ErrorCode.NO_ERROR, "the test is over");
  await events.untilClosed();
  expect(session.openStreamCount).toBe(0);
  expect(session.accepting).toBe(false);
  expect(events.allViolations).toEqual([]);
}
