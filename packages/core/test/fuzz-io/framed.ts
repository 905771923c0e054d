import type { Rng } from '../fuzz/rng.js'
import { mutate } from './mutate.js'

/** Where the text of a header lies, behind a length that counts it. */
export interface Frame {
  /** Where the length is, and how many bytes it has, little-endian. */
  lengthAt: number
  width: 2 | 4 | 8
}

/** Changes for a format whose header's length is written before it: mostly in the header alone, with the length put right. */
export function mutateFramed(frame: (bytes: Buffer) => Frame | undefined) {
  return (bytes: Buffer, rng: Rng, others: readonly Buffer[]): Buffer => {
    const found = frame(bytes)
    if (found === undefined || rng.chance(0.4)) return mutate(bytes, rng, others)
    const { lengthAt, width } = found
    const at = lengthAt + width
    const length = Number(width === 8 ? bytes.readBigUInt64LE(lengthAt) : bytes.readUIntLE(lengthAt, width))
    if (at + length > bytes.length) return mutate(bytes, rng, others)
    const header = mutate(bytes.subarray(at, at + length), rng, others)
    let data = bytes.subarray(at + length)
    // Sometimes the data follow what the header may now say.
    if (rng.chance(0.3)) data = Buffer.concat([data, Buffer.alloc(rng.int(1, 64), rng.int(0, 1))])
    const head = Buffer.from(bytes.subarray(0, at))
    if (width === 8) head.writeBigUInt64LE(BigInt(header.length), lengthAt)
    else head.writeUIntLE(Math.min(header.length, 2 ** (8 * width) - 1), lengthAt, width)
    return Buffer.concat([head, header, data])
  }
}
