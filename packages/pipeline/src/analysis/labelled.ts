import { expectShape } from '@vq/core'
import { nearestNeighborAccuracy, normalizedMutualInformationOfCounts } from '@vq/models/evaluate'
import { contingencyOf } from './contingency.js'
import { groupsOf, type PrefixOrder } from './prefix-order.js'
import { itemMeans, sampleOf, vectorRows } from './sample.js'
import { type Column, columnOf, type IdTable, type ItemVectors } from './table.js'

/** How far a grouping of rows and the labels agree. */
export interface Agreement {
  /** Groups that occur. */
  groups: number
  /** Share of rows whose label is the commonest of their group, 0 … 1. Grows with the number of groups. */
  purity: number
  /** Normalised mutual information, arithmetic mean, 0 … 1. Grows with the number of groups too. */
  nmi: number
}

export interface NeighborAccuracy {
  k: number
  folds: number
  /** Items used: all, or a random sample. */
  sampled: number
  /** From the embeddings; undefined where none were passed. */
  embeddings?: number
  /** From the vectors that the codes decode to. */
  decoded?: number
  /** What always naming the commonest label would reach. */
  majority: number
}

export interface LabelFigures {
  /** Names of the labels, in the order of their first item. */
  classes: string[]
  /** Items of each. */
  counts: number[]
  /** By the code of one level alone, [L]. */
  levels: Agreement[]
  /** By the first 1, 2, … L codes. */
  prefixes: Agreement[]
  knn?: NeighborAccuracy
}

/** Names and numbers of labels. */
export function classesOf(
  operation: string,
  labels: ArrayLike<string | number>,
  n: number,
): Column & { names: string[] } {
  expectShape(
    labels?.length === n,
    operation,
    `a label for each of ${n} items`,
    `${labels?.length ?? 'no'} labels`,
    'Pass labels [N].',
  )
  const numbers = new Map<string, number>()
  const values = new Int32Array(n)
  for (let i = 0; i < n; i++) {
    const name = String(labels[i])
    let number = numbers.get(name)
    if (number === undefined) {
      number = numbers.size
      numbers.set(name, number)
    }
    values[i] = number
  }
  return { values, size: numbers.size, names: [...numbers.keys()] }
}

/** Of the vectors [n, levels], n = the rows that `sorted` orders, each with the label of its item. */
export function agreementOf(
  vectors: Int32Array,
  sizes: readonly number[],
  sorted: PrefixOrder,
  labels: Column,
): Pick<LabelFigures, 'levels' | 'prefixes'> {
  return {
    levels: sizes.map((size, l) => agree(columnOf(vectors, l, sizes.length, size), labels)),
    prefixes: sizes.map((_, l) => {
      const values = groupsOf(sorted, l + 1)
      const size = values.reduce((most, group) => Math.max(most, group), 0) + 1
      return agree({ values, size }, labels)
    }),
  }
}

function agree(groups: Column, labels: Column): Agreement {
  const { rows, a, b, joint, most } = contingencyOf(groups, labels)
  return {
    groups: a.reduce((n, count) => n + (count > 0 ? 1 : 0), 0),
    purity: most.reduce((sum, count) => sum + count, 0) / rows,
    nmi: normalizedMutualInformationOfCounts(a, b, joint),
  }
}

const [folds, neighbors] = [4, 10]

/** k-nearest-neighbour accuracy in four folds of a random order; items of several positions by their mean vector. */
export function neighborAccuracy(
  table: IdTable,
  labels: Column,
  vectors: { embeddings?: ItemVectors | undefined; decoded?: ItemVectors | undefined },
  { sample, seed }: { sample: number; seed: number },
): NeighborAccuracy | undefined {
  const operation = 'analyzeIds'
  const given = vectors.embeddings ?? vectors.decoded
  if (given === undefined) return undefined
  const { rows } = vectorRows(operation, 'embeddings', table, given)
  const chosen = sampleOf(rows.length, sample, seed)
  if (chosen.length < 2 * folds) return undefined
  const own = Int32Array.from(chosen, place => labels.values[rows[place]])
  const k = Math.min(neighbors, Math.floor((chosen.length * (folds - 1)) / folds))
  const accuracy = (of: ItemVectors | undefined): number | undefined => {
    if (of === undefined) return undefined
    const places = vectorRows(operation, 'decoded', table, of)
    return acrossFolds(itemMeans(of, places, chosen), of.dim, own, k)
  }
  const [embeddings, decoded] = [accuracy(vectors.embeddings), accuracy(vectors.decoded)]
  const counts = new Float64Array(labels.size)
  for (const label of own) counts[label]++
  return {
    k,
    folds,
    sampled: chosen.length,
    ...(embeddings !== undefined && { embeddings }),
    ...(decoded !== undefined && { decoded }),
    majority: Math.max(...counts) / own.length,
  }
}

function acrossFolds(features: Float32Array, dim: number, labels: Int32Array, k: number): number {
  const n = labels.length
  let right = 0
  for (let fold = 0; fold < folds; fold++) {
    const [from, to] = [Math.floor((fold * n) / folds), Math.floor(((fold + 1) * n) / folds)]
    const outside = (width: number, all: Float32Array | Int32Array): number[] => [
      ...all.subarray(0, from * width),
      ...all.subarray(to * width),
    ]
    const train = {
      features: Float32Array.from(outside(dim, features)),
      dim,
      labels: Int32Array.from(outside(1, labels)),
    }
    const test = {
      features: features.subarray(from * dim, to * dim),
      dim,
      labels: labels.subarray(from, to),
    }
    right += nearestNeighborAccuracy(train, test, { k }) * (to - from)
  }
  return right / n
}
