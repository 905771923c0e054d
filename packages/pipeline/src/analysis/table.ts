import { expectConfig, expectInteger, expectShape, VqValueError } from '@vq/core'

/**
 * Semantic IDs of N items: codes int32 [N, P, L], row by row, −1 where masked (a level after a masked one is masked too).
 * P positions (patches, tokens, frames; 1 where an item has one embedding), L levels of `codebookSizes[l]` codes each. A level
 * that was added only to make IDs unique does not belong here: it says nothing about the items.
 */
export interface IdTable {
  /** [N] */
  ids: readonly string[]
  /** [N, P, L] */
  codes: Int32Array
  /** P */
  positions: number
  /** L */
  levels: number
  /** [L] */
  codebookSizes: readonly number[]
}

/** Vectors [N, dim], or [N, P, dim] with one for each position, of all items or of those in `rows`. */
export interface ItemVectors {
  values: Float32Array
  dim: number
  /** Items that the vectors belong to, each once. Default: all, in order. */
  rows?: ArrayLike<number>
}

/** Throws VqConfigError, VqShapeError and VqValueError unless the table is one, and gives N. */
export function expectTable(operation: string, table: IdTable): number {
  const { ids, codes, positions, levels, codebookSizes } = table ?? {}
  expectConfig(codes instanceof Int32Array, operation, 'codes in an Int32Array', codes, 'Copy them to one.')
  expectInteger(operation, 'positions', positions, 1, 2 ** 24)
  expectInteger(operation, 'levels', levels, 1, 2 ** 16)
  expectConfig(
    Array.isArray(codebookSizes) && codebookSizes.length === levels,
    operation,
    `a codebook size for each of ${levels} levels`,
    codebookSizes,
    'Pass codebookSizes [L].',
  )
  for (const size of codebookSizes) expectInteger(operation, 'codebookSizes', size, 1, 2 ** 31 - 1)
  expectShape(
    Array.isArray(ids) && ids.length > 0 && codes.length === ids.length * positions * levels,
    operation,
    `codes [N, ${positions}, ${levels}] for at least one item`,
    `${ids?.length ?? 'no'} ids and ${codes.length} codes`,
    'Pass the codes of an item behind one another.',
  )
  for (let at = 0; at < codes.length; at++) {
    const level = at % levels
    const code = codes[at]
    const maskedBefore = level > 0 && codes[at - 1] === -1
    if (code < -1 || code >= codebookSizes[level] || (maskedBefore && code !== -1))
      throw new VqValueError({
        operation,
        expected: `codes from 0 to ${codebookSizes[level] - 1} at level ${level}, −1, and nothing else after a −1`,
        received: `${code} in item ${Math.floor(at / (levels * positions))}`,
        remedy: 'Pass the codes as they were given, and the sizes of the codebooks that made them.',
      })
  }
  return ids.length
}

/** One column of codes as small numbers in the order of the codes, −1 where masked. */
export interface Column {
  values: Int32Array
  /** Numbers go from 0 to size − 1. */
  size: number
}

/** Larger codebooks are numbered anew by the codes that occur, so that counting takes memory by the rows. */
const mostDense = 2 ** 20

/** Codes first, first + step, … of a codebook of `size` codes. */
export function columnOf(codes: Int32Array, first: number, step: number, size: number): Column {
  const values = new Int32Array(Math.ceil((codes.length - first) / step))
  for (let i = 0, at = first; i < values.length; i++, at += step) values[i] = codes[at]
  if (size <= mostDense) return { values, size }
  const sorted = values.slice().sort()
  const distinct = sorted.filter((code, i) => code >= 0 && (i === 0 || code !== sorted[i - 1]))
  for (let i = 0; i < values.length; i++) if (values[i] >= 0) values[i] = placeOf(distinct, values[i])
  return { values, size: Math.max(1, distinct.length) }
}

function placeOf(sorted: Int32Array, value: number): number {
  let [low, high] = [0, sorted.length]
  while (low < high) {
    const middle = (low + high) >>> 1
    if (sorted[middle] < value) low = middle + 1
    else high = middle
  }
  return low
}
