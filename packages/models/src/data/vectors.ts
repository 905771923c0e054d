import { expectConfig, expectInteger, expectNumber, VqFormatError } from '@vq/core'
import { openRows, type RowFile, type StoredType } from '@vq/core/io'
import { type Dataset, expectIndices } from './dataset.js'

export interface VectorsOptions {
  /** Files of up to so many bytes as float32 are kept in memory, larger ones are read batch by batch. Default 1 GiB. */
  memoryBytes?: number
  /** What every number is divided by, such as 255 for bytes. Default 1. */
  divisor?: number
  /** What the numbers may be in the file. Default: any real ones but int64. */
  types?: readonly StoredType[]
}

const realTypes: readonly StoredType[] = ['F32', 'F64', 'F16', 'U8', 'I8', 'U16', 'I16', 'I32']
// Rows between two wanted ones that are read along rather than skipped.
const widestGap = 16
const mostBytesAtOnce = 2 ** 24

/**
 * Vectors, or arrays of any shape, from a `.npy`, `.fvecs`, `.ivecs` or `.bvecs` file as a data set of float32: the first axis
 * counts them. Of a large file only the rows of a batch are in memory.
 * Throws VqConfigError for other endings and types, VqFormatError where the file is damaged, empty or changed since.
 */
export async function vectors(path: string, options: VectorsOptions = {}): Promise<Dataset> {
  const { memoryBytes = 2 ** 30, divisor = 1, types = realTypes } = options
  expectNumber('vectors', 'divisor', divisor, Number.MIN_VALUE, Number.MAX_VALUE)
  expectInteger('vectors', 'memoryBytes', memoryBytes, 0)
  const file = await openRows(path)
  try {
    const { count, shape, dtype, stamp } = file
    const size = shape.reduce((a, b) => a * b, 1)
    expectConfig(
      types.includes(dtype),
      'vectors',
      `${types.join(', ')} in ${path}`,
      dtype,
      'Save them as that.',
    )
    expectConfig(
      count * size > 0,
      'vectors',
      `vectors in ${path}`,
      `[${[count, ...shape]}]`,
      'Pass a file with some.',
    )
    const all = count * size * 4 <= memoryBytes ? await readAll(file, size) : undefined
    const divide = (values: Float32Array): Float32Array => {
      if (divisor !== 1) for (let i = 0; i < values.length; i++) values[i] /= divisor
      return values
    }
    return {
      length: count,
      shape: shape.length === 0 ? [1] : shape,
      batch: async indices => {
        expectIndices('vectors.batch', { length: count }, indices)
        if (all === undefined) return divide(await readSome(path, stamp, indices, size))
        const out = new Float32Array(indices.length * size)
        for (const [n, i] of indices.entries()) out.set(all.subarray(i * size, (i + 1) * size), n * size)
        return divide(out)
      },
    }
  } finally {
    await file.close()
  }
}

async function readAll(file: RowFile, size: number): Promise<Float32Array> {
  const out = new Float32Array(file.count * size)
  const rows = Math.max(1, Math.floor(mostBytesAtOnce / (8 * size)))
  for (let row = 0; row < file.count; row += rows)
    out.set((await file.read(row, Math.min(rows, file.count - row))) as Float32Array, row * size)
  return out
}

/**
 * These rows of `size` numbers each, one after another, read in the order of the file, neighbours together. Rows that follow each
 * other may be the very array that the file gave. Throws as `file.read` does.
 */
export async function readRows(
  file: Pick<RowFile, 'read'>,
  indices: Int32Array,
  size: number,
): Promise<Float32Array> {
  const most = Math.max(1, Math.floor(mostBytesAtOnce / (8 * size)))
  if (indices.length <= most && follow(indices)) {
    const rows = await file.read(indices[0], indices.length)
    if (rows instanceof Float32Array) return rows
  }
  const out = new Float32Array(indices.length * size)
  const order = Int32Array.from(indices.keys()).sort((a, b) => indices[a] - indices[b])
  for (let at = 0; at < order.length; ) {
    const first = indices[order[at]]
    let end = at + 1
    while (
      end < order.length &&
      indices[order[end]] - indices[order[end - 1]] <= widestGap &&
      indices[order[end]] - first < most
    )
      end++
    const rows = (await file.read(first, indices[order[end - 1]] - first + 1)) as Float32Array
    for (; at < end; at++) {
      const from = (indices[order[at]] - first) * size
      out.set(rows.subarray(from, from + size), order[at] * size)
    }
  }
  return out
}

function follow(indices: Int32Array): boolean {
  for (let n = 1; n < indices.length; n++) if (indices[n] !== indices[n - 1] + 1) return false
  return indices.length > 0
}

async function readSome(
  path: string,
  stamp: string,
  indices: Int32Array,
  size: number,
): Promise<Float32Array> {
  const file = await openRows(path)
  try {
    if (file.stamp !== stamp)
      throw new VqFormatError({
        operation: `vectors.batch of ${path}`,
        expected: 'the file as it was when it was opened',
        received: 'another version of it',
        remedy: 'Open it again.',
      })
    return await readRows(file, indices, size)
  } finally {
    await file.close()
  }
}
