import { tf } from '@vq/core'
import type { Values } from '../data/dataset.js'
import { DataLoader } from '../data/loader.js'
import type { Trainable } from './options.js'
import { inputsOf } from './tensors.js'

/**
 * Means of every scalar that the model's forward gives over all samples of the loader's data, weighted by batch size, in
 * evaluation mode; the mode is put back afterwards. Samples come in their own order, none is left out, and the loader stays
 * where it is.
 */
export async function evaluateModel(
  model: Trainable,
  loader: DataLoader<Values>,
): Promise<Record<string, number>> {
  const modes = model.namedModules().map(([, module]) => [module, module.training] as const)
  const sums: Record<string, number> = {}
  let count = 0
  const { dataset, batchSize, prefetch } = loader
  const all = new DataLoader(dataset, { batchSize, prefetch, shuffle: false })
  model.eval()
  try {
    for await (const batch of all) {
      const scalars = tf.tidy(() => {
        const results = Object.entries(model.forward(...inputsOf(batch)))
        return results.flatMap(([name, t]) =>
          t instanceof tf.Tensor && t.rank === 0 ? [{ name, value: t.dataSync()[0] }] : [],
        )
      }) as { name: string; value: number }[]
      for (const { name, value } of scalars) sums[name] = (sums[name] ?? 0) + value * batch.shape[0]
      count += batch.shape[0]
      await new Promise(resolve => setImmediate(resolve))
    }
  } finally {
    for (const [module, training] of modes) module.training = training
  }
  return Object.fromEntries(Object.entries(sums).map(([name, sum]) => [name, sum / count]))
}
