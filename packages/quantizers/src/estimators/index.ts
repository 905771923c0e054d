import type { Estimator as EstimatorName, tf } from '@vq/core'
import { projection } from './projection.js'
import { rotationTrick } from './rotation.js'
import { straightThrough } from './straight-through.js'

/** Gives q the values and z the gradient. */
export type Estimator = (z: tf.Tensor2D, q: tf.Tensor2D) => tf.Tensor2D

export type { EstimatorName }

export const estimators: Readonly<Record<EstimatorName, Estimator>> = {
  ste: straightThrough,
  rotation: rotationTrick,
  projection,
}
export { projection, rotationTrick, straightThrough }
