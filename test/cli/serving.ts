// A backend for `grpc-relay serve`, and clients that call it through the command.

import {
  type ClientConn,
  type ClientStream,
  type DialOptions,
  dial,
  Frame,
  Server,
  type StreamHandler,
  type TransportName,
} from "../../src/index.ts";
import { formatAddress } from "../../src/transport/address.ts";
import { closeAtEnd } from "../support/cleanup.ts";
import { type FakeTerminal, type Running, start } from "./terminal.ts";

/** A backend that answers every call by `handler`; where it listens, and the server itself. */
export async function backend(
  handler: StreamHandler,
  address = "127.0.0.1:0",
): Promise<{ readonly address: string; readonly server: Server }> {
  const server = new Server({ unknownServiceHandler: handler });
  closeAtEnd(() => server.close());
  return { address: formatAddress((await server.listen(address)).address), server };
}

export function client(address: string, options?: DialOptions): ClientConn {
  const conn = dial(address, options);
  closeAtEnd(() => conn.close());
  return conn;
}

export const listening = (terminal: FakeTerminal): Promise<string> =>
  terminal.line(/^listening on (.*)$/);

export const echo: StreamHandler<Frame, Frame> = async (stream) => {
  for await (const message of stream) await stream.sendMessage(message);
};

export function callEcho(conn: ClientConn, text: string): ClientStream {
  const call = conn.newStream("/echo.Echo/Echo");
  void call.sendMessage(Buffer.from(text));
  call.closeSend();
  return call;
}

export async function echoed(conn: ClientConn, text: string): Promise<string> {
  const answer = await callEcho(conn, text).recvMessage();
  return answer instanceof Frame ? answer.payload.toString() : String(answer);
}

/** `grpc-relay serve` with one transport on both sides. */
export function startServe(transport: TransportName, ...args: readonly string[]): Running {
  return start("serve", "--transport", transport, ...args);
}
