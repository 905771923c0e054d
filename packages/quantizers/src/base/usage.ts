import { VqMemoryError } from '@vq/core'

/** How often codes were chosen. */
export interface Usage {
  /**
   * One per code. Throws VqMemoryError for a quantizer of more than 2^24 codes; `chosen` holds the same without the zeros.
   */
  readonly counts: Float64Array
  /** The codes that were chosen at least once, ascending, and how often. */
  readonly chosen: { codes: Int32Array; counts: Float64Array }
  /** Number of codes chosen at least once. */
  used: number
  /** used / number of codes, 0 … 1. */
  ratio: number
  /** exp of the entropy in nats, 1 … number of codes. */
  perplexity: number
}

/** One count per code, or, where there are very many codes, only of those that were chosen. */
export type Counts = Float64Array | Map<number, number>

const mostDense = 2 ** 20
const mostListed = 2 ** 24

/** How often each of `size` codes occurs at places first, first + step, …, added to `into` where given; −1 does not count. */
export function histogram(
  indices: Int32Array,
  size: number,
  { first = 0, step = 1, into }: { first?: number; step?: number; into?: Counts | undefined } = {},
): Counts {
  const counts = into ?? (size <= mostDense ? new Float64Array(size) : new Map<number, number>())
  const sparse = counts instanceof Map
  for (let i = first; i < indices.length; i += step) {
    const code = indices[i]
    if (code < 0) continue
    if (sparse) counts.set(code, (counts.get(code) ?? 0) + 1)
    else counts[code]++
  }
  return counts
}

/** exp(−Σ p ln p) of counts; 1 where there are none. */
export function perplexityOf(counts: Counts): number {
  let total = 0
  for (const c of counts.values()) total += c
  let entropy = 0
  for (const c of counts.values()) if (c > 0) entropy -= (c / total) * Math.log(c / total)
  return Math.exp(entropy)
}

export function usageOf(counts: Counts, size: number): Usage {
  const chosen = chosenOf(counts)
  const used = chosen.codes.length
  return {
    chosen,
    used,
    ratio: used / size,
    perplexity: perplexityOf(counts),
    get counts(): Float64Array {
      if (size > mostListed)
        throw new VqMemoryError({
          operation: 'usage().counts',
          expected: `at most ${mostListed} codes`,
          received: `${size}`,
          remedy: 'Read usage().chosen: the codes that were chosen, and how often.',
        })
      const all = new Float64Array(size)
      for (const [i, code] of chosen.codes.entries()) all[code] = chosen.counts[i]
      return all
    },
  }
}

function chosenOf(counts: Counts): { codes: Int32Array; counts: Float64Array } {
  const codes =
    counts instanceof Map
      ? Int32Array.from(counts.keys()).sort()
      : Int32Array.from(counts.keys()).filter(k => counts[k] > 0)
  const of = (k: number): number => (counts instanceof Map ? (counts.get(k) as number) : counts[k])
  return { codes, counts: Float64Array.from(codes, of) }
}

export function emptyUsage(size: number): Usage {
  return usageOf(new Map(), size)
}
