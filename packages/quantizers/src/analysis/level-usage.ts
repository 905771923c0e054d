import { VqValueError } from '@vq/core'
import { type Counts, usageOf } from '../base/usage.js'

export interface LevelUsage {
  /** [K], how often each code occurs. Throws VqMemoryError where K is over 2^24: `chosen` holds the same without the zeros. */
  readonly counts: Float64Array
  /** The codes that occur, ascending, and how often. */
  readonly chosen: { codes: Int32Array; counts: Float64Array }
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

/** Entropy in bits of how often things occur, 0 of none at all. Throws VqValueError for counts below 0 or not finite. */
export function entropyOf(counts: ArrayLike<number>): number {
  let total = 0
  for (let i = 0; i < counts.length; i++) total += counted(counts[i], i)
  let entropy = 0
  for (let i = 0; i < counts.length; i++)
    if (counts[i] > 0) entropy -= (counts[i] / total) * Math.log2(counts[i] / total)
  return entropy
}

function counted(count: number, place: number): number {
  if (count >= 0 && count < Number.POSITIVE_INFINITY) return count
  throw new VqValueError({
    operation: 'entropyOf',
    expected: 'counts of at least 0',
    received: `${count} at place ${place}`,
    remedy: 'Pass how often each thing occurs.',
  })
}

/** Of a codebook of `size` codes. */
export function usageOfLevel(counts: Counts, size: number): LevelUsage {
  const usage = usageOf(counts, size)
  const { chosen, used, ratio } = usage
  const entropy = entropyOf(chosen.counts)
  return {
    get counts(): Float64Array {
      return usage.counts
    },
    chosen,
    used,
    dead: size - used,
    ratio,
    entropy,
    perplexity: 2 ** entropy,
  }
}
