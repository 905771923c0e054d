import type { tf } from '@vq/core'
import { orderedLinear } from '@vq/core'
import { Linear } from '@vq/core/nn'

/**
 * A linear layer whose results depend on each row alone, bit for bit, so that codes computed from them do not drift with
 * the batch. Parameters as of `Linear`.
 */
export class Projection extends Linear {
  override forward(x: tf.Tensor): tf.Tensor2D {
    return orderedLinear(x, this.weight, this.bias) as tf.Tensor2D
  }
}
