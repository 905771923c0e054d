/** Decoded samples of one size, kept until `limit` bytes are full; what does not fit is not kept. */
export class ByteCache {
  private readonly kept = new Map<number, Uint8Array>()
  private left: number

  constructor(limit: number) {
    this.left = limit
  }

  get(sample: number): Uint8Array | undefined {
    return this.kept.get(sample)
  }

  add(sample: number, bytes: Uint8Array): void {
    if (bytes.length > this.left || this.kept.has(sample)) return
    this.left -= bytes.length
    // Of its own, since a buffer of sharp or of a child process may be a part of a larger one.
    this.kept.set(sample, bytes.byteLength === bytes.buffer.byteLength ? bytes : bytes.slice())
  }
}
