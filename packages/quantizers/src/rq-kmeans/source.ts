import { describe, tf, VqConfigError, VqShapeError } from '@vq/core'

/** Rows [N, dim]: behind one another in a typed array, or a tensor. */
export type Rows = Float32Array | tf.Tensor2D
/** All rows at once, or block after block. Typed arrays need to know the length of a row. */
export type RowSource = Rows | Iterable<Rows> | AsyncIterable<Rows>

/** Rows as a typed array. */
export interface Block {
  values: Float32Array
  dim: number
}

/** One block's rows; `dim` where the caller or an earlier block has said it. */
export function blockOf(operation: string, rows: unknown, dim: number | undefined): Block {
  if (rows instanceof tf.Tensor) {
    const [, width] = rows.shape
    if (rows.rank !== 2 || rows.dtype !== 'float32' || !width || (dim !== undefined && width !== dim))
      throw new VqShapeError({
        operation,
        expected: `float32 rows [N, ${dim ?? 'dim'}]`,
        received: `a tensor [${rows.shape.join(', ')}] of ${rows.dtype}`,
        remedy: 'Reshape to one row per vector.',
      })
    return { values: rows.dataSync<'float32'>(), dim: width as number }
  }
  if (!(rows instanceof Float32Array))
    throw new VqConfigError({
      operation,
      expected: 'rows in a Float32Array or a tensor [N, dim], or blocks of such',
      received: describe(rows),
      remedy: 'Pass rows behind one another, for instance Float32Array.from(values).',
    })
  if (dim === undefined)
    throw new VqConfigError({
      operation,
      expected: 'the length of a row',
      received: 'a Float32Array without it',
      remedy: 'Pass `dim` to the constructor: new RQKMeans({ dim: 64 }).',
    })
  if (rows.length % dim !== 0)
    throw new VqShapeError({
      operation,
      expected: `whole rows of ${dim} numbers`,
      received: `${rows.length} numbers`,
      remedy: 'Pass rows behind one another.',
    })
  return { values: rows, dim }
}

/** The blocks of a source. */
export async function* blocksOf(
  operation: string,
  source: RowSource,
  dim: number | undefined,
): AsyncGenerator<Block> {
  let known = dim
  const several =
    !(source instanceof Float32Array) &&
    !(source instanceof tf.Tensor) &&
    (Symbol.iterator in Object(source) || Symbol.asyncIterator in Object(source))
  for await (const rows of several ? (source as AsyncIterable<Rows>) : [source as Rows]) {
    const block = blockOf(operation, rows, known)
    known = block.dim
    yield block
  }
}
