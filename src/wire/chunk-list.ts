// Lists of waiting chunks that take little more memory than their bytes. Each view takes a hundred
// octets, and a peer that sends single octets must not make us hold a view per octet.

/** Shorter lists are left alone: ordinary messages are never copied. */
const JOIN_FROM_CHUNKS = 16;
/** Chunks are joined up to this size. A longer view costs little compared with its bytes. */
const JOINED_BYTES = 8_192;

/**
 * Appends `chunk`, whose memory stays. The end of a long list is joined as a binary counter
 * carries: a chunk joins the one before if that is not longer. So each octet is copied a few times
 * at most, and the list stays short.
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
