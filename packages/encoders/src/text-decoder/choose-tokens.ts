import { expectInteger, expectNumber, random as globalRandom, type Random } from '@vq/core'

export interface SamplingOptions {
  /** Divides the logits; 0 takes the most likely token. Default 0. */
  temperature?: number
  /** Draws among this many of the most likely tokens. Default: all. */
  topK?: number
  /** Draws. Default: the global generator. */
  random?: Random
}

/** One token for each row of logits [B, vocabSize]; of equally likely ones that of the lowest id. */
export function chooseTokens(
  logits: Float32Array,
  vocabSize: number,
  { temperature = 0, topK = vocabSize, random = globalRandom }: SamplingOptions,
): Int32Array<ArrayBuffer> {
  const operation = 'TextDecoder.generate'
  expectNumber(operation, 'temperature', temperature, 0, 1e6)
  expectInteger(operation, 'topK', topK, 1)
  return Int32Array.from({ length: logits.length / vocabSize }, (_, row) => {
    const scores = logits.subarray(row * vocabSize, (row + 1) * vocabSize)
    let best = 0
    for (let i = 1; i < vocabSize; i++) if (scores[i]! > scores[best]!) best = i
    return temperature === 0 ? best : drawn(scores, scores[best]!, temperature, topK, random)
  })
}

function drawn(scores: Float32Array, top: number, temperature: number, topK: number, random: Random): number {
  const order = Array.from(scores, (_, i) => i)
  if (topK < scores.length) {
    order.sort((a, b) => scores[b]! - scores[a]! || a - b)
    order.length = topK
  }
  const weights = order.map(i => Math.exp((scores[i]! - top) / temperature))
  let left = random.uniform() * weights.reduce((sum, w) => sum + w, 0)
  for (const [at, weight] of weights.entries()) {
    left -= weight
    if (left < 0) return order[at]!
  }
  return order.at(-1)!
}
