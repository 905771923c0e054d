import * as tf from '@tensorflow/tfjs-core'

type Save = (tensors: tf.Tensor[]) => void
type Gradients = Record<string, () => tf.Tensor>
interface RunsFunctions {
  runKernelFunc(call: {
    forwardFunc: (backend: unknown, save: Save) => tf.Tensor[]
    backwardsFunc: (dys: tf.Tensor | tf.Tensor[], saved: tf.Tensor[]) => Gradients
    inputs: Record<string, tf.Tensor>
  }): tf.Tensor[]
}

/**
 * As customGradient, for several results: one entry of the tape that has the inputs and outputs given, without tensors that
 * are saved but not handed out. Gradients of outputs that nothing used are zeros.
 */
export function taped(
  inputs: Record<string, tf.Tensor>,
  forward: (save: Save) => tf.Tensor[],
  backward: (dys: tf.Tensor[], saved: tf.Tensor[]) => Gradients,
): tf.Tensor[] {
  return (tf.engine() as unknown as RunsFunctions).runKernelFunc({
    forwardFunc: (_, save) => forward(save),
    backwardsFunc: (dys, saved) => backward(Array.isArray(dys) ? dys : [dys], saved),
    inputs,
  })
}
