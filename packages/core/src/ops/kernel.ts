import * as tf from '@tensorflow/tfjs-core'

/** Whether the active backend has our fused kernel `name`; else the op is composed. */
export function hasKernel(name: string): boolean {
  return tf.getKernel(name, tf.getBackend()) != null
}

/** Runs a kernel that returns one tensor. */
export function runKernel(
  name: string,
  inputs: Record<string, tf.Tensor | undefined>,
  attrs: Record<string, unknown> = {},
): tf.Tensor {
  return tf.engine().runKernel(name, present(inputs), attrs as never) as unknown as tf.Tensor
}

/** Runs a kernel that returns several. */
export function runKernels(
  name: string,
  inputs: Record<string, tf.Tensor | undefined>,
  attrs: Record<string, unknown> = {},
): tf.Tensor[] {
  return tf.engine().runKernel(name, present(inputs), attrs as never) as unknown as tf.Tensor[]
}

// The tape walks over every key, so an input that was left out must not be there.
function present(inputs: Record<string, tf.Tensor | undefined>): never {
  return Object.fromEntries(Object.entries(inputs).filter(([, t]) => t !== undefined)) as never
}
