// What codes are worth: how evenly they are used, how many bits they hold, how often full codes collide.
import { expectConfig, expectInteger, expectShape, VqValueError } from '@vq/core'
import { histogram } from '../base/usage.js'
import { fullCodeCounts } from './full-codes.js'
import { entropyOf, type LevelUsage, usageOfLevel } from './level-usage.js'

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
 * Vectors with −1 are left out; a −1 from some level on counts at the levels before, and as a part of the full code. Throws
 * VqConfigError, VqShapeError, and VqValueError for codes that the codebooks do not have.
 */
export function analyzeCodes(
  codes: Int32Array,
  options: { levels?: number; codebookSize: number | readonly number[] },
): CodeAnalysis {
  const sizes = sizesOf(codes, options)
  const kept = withoutMasked(codes, sizes)
  const q = sizes.length
  const levels = sizes.map((size, first) => usageOfLevel(histogram(kept, size, { first, step: q }), size))
  const times = fullCodeCounts(kept, sizes)
  const count = kept.length / q
  const colliding = times.reduce((sum, n) => sum + (n > 1 ? n : 0), 0)
  return {
    count,
    levels,
    collisions: {
      distinct: times.length,
      colliding,
      rate: count === 0 ? 0 : colliding / count,
      largest: times.reduce((a, b) => Math.max(a, b), 0),
    },
    bits: {
      nominal: sizes.reduce((sum, k) => sum + Math.log2(k), 0),
      entropy: levels.reduce((sum, { entropy }) => sum + entropy, 0),
      joint: entropyOf(times),
    },
  }
}

function sizesOf(
  codes: Int32Array,
  options: { levels?: number; codebookSize: number | readonly number[] },
): readonly number[] {
  const operation = 'analyzeCodes'
  expectConfig(codes instanceof Int32Array, operation, 'codes in an Int32Array', codes, 'Copy them to one.')
  const { levels = 1, codebookSize } = options ?? {}
  expectInteger(operation, 'levels', levels, 1, 2 ** 20)
  const sizes: readonly number[] = Array.isArray(codebookSize)
    ? codebookSize
    : new Array<number>(levels).fill(codebookSize as number)
  for (const size of sizes) expectInteger(operation, 'codebookSize', size, 1, 2 ** 31 - 1)
  expectShape(
    sizes.length === levels && codes.length % levels === 0,
    operation,
    `codes [N, ${levels}] and as many sizes as levels`,
    `${codes.length} codes and ${sizes.length} sizes`,
    'Pass the codes of a vector behind one another.',
  )
  return sizes
}

// Checks all codes, and leaves out the vectors that begin with −1.
function withoutMasked(codes: Int32Array, sizes: readonly number[]): Int32Array {
  const q = sizes.length
  let masked = 0
  for (let at = 0; at < codes.length; at += q) {
    for (let l = 0; l < q; l++) {
      const code = codes[at + l]
      const allowed = code === -1 || (code >= 0 && code < sizes[l] && (l === 0 || codes[at + l - 1] >= 0))
      if (!allowed) refuse(code, at / q, l, sizes[l])
    }
    if (codes[at] === -1) masked++
  }
  if (masked === 0) return codes
  const kept = new Int32Array(codes.length - masked * q)
  let to = 0
  for (let at = 0; at < codes.length; at += q) {
    if (codes[at] === -1) continue
    kept.set(codes.subarray(at, at + q), to)
    to += q
  }
  return kept
}

function refuse(code: number, vector: number, level: number, size: number): never {
  throw new VqValueError({
    operation: 'analyzeCodes',
    expected: `codes from 0 to ${size - 1} at level ${level}, −1, and nothing else after a −1`,
    received: `${code} in vector ${vector}`,
    remedy: 'Pass the codes as they were given, and the sizes of the codebooks that made them.',
  })
}
