import * as tf from '@tensorflow/tfjs-core'
import { expectShape } from '../check.js'
import { VqValueError } from '../errors.js'
import { detach } from './detach.js'
import { expectFloat32, expectInt32 } from './float32.js'
import { hasKernel, runKernel } from './kernel.js'

export interface EmbeddingOpOptions {
  /** The row that gets no gradient. Default: none. */
  paddingIdx?: number
}

/**
 * Rows of a table by number. ids: [...] int32 in [0, V); table: [V, D] float32; the result is [..., D]. Differentiable in the
 * table: its gradient adds the rows of each number in ascending order of positions, with any number of threads.
 * Throws VqValueError naming the first id that is no row.
 */
export function embedding(
  ids: tf.Tensor,
  table: tf.Tensor2D,
  { paddingIdx }: EmbeddingOpOptions = {},
): tf.Tensor {
  expectShape(
    table.rank === 2,
    'embedding',
    'a table [V, D]',
    `[${table.shape}]`,
    'Pass one vector per number.',
  )
  expectInt32('embedding', 'ids', ids)
  expectFloat32('embedding', table)
  if (hasKernel('VqEmbedding')) return runKernel('VqEmbedding', { ids, table }, { paddingIdx })
  const values = ids.dataSync() as Int32Array
  const bad = values.findIndex(v => v < 0 || v >= table.shape[0])
  if (bad >= 0) throw badId(values[bad], bad, table.shape[0])
  const shape = [...ids.shape, table.shape[1]]
  if (table.size === 0 || ids.size === 0)
    return tf.tidy(() => tf.add(tf.zeros(shape), tf.mul(tf.sum(table), 0)))
  return tf.tidy(() => {
    const rows = tf.reshape(tf.gather(table, tf.reshape(ids, [ids.size]) as tf.Tensor1D), shape)
    if (paddingIdx === undefined) return rows
    const learning = othersThan(paddingIdx, ids)
    return tf.add(tf.mul(rows, learning), tf.mul(detach(rows), tf.sub(1, learning)))
  })
}

// [..., 1]: 0 where an id is `paddingIdx`, else 1.
function othersThan(paddingIdx: number, ids: tf.Tensor): tf.Tensor {
  return tf.expandDims(tf.cast(tf.notEqual(ids, paddingIdx), 'float32'), -1)
}

/** The error of an id that is no row. */
export function badId(id: number, position: number, rows: number): VqValueError {
  return new VqValueError({
    operation: 'embedding',
    expected: `ids from 0 to ${rows - 1}`,
    received: `${id} at position ${position}`,
    remedy: 'Make the table larger or check where the ids come from.',
  })
}

tf.registerGradient({
  kernelName: 'VqEmbedding',
  inputsToSave: ['ids', 'table'],
  gradFunc: (given, [ids, table], attrs) => ({
    ids: () => tf.zerosLike(ids),
    table: () => {
      const { paddingIdx } = attrs as unknown as EmbeddingOpOptions
      const dy = given as tf.Tensor
      const learning = paddingIdx === undefined ? dy : tf.mul(dy, othersThan(paddingIdx, ids))
      return runKernel('VqEmbeddingGrad', { ids, dy: learning }, { rows: table.shape[0] })
    },
  }),
})
