import * as tf from '@tensorflow/tfjs-core'

/**
 * tf.customGrad with plain types: `forward` computes the value and may `save` tensors; `backward` turns the value's
 * gradient and what was saved into one gradient per input. Neither is recorded itself.
 */
export function customGradient<T extends tf.Tensor>(
  inputs: tf.Tensor[],
  forward: (save: (tensors: tf.Tensor[]) => void) => T,
  backward: (dy: T, saved: tf.Tensor[]) => tf.Tensor[],
): T {
  const op = tf.customGrad((...args) => {
    const save = args[inputs.length] as unknown as tf.GradSaveFunc
    return { value: forward(save), gradFunc: backward as never }
  })
  return op(...inputs) as T
}
