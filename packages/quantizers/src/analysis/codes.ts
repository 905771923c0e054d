// What codes are worth: how evenly they are used, how many bits they hold, how often full codes collide.
import { expectInteger, expectShape, VqValueError } from '@vq/core'

export interface LevelUsage {
  /** [K], how often each code occurs. */
  counts: Float64Array
  /** Codes that occur. */
  used: number
  /** Codes that do not. */
  dead: number
  /** used / K */
  ratio: number
  /** Entropy of the codes in bits, 0 … log2 K. */
  entropy: number
  /** 2^entropy, 1 … K. */
  perplexity: number
}

export interface Collisions {
  /** Number of different full codes. */
  distinct: number
  /** Vectors whose full code another one has too. */
  colliding: number
  /** colliding / N */
  rate: number
  /** Vectors of the most frequent full code. */
  largest: number
}

export interface CodeAnalysis {
  /** N */
  count: number
  levels: LevelUsage[]
  collisions: Collisions
  /** Bits of a vector: Σ log2 K as stored, Σ of the levels' entropies as a code per level could reach, and the entropy of full codes. */
  bits: { nominal: number; entropy: number; joint: number }
}

/**
 * Statistics of codes int32 [N, Q], row by row, of Q codebooks of K codes each (`codebookSize`, or one number per level).
 * Vectors with −1 are left out; a −1 from some level on counts at the levels before. Throws VqShapeError and VqValueError.
 */
export function analyzeCodes(
  codes: Int32Array,
  { levels = 1, codebookSize }: { levels?: number; codebookSize: number | readonly number[] },
): CodeAnalysis {
  const operation = 'analyzeCodes'
  expectInteger(operation, 'levels', levels, 1)
  const sizes = typeof codebookSize === 'number' ? new Array<number>(levels).fill(codebookSize) : codebookSize
  for (const size of sizes) expectInteger(operation, 'codebookSize', size, 1, 2 ** 31 - 1)
  expectShape(
    sizes.length === levels && codes.length % levels === 0,
    operation,
    `codes [N, ${levels}] and as many sizes as levels`,
    `${codes.length} codes and ${sizes.length} sizes`,
    'Pass the codes of a vector behind one another.',
  )
  const counts = sizes.map(size => new Float64Array(size))
  const full = new Map<string, number>()
  let count = 0
  for (let at = 0; at < codes.length; at += levels) {
    if (codes[at] === -1) continue
    count++
    for (let l = 0; l < levels && codes[at + l] !== -1; l++) counts[l][inside(codes[at + l], sizes[l], l)]++
    const key = codes.subarray(at, at + levels).join()
    full.set(key, (full.get(key) ?? 0) + 1)
  }
  const usage = counts.map(usageOfLevel)
  const times = [...full.values()]
  const colliding = times.reduce((sum, n) => sum + (n > 1 ? n : 0), 0)
  return {
    count,
    levels: usage,
    collisions: {
      distinct: full.size,
      colliding,
      rate: count === 0 ? 0 : colliding / count,
      largest: times.reduce((a, b) => Math.max(a, b), 0),
    },
    bits: {
      nominal: sizes.reduce((sum, k) => sum + Math.log2(k), 0),
      entropy: usage.reduce((sum, { entropy }) => sum + entropy, 0),
      joint: entropyOf(times),
    },
  }
}

function inside(code: number, size: number, level: number): number {
  if (code >= 0 && code < size) return code
  throw new VqValueError({
    operation: 'analyzeCodes',
    expected: `codes from 0 to ${size - 1} at level ${level}, or −1`,
    received: String(code),
    remedy: 'Pass the sizes of the codebooks that made the codes.',
  })
}

/** Entropy in bits of how often things occur. */
export function entropyOf(counts: ArrayLike<number>): number {
  let total = 0
  for (let i = 0; i < counts.length; i++) total += counts[i]
  let entropy = 0
  for (let i = 0; i < counts.length; i++)
    if (counts[i] > 0) entropy -= (counts[i] / total) * Math.log2(counts[i] / total)
  return entropy
}

export function usageOfLevel(counts: Float64Array): LevelUsage {
  const used = counts.reduce((n, c) => n + (c > 0 ? 1 : 0), 0)
  const entropy = entropyOf(counts)
  return {
    counts,
    used,
    dead: counts.length - used,
    ratio: used / counts.length,
    entropy,
    perplexity: 2 ** entropy,
  }
}

export interface Compression {
  /** Bits of a vector as float32. */
  original: number
  /** Bits of its codes. */
  codes: number
  /** original / codes */
  ratio: number
  /** The same with the codebooks' float32 numbers shared among `count` vectors. */
  ratioWithCodebook: number
}

/** How much smaller `count` vectors of `dim` float32 numbers are as codes of `bits` bits, without and with the codebook. */
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
  expectInteger('compressionOf', 'count', count, 1)
  const original = 32 * dim
  return {
    original,
    codes: bits,
    ratio: original / bits,
    ratioWithCodebook: (original * count) / (bits * count + 32 * codebookNumbers),
  }
}
