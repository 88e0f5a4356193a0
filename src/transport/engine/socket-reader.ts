// Reads a plain socket into the one read buffer, by Node's `onread`. TLS sockets cannot do that:
// theirs is memory of its own.

import { type OnReadOpts, Socket, type SocketConstructorOpts } from "node:net";

/** As much as one read can give: what stays in the cache of the core. */
const READ_BUFFER_BYTES = 65_536;

/**
 * The memory that all of them read into. Reads are synchronous: one has been dealt with before the
 * next. New memory for every read costs more than the copy of what is kept: it is cold, and
 * thousands of reads of it are work for the collector.
 */
const READ_BUFFER: Buffer = Buffer.allocUnsafeSlow(READ_BUFFER_BYTES);

const NOWHERE = { onSocketData(): void {} };

/**
 * Who gets the bytes of a socket: `chunk` up to `end`. When `isLent`, the memory is read into again
 * after the call.
 */
export interface ByteSink {
  onSocketData(chunk: Buffer, end: number, isLent: boolean): void;
}

export class SocketReader {
  /** To be set before the socket is connected or in the turn in which it was accepted. */
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

/**
 * `undefined` on Windows: a read that is under way there has the buffer to itself until it is done.
 */
export function socketReader(): SocketReader | undefined {
  return process.platform === "win32" ? undefined : new SocketReader();
}

/**
 * A socket for an accepted connection that reads by `reader`. `net.Server` takes no `onread` for
 * the sockets that it makes, so the connection moves to another: by the handle, which Node does not
 * document. `undefined`, with `accepted` untouched, where there is none.
 * @param accepted a socket that was accepted with `pauseOnConnect`
 */
export function acceptedBy(
  reader: SocketReader,
  accepted: Socket & { _handle?: unknown },
): Socket | undefined {
  const handle = accepted._handle;
  if (typeof handle !== "object" || handle === null || !("useUserBuffer" in handle)) {
    return undefined;
  }
  accepted._handle = null;
  accepted.destroy();
  const options: SocketConstructorOpts & { readonly handle: object; readonly onread: OnReadOpts } =
    {
      handle,
      onread: reader.onread,
    };
  return new Socket(options);
}
