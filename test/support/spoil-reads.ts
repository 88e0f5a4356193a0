// Set up before every test: after each read of a plain socket the read buffer is overwritten, so
// that whoever has kept a view of it instead of a copy is found out by what it says next.

import { SocketReader } from "../../src/transport/engine/socket-reader.ts";

const { read } = SocketReader.prototype;

SocketReader.prototype.read = function (this: SocketReader, byteCount: number): void {
  read.call(this, byteCount);
  if (Buffer.isBuffer(this.onread.buffer)) this.onread.buffer.fill(0xdb, 0, byteCount);
};
