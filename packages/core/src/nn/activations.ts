import * as tf from '@tensorflow/tfjs-core'
import { expectInteger, expectNumber, expectOneOf } from '../check.js'
import { type GeluOptions, gelu, silu } from '../ops/activation.js'
import { softmax } from '../ops/softmax.js'
import { Layer } from './layer.js'

/** max(x, 0). */
export class ReLU extends Layer {
  forward(x: tf.Tensor): tf.Tensor {
    return tf.relu(x)
  }
}

/** x where x is positive, else negativeSlope·x. */
export class LeakyReLU extends Layer {
  readonly negativeSlope: number

  /** negativeSlope: default 0.01. */
  constructor({ negativeSlope = 0.01 }: { negativeSlope?: number } = {}) {
    super()
    expectNumber('LeakyReLU', 'negativeSlope', negativeSlope, -1e15, 1e15)
    this.negativeSlope = negativeSlope
  }

  forward(x: tf.Tensor): tf.Tensor {
    return tf.leakyRelu(x, this.negativeSlope)
  }
}

/** x·Φ(x), exactly or by tanh. Source: Hendrycks and Gimpel 2016, https://arxiv.org/abs/1606.08415, section 2. */
export class GELU extends Layer {
  readonly approximate: 'none' | 'tanh'

  constructor({ approximate = 'none' }: GeluOptions = {}) {
    super()
    expectOneOf('GELU', 'approximate', approximate, ['none', 'tanh'])
    this.approximate = approximate
  }

  forward(x: tf.Tensor): tf.Tensor {
    return gelu(x, { approximate: this.approximate })
  }
}

/** x·σ(x). Source: Elfwing, Uchibe, Doya 2017, https://arxiv.org/abs/1702.03118, equation 5. */
export class SiLU extends Layer {
  forward(x: tf.Tensor): tf.Tensor {
    return silu(x)
  }
}

/** x where x is positive, else alpha·(e^x − 1). Source: Clevert et al. 2015, https://arxiv.org/abs/1511.07289, equation 15. */
export class ELU extends Layer {
  readonly alpha: number

  /** alpha: default 1. */
  constructor({ alpha = 1 }: { alpha?: number } = {}) {
    super()
    expectNumber('ELU', 'alpha', alpha, -1e15, 1e15)
    this.alpha = alpha
  }

  forward(x: tf.Tensor): tf.Tensor {
    if (this.alpha === 1) return tf.elu(x)
    return tf.tidy(() => tf.add(tf.relu(x), tf.mul(tf.expm1(tf.minimum(x, 0)), this.alpha)))
  }
}

/** log(1 + e^(beta·x)) / beta. PyTorch's threshold changes nothing within float32. */
export class Softplus extends Layer {
  readonly beta: number

  /** beta: positive, default 1. */
  constructor({ beta = 1 }: { beta?: number } = {}) {
    super()
    expectNumber('Softplus', 'beta', beta, 1e-30, 1e30)
    this.beta = beta
  }

  forward(x: tf.Tensor): tf.Tensor {
    const { beta } = this
    return beta === 1 ? tf.softplus(x) : tf.tidy(() => tf.div(tf.softplus(tf.mul(x, beta)), beta))
  }
}

/** 1 / (1 + e^−x). */
export class Sigmoid extends Layer {
  forward(x: tf.Tensor): tf.Tensor {
    return tf.sigmoid(x)
  }
}

/** The hyperbolic tangent. */
export class Tanh extends Layer {
  forward(x: tf.Tensor): tf.Tensor {
    return tf.tanh(x)
  }
}

/** e^x / Σ e^x along an axis. */
export class Softmax extends Layer {
  readonly axis: number

  /** axis: default −1, the last. */
  constructor({ axis = -1 }: { axis?: number } = {}) {
    super()
    expectInteger('Softmax', 'axis', axis, -8, 7)
    this.axis = axis
  }

  forward(x: tf.Tensor): tf.Tensor {
    return softmax(x, this.axis)
  }
}
