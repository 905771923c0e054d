import { tf } from '@vq/core'
import type { Values } from '../data/dataset.js'
import type { Batch } from '../data/loader.js'

/** A batch as tensors: what a model's `forward` and `prepare` take. */
export type Inputs = [x: tf.Tensor, extras?: Record<string, tf.Tensor>]

/** The batch's tensors, for `forward(...inputs)`; `disposeInputs` frees them. */
export function inputsOf({ values, shape, extras }: Batch<Values>): Inputs {
  const x = tf.tensor(values, shape)
  if (extras === undefined) return [x]
  const fields = Object.entries(extras).map(([name, f]) => [name, tf.tensor(f.values, [...f.shape])] as const)
  return [x, Object.fromEntries(fields)]
}

export function disposeInputs([x, extras = {}]: Inputs): void {
  x.dispose()
  for (const tensor of Object.values(extras)) tensor.dispose()
}
