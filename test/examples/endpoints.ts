// To either side of the proxies of the examples: backends that tell what they got, and a client.

import {
  type ClientConn,
  type DialOptions,
  dial,
  Frame,
  GrpcError,
  Metadata,
  Server,
  type ServerStream,
  statusName,
} from "grpc-relay";
import { formatAddress } from "../../src/transport/address.ts";
import { closeAtEnd } from "../support/cleanup.ts";

/** Where `server` now listens; it is closed at the end of the test. */
export async function listen(server: Server): Promise<string> {
  closeAtEnd(() => server.close());
  return formatAddress((await server.listen("127.0.0.1:0")).address);
}

export function connect(address: string, options?: DialOptions): ClientConn {
  const conn = dial(address, options);
  closeAtEnd(() => conn.close());
  return conn;
}

export interface Backend {
  readonly address: string;
  readonly conn: ClientConn;
  /** The requests that came, whole calls joined by commas. */
  readonly requests: string[];
  /** The metadata of the last call. */
  metadata: Metadata;
  /** The `:authority` of the last call. */
  authority: string;
}

/** A backend that answers every call with its name, once for each message, or with `failure`. */
export async function startBackend(name: string, failure?: GrpcError): Promise<Backend> {
  const requests: string[] = [];
  const answer = async (stream: ServerStream<Frame, Buffer>): Promise<void> => {
    backend.metadata = stream.context.metadata;
    backend.authority = stream.context.authority;
    const messages: string[] = [];
    for await (const { payload } of stream) {
      messages.push(payload.toString());
      await stream.sendMessage(Buffer.from(name));
    }
    requests.push(messages.join());
    if (failure !== undefined) throw failure;
  };
  const server = new Server({ unknownServiceHandler: answer });
  const address = await listen(server);
  const backend: Backend = {
    address,
    conn: connect(address),
    requests,
    metadata: new Metadata(),
    authority: "",
  };
  return backend;
}

/**
 * Makes a call with these messages.
 * @returns the answers, joined by commas; for a call that fails, `STATUS: details`
 */
export async function ask(
  conn: ClientConn,
  method: string,
  messages: readonly string[],
  metadata?: Metadata,
): Promise<string> {
  const call = conn.newStream(method, metadata === undefined ? {} : { metadata });
  const answers: string[] = [];
  try {
    for (const message of messages) await call.sendMessage(Buffer.from(message));
    call.closeSend();
    for await (const answer of call) {
      if (answer instanceof Frame) answers.push(answer.payload.toString());
    }
    return answers.join();
  } catch (error) {
    if (error instanceof GrpcError) return `${statusName(error.status)}: ${error.details}`;
    throw error;
  }
}
