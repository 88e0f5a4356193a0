// Reads a plain socket into the one read buffer, by Node's `onread`. TLS sockets cannot do that:
// they give memory of their own.

import { type OnReadOpts, Socket, type SocketConstructorOpts } from "node:net";
import { READ_BUFFER } from "../../wire/arena.ts";

const NOWHERE = { onSocketData(): void {} };

/**
 * Gets the bytes of a socket: `chunk` up to `end`. When `isLent`, the memory is read into again
 * after the call.
 */
export interface ByteSink {
  onSocketData(chunk: Buffer, end: number, isLent: boolean): void;
}

export class SocketReader {
  /** Set this before the socket is connected, or in the turn in which it was accepted. */
  sink: ByteSink = NOWHERE;
  readonly onread: OnReadOpts = {
    buffer: READ_BUFFER,
    callback: (byteCount: number): boolean => {
      this.read(byteCount);
      return true;
    },
  };

  /** The socket has put `byteCount` bytes into the buffer. */
  read(byteCount: number): void {
    this.sink.onSocketData(READ_BUFFER, byteCount, true);
  }
}

/** `undefined` on Windows: a read that is under way there owns the buffer until it is done. */
export function socketReader(): SocketReader | undefined {
  return process.platform === "win32" ? undefined : new SocketReader();
}

/**
 * A socket for an accepted connection that reads by `reader`. `net.Server` takes no `onread` for
 * the sockets that it makes. So the connection moves to another socket, by the handle, which Node
 * does not document. Without a handle the result is `undefined`, and `accepted` is untouched.
 * @param accepted a socket that was accepted with `pauseOnConnect`, or in this turn. Its listeners
 *   of `close` are told when the connection has closed
 */
export function acceptedBy(
  reader: SocketReader,
  accepted: Socket & { _handle?: unknown },
): Socket | undefined {
  const handle = accepted._handle;
  if (typeof handle !== "object" || handle === null || !("useUserBuffer" in handle)) {
    return undefined;
  }
  const closing = accepted.listeners("close");
  accepted.removeAllListeners("close");
  accepted._handle = null;
  accepted.destroy();
  const options: SocketConstructorOpts & { readonly handle: object; readonly onread: OnReadOpts } =
    {
      handle,
      onread: reader.onread,
    };
  const socket = new Socket(options);
  for (const listener of closing) socket.once("close", () => listener());
  return socket;
}
