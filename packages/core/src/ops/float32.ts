import type * as tf from '@tensorflow/tfjs-core'
import { expectShape } from '../check.js'

/** Throws unless every tensor that is there holds float32: kernels read their bytes as such. */
export function expectFloat32(operation: string, ...tensors: (tf.Tensor | undefined)[]): void {
  for (const t of tensors)
    expectShape(
      t === undefined || t.dtype === 'float32',
      operation,
      'tensors of float32',
      `a tensor [${t?.shape}] of ${t?.dtype}`,
      "Convert it with tf.cast(x, 'float32').",
    )
}

/** Throws unless x is int32. */
export function expectInt32(operation: string, name: string, x: tf.Tensor): void {
  expectShape(
    x.dtype === 'int32',
    operation,
    `${name} of int32`,
    `a tensor [${x.shape}] of ${x.dtype}`,
    "Convert it with tf.cast(x, 'int32').",
  )
}
