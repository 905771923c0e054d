import { expectConfig, expectInteger, Random } from '@vq/core'
import { type Dataset, expectIndices, type Values } from './dataset.js'

/** The items of `dataset` at `indices`, in that order, with their extras, ids, captions and labels. */
export function subset<V extends Values = Float32Array>(
  dataset: Dataset<V>,
  indices: ArrayLike<number>,
): Dataset<V> {
  const chosen = Int32Array.from(indices)
  expectIndices('subset', dataset, chosen)
  const pick = (all: readonly string[]): string[] => Array.from(chosen, i => all[i]!)
  const numbers = (operation: string, at: Int32Array): Int32Array => {
    expectIndices(operation, chosen, at)
    return at.map(i => chosen[i]!)
  }
  return {
    length: chosen.length,
    shape: dataset.shape,
    batch: at => dataset.batch(numbers('subset.batch', at)),
    ...(dataset.dtype && { dtype: dataset.dtype }),
    ...(dataset.extras && { extras: at => dataset.extras!(numbers('subset.extras', at)) }),
    ...(dataset.ids && { ids: pick(dataset.ids) }),
    ...(dataset.captions && { captions: pick(dataset.captions) }),
    ...(dataset.labels && { labels: pick(dataset.labels) }),
  }
}

/**
 * Splits at random, the same way for the same seed and length. `heldOut` is a share below 1 or a number of items; both
 * parts keep the order of the data set and hold at least one item.
 */
export function splitDataset<V extends Values = Float32Array>(
  dataset: Dataset<V>,
  options: { heldOut: number; seed?: number },
): { train: Dataset<V>; heldOut: Dataset<V> } {
  const { heldOut, seed = 0 } = options
  expectInteger('splitDataset', 'the length of the data set', dataset.length, 2)
  expectConfig(
    typeof heldOut === 'number' && heldOut > 0 && heldOut < dataset.length,
    'splitDataset',
    `heldOut to be a share between 0 and 1 or a number from 1 to ${dataset.length - 1}`,
    heldOut,
    'Pass heldOut in that range.',
  )
  const wanted = Math.round(heldOut < 1 ? heldOut * dataset.length : heldOut)
  const count = Math.min(Math.max(1, wanted), dataset.length - 1)
  const order = new Random(seed).permutation(dataset.length)
  return {
    train: subset(dataset, order.slice(count).sort()),
    heldOut: subset(dataset, order.slice(0, count).sort()),
  }
}
