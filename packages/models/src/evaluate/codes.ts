import { expectInteger, expectNumber, expectShape, VqValueError } from '@vq/core'

/** How often each of `numEmbeddings` codes occurs. Masked positions (−1) are not counted. */
export function codeCounts(indices: ArrayLike<number>, numEmbeddings: number): Float64Array {
  expectInteger('codeCounts', 'numEmbeddings', numEmbeddings, 1)
  const counts = new Float64Array(numEmbeddings)
  for (let i = 0; i < indices.length; i++) {
    const code = indices[i]!
    if (code === -1) continue
    if (!Number.isInteger(code) || code < 0 || code >= numEmbeddings)
      throw new VqValueError({
        operation: 'codeCounts',
        expected: `codes from 0 to ${numEmbeddings - 1}, or -1 where masked`,
        received: `${code} at position ${i}`,
        remedy: 'Pass the indices of one codebook and its size.',
      })
    counts[code]! += 1
  }
  return counts
}

/** Entropy in bits of the distribution that the counts describe; 0 for no counts at all. */
export function entropy(counts: ArrayLike<number>): number {
  let total = 0
  for (let k = 0; k < counts.length; k++) total += counts[k]!
  let bits = 0
  for (let k = 0; k < counts.length; k++) {
    const p = counts[k]! / total
    if (p > 0) bits -= p * Math.log2(p)
  }
  return bits
}

/** `2^entropy`: the number of equally likely codes that would be as hard to guess. From 1 to the number of codes. */
export function perplexity(counts: ArrayLike<number>): number {
  return 2 ** entropy(counts)
}

/** Share of the codes that occur at least once, 0 to 1. */
export function usage(counts: ArrayLike<number>): number {
  expectShape(
    counts.length > 0,
    'usage',
    'at least one code',
    'no counts',
    'Pass codeCounts(indices, numEmbeddings).',
  )
  let used = 0
  for (let k = 0; k < counts.length; k++) if (counts[k]! > 0) used++
  return used / counts.length
}

export interface BitsPerPixel {
  /** What fixed-length codes cost: `log2(numEmbeddings) · tokens / pixels`. */
  fixed: number
  /** What an ideal entropy coder with these code frequencies would need; absent without counts. */
  entropy?: number
}

/** Bits per pixel (not per channel) of images stored as `tokens` codes each. The codebook itself is not counted. */
export function bitsPerPixel(options: {
  numEmbeddings: number
  /** Codes per image. */
  tokens: number
  /** Pixels per image, height · width. */
  pixels: number
  counts?: ArrayLike<number>
}): BitsPerPixel {
  const { numEmbeddings, tokens, pixels, counts } = options
  expectInteger('bitsPerPixel', 'numEmbeddings', numEmbeddings, 1)
  expectNumber('bitsPerPixel', 'tokens', tokens, 0, Number.MAX_SAFE_INTEGER)
  expectInteger('bitsPerPixel', 'pixels', pixels, 1)
  const fixed = (Math.log2(numEmbeddings) * tokens) / pixels
  return counts === undefined ? { fixed } : { fixed, entropy: (entropy(counts) * tokens) / pixels }
}
