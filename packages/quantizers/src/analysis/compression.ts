import { expectInteger, expectNumber } from '@vq/core'

export interface Compression {
  /** Bits of a vector as float32. */
  original: number
  /** Bits of its codes. */
  codes: number
  /** original / codes; infinite for codes of 0 bits. */
  ratio: number
  /** The same with the codebooks' float32 numbers shared among `count` vectors. */
  ratioWithCodebook: number
}

/**
 * How much smaller `count` vectors of `dim` float32 numbers are as codes of `bits` bits, without and with the codebook.
 * Throws VqConfigError for sizes that are none.
 */
export function compressionOf({
  dim,
  bits,
  count,
  codebookNumbers,
}: {
  dim: number
  bits: number
  count: number
  /** Numbers in all codebooks together. */
  codebookNumbers: number
}): Compression {
  expectInteger('compressionOf', 'dim', dim, 1)
  expectNumber('compressionOf', 'bits', bits, 0, Number.MAX_VALUE)
  expectInteger('compressionOf', 'count', count, 1)
  expectInteger('compressionOf', 'codebookNumbers', codebookNumbers, 0)
  const original = 32 * dim
  return {
    original,
    codes: bits,
    ratio: original / bits,
    ratioWithCodebook: (original * count) / (bits * count + 32 * codebookNumbers),
  }
}
