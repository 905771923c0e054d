import { expectInteger, expectShape, VqValueError } from '@vq/core'
import { analyzeCodes, entropyOf } from '@vq/quantizers'

/**
 * How often each of `numEmbeddings` codes occurs, [K]. Masked positions (−1) are not counted. Throws VqConfigError for a
 * size that is none, VqValueError for codes that the codebook does not have.
 */
export function codeCounts(indices: ArrayLike<number>, numEmbeddings: number): Float64Array {
  expectInteger('codeCounts', 'numEmbeddings', numEmbeddings, 1, 2 ** 31 - 1)
  const codes = wholeCodes('codeCounts', indices)
  return analyzeCodes(codes, { codebookSize: numEmbeddings }).levels[0].counts
}

/** Codes as int32; throws VqValueError for what int32 does not hold, which a plain conversion would change. */
export function wholeCodes(operation: string, codes: ArrayLike<number>): Int32Array {
  if (codes instanceof Int32Array) return codes
  const whole = Int32Array.from(codes)
  for (let i = 0; i < whole.length; i++)
    if (whole[i] !== codes[i])
      throw new VqValueError({
        operation,
        expected: 'whole numbers',
        received: `${codes[i]} at position ${i}`,
        remedy: 'Pass codes as a quantizer gives them.',
      })
  return whole
}

/** Entropy in bits of the distribution that the counts describe; 0 for no counts at all. Throws VqValueError for counts below 0. */
export function entropy(counts: ArrayLike<number>): number {
  return entropyOf(counts)
}

/** `2^entropy`: the number of equally likely codes that would be as hard to guess. From 1 to the number of codes. */
export function perplexity(counts: ArrayLike<number>): number {
  return 2 ** entropyOf(counts)
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
  for (let k = 0; k < counts.length; k++) if (counts[k] > 0) used++
  return used / counts.length
}
