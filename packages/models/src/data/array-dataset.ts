import { expectConfig, VqConfigError } from '@vq/core'
import { BaseDataset, type Extras, expectFields, expectIndices, type Values } from './dataset.js'

/**
 * Samples that are already in memory, one after another; `extras` hold what belongs to them, all samples of each field.
 *
 * @example
 * const labels = { values: Int32Array.of(0, 1), shape: [2] }
 * const data = new ArrayDataset(new Float32Array(2 * 8 * 8 * 3), [8, 8, 3], { labels })
 */
export class ArrayDataset<V extends Values = Float32Array> extends BaseDataset<V> {
  readonly length: number
  readonly shape: readonly number[]
  readonly dtype: 'float32' | 'int32'
  /** Absent where none were given. */
  declare readonly extras?: (indices: Int32Array) => Extras
  private readonly values: V

  constructor(values: V, shape: readonly number[], extras?: Extras) {
    super()
    const typed = values instanceof Float32Array || values instanceof Int32Array
    expectConfig(
      typed,
      'ArrayDataset',
      'values as a Float32Array or Int32Array',
      values,
      'Copy them into one.',
    )
    const size = shape.reduce((a, b) => a * b, 1)
    if (size === 0 || values.length % size !== 0)
      throw new VqConfigError({
        operation: 'ArrayDataset',
        expected: `values of whole samples [${shape.join(', ')}]`,
        received: `${values.length} values`,
        remedy: 'Pass the shape of one sample.',
      })
    this.values = values
    this.shape = shape
    this.length = values.length / size
    this.dtype = values instanceof Int32Array ? 'int32' : 'float32'
    if (extras === undefined) return
    expectFields('ArrayDataset', extras, this.length)
    this.extras = indices => {
      expectIndices('ArrayDataset.extras', this, indices)
      const picked = Object.entries(extras).map(([name, field]) => {
        const values = pick(field.values, field.values.length / this.length, indices)
        return [name, { values, shape: [indices.length, ...field.shape.slice(1)] }] as const
      })
      return Object.fromEntries(picked)
    }
  }

  protected read(indices: Int32Array): V {
    return pick(this.values, this.values.length / this.length, indices)
  }
}

function pick<V extends Values>(all: V, size: number, indices: Int32Array): V {
  const length = indices.length * size
  const out = (all instanceof Int32Array ? new Int32Array(length) : new Float32Array(length)) as V
  for (const [i, sample] of indices.entries())
    out.set(all.subarray(sample * size, (sample + 1) * size), i * size)
  return out
}
