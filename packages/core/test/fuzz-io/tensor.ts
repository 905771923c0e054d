import { deepStrictEqual, ok } from 'node:assert'
import { arraysOf, elementsPerValue, type StoredTensor, type TensorEntry } from '@vq/core/io'

/** Throws unless a tensor is of its entry's type and shape, and has as many values as they say. */
export function agrees({ dtype, shape, data }: StoredTensor, entry: TensorEntry): void {
  deepStrictEqual({ dtype, shape }, { dtype: entry.dtype, shape: entry.shape })
  ok(data instanceof arraysOf[dtype], `${data.constructor.name} for ${dtype}`)
  const count = shape.reduce((a, b) => a * b, elementsPerValue(dtype) as number)
  ok(shape.includes(0) ? data.length === 0 : data.length === count, `${data.length} values for [${shape}]`)
}
