// The PINGs that we sent and that are not acknowledged yet (RFC 9113 §6.7).

/** Marks our own PINGs: the mark is the first half of their opaque octets, a counter the second. */
const MARK = 0x67725072;
const OPAQUE: Buffer = Buffer.alloc(8);

export class Pings {
  private readonly waiting = new Map<number, () => void>();
  private last = 0;

  /** The opaque octets of a new PING, to be written before the next one is made. */
  next(onAcknowledged: () => void): Buffer {
    this.last = (this.last + 1) >>> 0;
    this.waiting.set(this.last, onAcknowledged);
    OPAQUE.writeUInt32BE(MARK, 0);
    OPAQUE.writeUInt32BE(this.last, 4);
    return OPAQUE;
  }

  /** An acknowledgement came with the octets at `start` of `opaque`. */
  acknowledged(opaque: Buffer, start: number): void {
    if (opaque.readUInt32BE(start) !== MARK) return;
    const number = opaque.readUInt32BE(start + 4);
    const onAcknowledged = this.waiting.get(number);
    if (onAcknowledged === undefined) return;
    this.waiting.delete(number);
    onAcknowledged();
  }

  clear(): void {
    this.waiting.clear();
  }
}
