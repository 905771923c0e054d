import * as tf from '@tensorflow/tfjs-core'
import { expectConfig, expectInteger, expectNumber, expectShape } from '../check.js'
import { VqValueError } from '../errors.js'
import { random as globalRandom, type Random } from '../random.js'
import { expectFloat32 } from './float32.js'
import { hasKernel, runKernel } from './kernel.js'
import { noGrad } from './no-grad.js'

export interface DrawOptions {
  /** Divides the logits; 0 takes the likeliest. Default 1. */
  temperature?: number
  /** Draws among this many of the likeliest. Default: all. */
  topK?: number
  /** Draws among the likeliest that together have at least this probability (nucleus), in (0, 1]. Default 1. */
  topP?: number
  /** Classifier-free guidance w: logits are l₀ + w·(l − l₀); the rows of l₀ stand behind those of l. Default 1: none. */
  guidance?: number
  /** Ids that may be drawn, [first, last + 1). Default: all. */
  range?: readonly [number, number]
  /** Others that may be; what is in the range or named twice counts once. Default: none. */
  also?: readonly number[]
  /** How often the ids stand in the result, one list behind the other. Default 1. */
  copies?: number
  /** Draws. Default: the global generator. Nothing is drawn at temperature 0. */
  random?: Random
}

export interface DrawAttributes {
  guidance: number
  temperature: number
  topK: number
  topP: number
  range: readonly [number, number]
  also: readonly number[]
  /** Two random words a row. */
  words: Int32Array
  copies: number
}

/**
 * One id for each row of logits [B, V], int32 [B·copies]. Of equally likely ones the lowest place comes first.
 * Carries no gradient. Throws VqShapeError and VqConfigError, and VqValueError naming the first row of whose logits, among those that may
 * be drawn, one is NaN or +∞ or all are −∞ (which else stands for "never").
 * Source: Holtzman et al. 2019, https://arxiv.org/abs/1904.09751, section 3.1 (topP); Fan et al. 2018,
 * https://arxiv.org/abs/1805.04833 (topK); Ho and Salimans 2022, https://arxiv.org/abs/2207.12598, equation 6 (guidance).
 *
 * @example
 * drawTokens(tf.tensor2d([[0, 5, 9, 1]]), { temperature: 0.8, topK: 2, random: new Random(1) })
 */
export function drawTokens(logits: tf.Tensor, options: DrawOptions = {}): tf.Tensor1D {
  const operation = 'drawTokens'
  expectShape(
    logits.rank === 2 && (logits.shape[1] as number) > 0,
    operation,
    'logits [B, V]',
    `[${logits.shape.join(', ')}]`,
    'Pass one row of logits for each token to draw.',
  )
  expectFloat32(operation, logits)
  const [all, classes] = logits.shape as [number, number]
  const { temperature = 1, topK = classes, topP = 1, guidance = 1, copies = 1 } = options
  const { range = [0, classes], also: others = [], random = globalRandom } = options
  expectNumber(operation, 'temperature', temperature, 0, 1e6)
  expectInteger(operation, 'topK', topK, 1)
  expectNumber(operation, 'topP', topP, 1e-9, 1)
  expectNumber(operation, 'guidance', guidance, 0, 1e3)
  expectInteger(operation, 'copies', copies, 1)
  const isId = (id: number): boolean => Number.isInteger(id) && id >= 0 && id < classes
  const isRange = ([first, end]: readonly [number, number]): boolean =>
    first === end ? isId(first) || first === classes : first < end && isId(first) && isId(end - 1)
  expectConfig(
    Array.isArray(range) &&
      Array.isArray(others) &&
      isRange(range) &&
      others.every(isId) &&
      range[1] - range[0] + others.length > 0,
    operation,
    `a range of ids and others, from 0 to ${classes - 1}, at least one of them`,
    `[${range}] and [${others}]`,
    'Ids count the columns of the logits.',
  )
  const also = [...new Set(others)].filter(id => id < range[0] || id >= range[1])
  const rows = guidance === 1 ? all : all / 2
  expectShape(
    Number.isInteger(rows),
    operation,
    'as many rows without the condition as with it',
    `${all} rows`,
    'With guidance, rows without the condition stand behind the others.',
  )
  const words = new Int32Array(2 * rows)
  if (temperature !== 0) for (let i = 0; i < words.length; i++) words[i] = random.bits()
  const most = Math.min(topK, classes)
  const attrs: DrawAttributes = { guidance, temperature, topK: most, topP, range, also, words, copies }
  return noGrad(() =>
    hasKernel('VqDrawTokens')
      ? (runKernel('VqDrawTokens', { logits }, { ...attrs }) as tf.Tensor1D)
      : composed(logits, rows, classes, attrs),
  )
}

