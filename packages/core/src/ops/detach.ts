import * as tf from '@tensorflow/tfjs-core'

/** The same values without gradient: a new tensor over the same data, nothing copied. Shape and dtype stay. */
export function detach<T extends tf.Tensor>(x: T): T {
  const engine = tf.engine()
  engine.backend.incRef(x.dataId)
  return engine.makeTensorFromTensorInfo({ dataId: x.dataId, shape: x.shape, dtype: x.dtype }) as T
}
