import { expectInteger, expectNumber, expectShape } from '@vq/core'
import { analyzeCodes, entropyOf } from '@vq/quantizers'
import { wholeCodes } from './codes.js'

export interface BitsPerPixel {
  /** Nominal, what codes of fixed length cost: `log2 K · tokens / pixels`, summed over levels. */
  fixed: number
  /** What an ideal entropy coder with these code frequencies, one table per level, would need; absent without counts. */
  entropy?: number
}

export interface CountedBits {
  numEmbeddings: number
  /** Codes per image. */
  tokens: number
  /** Pixels per image, height · width. */
  pixels: number
  /** How often each code occurs, as of `codeCounts`. */
  counts?: ArrayLike<number>
}

export interface CodeBits {
  /** int32 [N, levels], the codes of a token behind one another; −1 where masked, which costs nothing. */
  codes: ArrayLike<number>
  /** Default 1. */
  levels?: number
  /** K, or one per level. */
  codebookSize: number | readonly number[]
  /** Pixels of all the images that these codes stand for together. */
  pixels: number
}

/**
 * Bits per pixel (not per channel) of images: of `tokens` codes per image by the size of the codebook and, with `counts`, by
 * entropy (Shannon 1948, theorem 9); or of the codes of a whole set, over all residual levels. The codebooks themselves are
 * not counted. Throws VqConfigError, VqShapeError and VqValueError for sizes, lengths and codes that do not fit.
 *
 * @example
 * bitsPerPixel({ numEmbeddings: 256, tokens: 64, pixels: 32 * 32 }) // { fixed: 0.5 }
 * bitsPerPixel({ codes, levels: 4, codebookSize: 256, pixels: images * 32 * 32 }) // { fixed, entropy }
 */
export function bitsPerPixel(options: CodeBits): Required<BitsPerPixel>
export function bitsPerPixel(options: CountedBits): BitsPerPixel
export function bitsPerPixel(options: CountedBits | CodeBits): BitsPerPixel {
  expectInteger('bitsPerPixel', 'pixels', options.pixels, 1)
  return 'codes' in options ? ofCodes(options) : ofCounts(options)
}

function ofCounts({ numEmbeddings, tokens, pixels, counts }: CountedBits): BitsPerPixel {
  expectInteger('bitsPerPixel', 'numEmbeddings', numEmbeddings, 1)
  expectNumber('bitsPerPixel', 'tokens', tokens, 0, Number.MAX_SAFE_INTEGER)
  const fixed = (Math.log2(numEmbeddings) * tokens) / pixels
  if (counts === undefined) return { fixed }
  expectShape(
    counts.length <= numEmbeddings,
    'bitsPerPixel',
    `counts of at most ${numEmbeddings} codes`,
    `${counts.length} counts`,
    'Pass codeCounts(indices, numEmbeddings).',
  )
  return { fixed, entropy: (entropyOf(counts) * tokens) / pixels }
}

function ofCodes({ codes, levels = 1, codebookSize, pixels }: CodeBits): Required<BitsPerPixel> {
  const found = analyzeCodes(wholeCodes('bitsPerPixel', codes), { levels, codebookSize }).levels
  let [fixed, entropy] = [0, 0]
  for (const { chosen, used, dead, entropy: bits } of found) {
    // A level may be masked where those before it are not: each counts the tokens that it has.
    const tokens = chosen.counts.reduce((sum, n) => sum + n, 0)
    fixed += (Math.log2(used + dead) * tokens) / pixels
    entropy += (bits * tokens) / pixels
  }
  return { fixed, entropy }
}