/** What is said of logits that nothing can be drawn from. */
export function badLogits(row: number): VqValueError {
  return new VqValueError({
    operation: 'drawTokens',
    expected: 'logits that are numbers, at least one of those that may be drawn above −Infinity',
    received: `others in row ${row}`,
    remedy: 'Look for NaN in what the logits are made of: weights of a training that diverged, for one.',
  })
}

function composed(logits: tf.Tensor, rows: number, classes: number, attrs: DrawAttributes): tf.Tensor1D {
  const { guidance, range, also, words, copies } = attrs
  const scores = tf.tidy(() => {
    if (guidance === 1) return logits.dataSync()
    const [known, free] = tf.split(logits, 2) as [tf.Tensor, tf.Tensor]
    // Two infinities have no difference.
    return tf
      .where(tf.equal(known, free), known, tf.add(free, tf.mul(tf.sub(known, free), guidance)))
      .dataSync()
  }) as unknown as Float32Array
  const [first, end] = range
  const candidates = [...Array.from({ length: end - first }, (_, i) => first + i), ...also]
  const ids = Int32Array.from({ length: rows }, (_, row) => {
    const own = Float64Array.from(candidates, id => scores[row * classes + id])
    const share = ((words[2 * row] >>> 5) * 67108864 + (words[2 * row + 1] >>> 6)) * 2 ** -53
    const at = chosen(own, attrs, share)
    if (at < 0) throw badLogits(row)
    return candidates[at]
  })
  return tf.tensor1d(
    Int32Array.from({ length: rows * copies }, (_, i) => ids[i % rows]),
    'int32',
  )
}

// The place of what is drawn among scores; −1 where they say nothing.
function chosen(scores: Float64Array, { temperature, topK, topP }: DrawAttributes, share: number): number {
  let best = 0
  for (let i = 1; i < scores.length; i++) if (scores[i] > scores[best]) best = i
  const top = scores[best]
  if (!Number.isFinite(top) || scores.some(Number.isNaN)) return -1
  if (temperature === 0) return best
  const weigh = (s: number): number => Math.exp((s - top) / temperature)
  if (topK >= scores.length && topP === 1) return drawn(scores.map(weigh), scores.length, share)
  // By scores, not weights: where exp rounds decides nothing.
  const order = Array.from(scores.keys()).sort((a, b) => scores[b] - scores[a] || a - b)
  const sorted = Float64Array.from(order, i => weigh(scores[i]))
  return order[drawn(sorted, keptOf(sorted, topK, topP), share)]
}

// How many of the weights, likeliest first, may be drawn.
function keptOf(sorted: Float64Array, topK: number, topP: number): number {
  const most = Math.min(topK, sorted.length)
  if (topP === 1) return most
  const total = sorted.subarray(0, most).reduce((sum, w) => sum + w, 0)
  let sum = 0
  for (let i = 0; i < most; i++) {
    sum += sorted[i]
    if (sum >= topP * total) return i + 1
  }
  return most
}

function drawn(weights: Float64Array, count: number, share: number): number {
  let total = 0
  for (let i = 0; i < count; i++) total += weights[i]
  let left = share * total
  let last = 0
  for (let i = 0; i < count; i++) {
    left -= weights[i]
    if (left < 0) return i
    if (weights[i] > 0) last = i
  }
  return last
}
