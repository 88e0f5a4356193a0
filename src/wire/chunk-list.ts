// Lists of chunks that wait, kept as short as what is in them: a peer that sends single octets
// makes us hold about what it sent, not the hundred octets more that each view takes.

/** Lists with fewer chunks are left alone: ordinary messages are never copied for it. */
const JOIN_FROM_CHUNKS = 16;
/** Chunks are joined up to this size: beyond it a view costs little beside what it shows. */
const JOINED_BYTES = 8_192;

/**
 * Appends `chunk`, whose memory stays. The end of a long list is joined as a binary counter
 * carries, a chunk with one before it that is no longer, so that each octet is copied a few times
 * at most and the list stays short.
 */
export function appendChunk(chunks: Buffer[], chunk: Buffer): void {
  chunks.push(chunk);
  while (chunks.length > JOIN_FROM_CHUNKS) {
    const last = chunks[chunks.length - 1] as Buffer;
    const before = chunks[chunks.length - 2] as Buffer;
    const bytes = before.length + last.length;
    if (before.length > last.length || bytes > JOINED_BYTES) return;
    chunks.length -= 2;
    chunks.push(Buffer.concat([before, last], bytes));
  }
}
