/** How often codes were chosen. */
export interface Usage {
  /** One per code. */
  counts: Float64Array
  /** Number of codes chosen at least once. */
  used: number
  /** used / number of codes, 0 … 1. */
  ratio: number
  /** exp of the entropy in nats, 1 … number of codes. */
  perplexity: number
}

/** How often each of `size` codes occurs at places first, first + step, …; −1 does not count. */
export function histogram(indices: Int32Array, size: number, first = 0, step = 1): Float64Array {
  const counts = new Float64Array(size)
  for (let i = first; i < indices.length; i += step) if (indices[i] >= 0) counts[indices[i]]++
  return counts
}

/** exp(−Σ p ln p) of counts; 1 where there are none. */
export function perplexityOf(counts: Float64Array): number {
  let total = 0
  for (const c of counts) total += c
  let entropy = 0
  for (const c of counts) if (c > 0) entropy -= (c / total) * Math.log(c / total)
  return Math.exp(entropy)
}

export function usageOf(counts: Float64Array): Usage {
  const used = counts.reduce((n, c) => n + (c > 0 ? 1 : 0), 0)
  return { counts: counts.slice(), used, ratio: used / counts.length, perplexity: perplexityOf(counts) }
}

export function emptyUsage(size: number): Usage {
  return usageOf(new Float64Array(size))
}
