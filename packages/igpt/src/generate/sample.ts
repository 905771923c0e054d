import { expectInteger, expectNumber, type Random } from '@vq/core'

export interface SamplingOptions {
  /** Divides the logits; 0 takes the likeliest token. Default 1. */
  temperature?: number
  /** Draws among this many of the likeliest tokens. Default: all. */
  topK?: number
  /** Draws among the likeliest tokens that together have at least this probability (nucleus), in (0, 1]. Default 1. */
  topP?: number
  /** Classifier-free guidance w: logits are l₀ + w·(l − l₀), with l₀ those without the condition. Default 1: none. */
  guidance?: number
  /** Seeds what is drawn. Default: the global generator goes on. */
  seed?: number
}

/** Throws VqConfigError for options out of range. */
export function expectSampling(operation: string, options: SamplingOptions): void {
  const { temperature = 1, topK = 1, topP = 1, guidance = 1, seed = 0 } = options
  expectNumber(operation, 'temperature', temperature, 0, 1e6)
  expectInteger(operation, 'topK', topK, 1)
  expectNumber(operation, 'topP', topP, 1e-9, 1)
  expectNumber(operation, 'guidance', guidance, 0, 1e3)
  expectInteger(operation, 'seed', seed, 0)
}

/**
 * One id for each row of logits [B, V], among ids [first, end) and those of `also`. Of equally likely ones the lowest comes first.
 * topP: Holtzman et al. 2019, https://arxiv.org/abs/1904.09751, section 3.1; topK: Fan et al. 2018, https://arxiv.org/abs/1805.04833.
 */
export function drawIds(
  logits: Float32Array,
  vocabSize: number,
  [first, end]: readonly [number, number],
  options: SamplingOptions,
  random: Random,
  also: readonly number[] = [],
): Int32Array {
  const { temperature = 1, topK, topP = 1 } = options
  const ids = Int32Array.from({ length: end - first + also.length }, (_, i) =>
    first + i < end ? first + i : (also[first + i - end] as number),
  )
  return Int32Array.from({ length: logits.length / vocabSize }, (_, row) => {
    const scores = Float64Array.from(ids, id => logits[row * vocabSize + id] as number)
    let best = 0
    for (let i = 1; i < scores.length; i++) if ((scores[i] as number) > (scores[best] as number)) best = i
    if (temperature === 0) return ids[best] as number
    const top = scores[best] as number
    const weights = scores.map(s => Math.exp((s - top) / temperature))
    const plain = (topK === undefined || topK >= ids.length) && topP === 1
    if (plain) return ids[drawn(weights, weights.length, random)] as number
    const order = Array.from(weights.keys()).sort(
      (a, b) => (weights[b] as number) - (weights[a] as number) || a - b,
    )
    const sorted = Float64Array.from(order, i => weights[i] as number)
    return ids[order[drawn(sorted, keptOf(sorted, topK, topP), random)] as number] as number
  })
}

// How many of the weights, likeliest first, may be drawn.
function keptOf(sorted: Float64Array, topK: number | undefined, topP: number): number {
  const most = Math.min(topK ?? sorted.length, sorted.length)
  if (topP === 1) return most
  const total = sorted.subarray(0, most).reduce((sum, w) => sum + w, 0)
  let sum = 0
  for (let i = 0; i < most; i++) {
    sum += sorted[i] as number
    if (sum >= topP * total) return i + 1
  }
  return most
}

function drawn(weights: Float64Array, count: number, random: Random): number {
  let total = 0
  for (let i = 0; i < count; i++) total += weights[i] as number
  let left = random.uniform() * total
  for (let i = 0; i < count; i++) {
    left -= weights[i] as number
    if (left < 0) return i
  }
  return count - 1
}
