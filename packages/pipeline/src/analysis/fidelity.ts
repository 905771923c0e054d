import { expectShape, VqValueError } from '@vq/core'
import { knnJaccard } from '@vq/models/evaluate'
import { itemMeans, sampleOf, type VectorRows, vectorRows } from './sample.js'
import type { IdTable, ItemVectors } from './table.js'

/** What the codes keep of the embeddings that they stand for. */
export interface Fidelity {
  /** Vectors compared for the next three figures; masked ones are not. */
  vectors: number
  /** Mean squared error per number. */
  mse: number
  /** 1 − squared error / squared distance from the mean: 1 keeps all, 0 no more than the mean. NaN where all are equal. */
  explained: number
  /** Mean cosine of the angle between embedding and decoded vector; pairs with a zero vector are left out. */
  cosine: number
  neighbors: {
    /** Neighbours of an item. */
    k: number
    /** Items among which neighbours were searched: all, or a random sample. */
    sampled: number
    /** Mean of |A ∩ B| / |A ∪ B| over the neighbours by embedding and by decoded codes, 0 … 1. */
    jaccard: number
    /** What random neighbours would reach, about k / 2N. */
    chance: number
  }
}

/** Embeddings beside the vectors that their codes decode to, of the same items. */
export function fidelityOf(
  table: IdTable,
  embeddings: ItemVectors,
  decoded: ItemVectors,
  { k, sample, seed }: { k: number; sample: number; seed: number },
): Fidelity {
  const operation = 'analyzeIds'
  const given = vectorRows(operation, 'embeddings', table, embeddings)
  expectSameRows(operation, table, embeddings, decoded)
  const chosen = sampleOf(given.rows.length, sample, seed)
  const neighbors = Math.min(k, chosen.length - 1)
  const [a, b] = [embeddings, decoded].map(vectors => ({
    features: itemMeans(vectors, given, chosen),
    dim: vectors.dim,
  }))
  return {
    ...errorsOf(operation, embeddings, decoded, given),
    neighbors: {
      k: neighbors,
      sampled: chosen.length,
      jaccard: neighbors < 1 ? Number.NaN : knnJaccard(a, b, { k: neighbors }),
      chance: neighbors < 1 ? Number.NaN : neighbors / (2 * (chosen.length - 1) - neighbors),
    },
  }
}

/** Both must be of the same items, in one order, and of one shape. */
export function expectSameRows(operation: string, table: IdTable, a: ItemVectors, b: ItemVectors): void {
  const [inA, inB] = [
    vectorRows(operation, 'embeddings', table, a),
    vectorRows(operation, 'decoded', table, b),
  ]
  let same = inA.rows.length === inB.rows.length && a.values.length === b.values.length
  for (let i = 0; same && i < inA.rows.length; i++) same = inA.rows[i] === inB.rows[i]
  expectShape(
    same,
    operation,
    'embeddings and decoded vectors of the same items and the same shape',
    `${inA.rows.length} items, ${a.values.length} numbers, and ${inB.rows.length} items, ${b.values.length} numbers`,
    'Decode the codes of those items whose embeddings are passed.',
  )
}

function errorsOf(
  operation: string,
  { values, dim }: ItemVectors,
  decoded: ItemVectors,
  { masked }: VectorRows,
): Pick<Fidelity, 'vectors' | 'mse' | 'explained' | 'cosine'> {
  const kept: number[] = []
  for (let i = 0; i < values.length / dim; i++) if (!masked(i)) kept.push(i)
  const n = kept.length
  const mean = new Float64Array(dim)
  for (const i of kept) for (let d = 0; d < dim; d++) mean[d] += values[i * dim + d] / n
  let [error, spread, cosines, angles] = [0, 0, 0, 0]
  for (const i of kept) {
    let [xx, yy, xy] = [0, 0, 0]
    for (let d = 0, at = i * dim; d < dim; d++, at++) {
      const [x, y] = [values[at], decoded.values[at]]
      error += (x - y) ** 2
      spread += (x - mean[d]) ** 2
      xx += x * x
      yy += y * y
      xy += x * y
    }
    if (!Number.isFinite(xx) || !Number.isFinite(yy)) refuse(operation, i)
    if (xx > 0 && yy > 0) {
      cosines += xy / Math.sqrt(xx * yy)
      angles++
    }
  }
  return {
    vectors: n,
    mse: error / (n * dim),
    explained: spread > 0 ? 1 - error / spread : Number.NaN,
    cosine: angles > 0 ? cosines / angles : Number.NaN,
  }
}

function refuse(operation: string, vector: number): never {
  throw new VqValueError({
    operation,
    expected: 'finite embeddings and decoded vectors',
    received: `NaN or infinity in vector ${vector}`,
    remedy: 'Leave such items out.',
  })
}
