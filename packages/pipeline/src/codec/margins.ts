import { noGrad, tf, VqConfigError } from '@vq/core'
import { type BaseQuantizer, ProductQuantizer, ResidualVQ, VectorQuantizer } from '@vq/quantizers'

// Rows of which the distances to all codes are in memory at once, as float32.
const mostDistances = 2 ** 22

/** Least over the levels of d₂/d₁ − 1, the two nearest codes' distances; float32 [N]. */
export function marginsOf(quantizer: BaseQuantizer, rows: tf.Tensor2D): Float32Array {
  const levels = levelsOf(quantizer)
  const n = rows.shape[0]
  const least = new Float32Array(n).fill(Number.POSITIVE_INFINITY)
  const { kind, books, into } = levels
  const z = into === undefined ? rows : into(rows)
  const rest = kind === 'parts' ? tf.split(z, books.length, 1) : [z]
  let residual = z
  for (const [l, book] of books.entries()) {
    const x = kind === 'parts' ? (rest[l] as tf.Tensor2D) : residual
    const { margins, chosen } = nearestTwo(x, book)
    for (let i = 0; i < n; i++) least[i] = Math.min(least[i] as number, margins[i] as number)
    if (kind === 'residual') residual = tf.sub(residual, tf.gather(book, chosen))
  }
  return least
}

interface Levels {
  /** Whether a level sees what the ones before have left, or a part of the vector of its own. */
  kind: 'residual' | 'parts'
  books: tf.Tensor2D[]
  into?: (rows: tf.Tensor2D) => tf.Tensor2D
}

function levelsOf(quantizer: BaseQuantizer): Levels {
  const plain = (codes: tf.Tensor): tf.Tensor2D[] =>
    codes.rank === 2 ? [codes as tf.Tensor2D] : (tf.unstack(codes) as tf.Tensor2D[])
  if (quantizer instanceof ProductQuantizer && !quantizer.stateDict().rotation)
    return { kind: 'parts', books: plain(quantizer.codebook()) }
  if (
    quantizer instanceof ResidualVQ &&
    quantizer.options.beamSize === 1 &&
    quantizer.dim === quantizer.options.embeddingDim
  )
    return { kind: 'residual', books: plain(quantizer.codebook()) }
  if (
    quantizer instanceof VectorQuantizer &&
    quantizer.options.metric === 'l2' &&
    quantizer.dim === quantizer.options.embeddingDim
  )
    return { kind: 'residual', books: plain(quantizer.codebook()) }
  throw new VqConfigError({
    operation: 'margins',
    expected:
      'a quantizer that takes the nearest of its codes, level by level, without projection or beam search',
    received: quantizer.constructor.name,
    remedy: 'Encode without margins.',
  })
}

// The candidates come from a product, their distances from differences: those keep their digits where a code is near.
function nearestTwo(x: tf.Tensor2D, book: tf.Tensor2D): { margins: Float32Array; chosen: tf.Tensor1D } {
  const [n] = x.shape
  const [k] = book.shape
  if (k === 1)
    return { margins: new Float32Array(n).fill(Number.POSITIVE_INFINITY), chosen: tf.zeros([n], 'int32') }
  const norms = tf.sum(tf.square(book), 1)
  const step = Math.max(1, Math.floor(mostDistances / k))
  const margins = new Float32Array(n)
  const codes = new Int32Array(n)
  for (let first = 0; first < n; first += step) {
    const count = Math.min(step, n - first)
    const [near, indices] = tf.tidy(() =>
      noGrad(() => {
        const part = tf.slice(x, [first, 0], [count, -1])
        const scores = tf.sub(tf.mul(tf.matMul(part, book, false, true), 2), norms)
        const { indices: two } = tf.topk(scores, 2)
        const away = tf.sub(tf.expandDims(part, 1), tf.gather(book, two))
        return [tf.sqrt(tf.sum(tf.square(away), 2)), two]
      }),
    ) as [tf.Tensor2D, tf.Tensor2D]
    const [distances, order] = [near.dataSync(), indices.dataSync()]
    tf.dispose([near, indices])
    for (let i = 0; i < count; i++) {
      const [a, b] = [distances[2 * i] as number, distances[2 * i + 1] as number]
      const first_ = a <= b ? 0 : 1
      codes[first + i] = order[2 * i + first_] as number
      const [d1, d2] = a <= b ? [a, b] : [b, a]
      margins[first + i] = d1 === 0 ? (d2 === 0 ? 0 : Number.POSITIVE_INFINITY) : d2 / d1 - 1
    }
  }
  return { margins, chosen: tf.tensor1d(codes, 'int32') }
}
