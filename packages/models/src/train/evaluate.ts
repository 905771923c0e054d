import { tf } from '@vq/core'
import type { Values } from '../data/dataset.js'
import type { DataLoader } from '../data/loader.js'
import type { Trainable } from './options.js'
import { inputsOf } from './tensors.js'

/**
 * Means of every scalar that the model's forward gives over one epoch of the loader, weighted by batch size, in
 * evaluation mode; the mode is put back afterwards.
 */
export async function evaluateModel(
  model: Trainable,
  loader: DataLoader<Values>,
): Promise<Record<string, number>> {
  const modes = model.namedModules().map(([, module]) => [module, module.training] as const)
  const sums: Record<string, number> = {}
  let count = 0
  // A whole epoch, wherever the loader was left.
  if (loader.state.position > 0) loader.state = { ...loader.state, position: 0 }
  model.eval()
  try {
    for await (const batch of loader) {
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
