import * as tf from '@tensorflow/tfjs-core'
import { sizeOf } from '../backend/data.js'
import { expectConfig, expectInteger, expectShape } from '../check.js'
import { anyType, expectTensor, optionsOf } from './given.js'
import { Layer } from './layer.js'

/** x as it is. */
export class Identity extends Layer {
  forward(x: tf.Tensor): tf.Tensor {
    expectTensor('Identity.forward', x, anyType)
    return tf.clone(x)
  }
}

/**
 * Joins axes startAxis … endAxis into one; by default all but the first. A feature map comes out places before channels:
 * give the Linear behind it `flattenedFrom`, so that it is stored as PyTorch's.
 */
export class Flatten extends Layer {
  readonly startAxis: number
  readonly endAxis: number

  /** Negative axes count from the end. Defaults 1 and −1. */
  constructor(options: { startAxis?: number; endAxis?: number } = {}) {
    super()
    const { startAxis = 1, endAxis = -1 } = optionsOf('Flatten', options)
    expectInteger('Flatten', 'startAxis', startAxis, -8, 7)
    expectInteger('Flatten', 'endAxis', endAxis, -8, 7)
    this.startAxis = startAxis
    this.endAxis = endAxis
  }

  forward(x: tf.Tensor): tf.Tensor {
    expectTensor('Flatten.forward', x, anyType)
    const [start, end] = [this.startAxis, this.endAxis].map(axis => (axis < 0 ? axis + x.rank : axis))
    expectShape(
      start >= 0 && start <= end && end < x.rank,
      'Flatten.forward',
      `a tensor that has axes ${this.startAxis} to ${this.endAxis}`,
      `a tensor [${x.shape.join(', ')}]`,
      'Pass a tensor of more axes.',
    )
    const joined = sizeOf(x.shape.slice(start, end + 1))
    return tf.reshape(x, [...x.shape.slice(0, start), joined, ...x.shape.slice(end + 1)])
  }
}

/** x [..., n] → [..., ...shape], n being the product of shape; the Linear before it wants `unflattenedTo`. */
export class Unflatten extends Layer {
  readonly shape: readonly number[]

  constructor(options: { shape: readonly number[] }) {
    super()
    const { shape } = optionsOf('Unflatten', options)
    expectConfig(
      Array.isArray(shape) && shape.length > 0 && shape.every(n => Number.isInteger(n) && n >= 1),
      'Unflatten',
      'shape to be whole numbers of at least 1',
      shape,
      'Pass the sizes that the last axis falls into.',
    )
    this.shape = [...shape]
  }

  forward(x: tf.Tensor): tf.Tensor {
    expectTensor('Unflatten.forward', x, anyType)
    const { shape } = this
    expectShape(
      x.rank >= 1 && x.shape[x.rank - 1] === sizeOf(shape),
      'Unflatten.forward',
      `a tensor [..., ${sizeOf(shape)}]`,
      `a tensor [${x.shape.join(', ')}]`,
      'Pass vectors of that length.',
    )
    return tf.reshape(x, [...x.shape.slice(0, -1), ...shape])
  }
}
