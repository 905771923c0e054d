import * as tf from '@tensorflow/tfjs-core'
import { expectInteger, expectNumber, expectOneOf, expectShape } from '../check.js'
import { type GeluOptions, gelu, silu } from '../ops/activation.js'
import { softmax } from '../ops/softmax.js'
import { expectTensor, optionsOf } from './given.js'
import { Layer } from './layer.js'

/** max(x, 0). */
export class ReLU extends Layer {
  forward(x: tf.Tensor): tf.Tensor {
    expectTensor('ReLU.forward', x, ['float32', 'int32'])
    return tf.relu(x)
  }
}

/** x where x is positive, else negativeSlope·x. */
export class LeakyReLU extends Layer {
  readonly negativeSlope: number

  /** negativeSlope: default 0.01. */
  constructor(options: { negativeSlope?: number } = {}) {
    super()
    const { negativeSlope = 0.01 } = optionsOf('LeakyReLU', options)
    expectNumber('LeakyReLU', 'negativeSlope', negativeSlope, -1e15, 1e15)
    this.negativeSlope = negativeSlope
  }

  forward(x: tf.Tensor): tf.Tensor {
    expectTensor('LeakyReLU.forward', x)
    return tf.leakyRelu(x, this.negativeSlope)
  }
}

/** x·Φ(x), exactly or by tanh. Source: Hendrycks and Gimpel 2016, https://arxiv.org/abs/1606.08415, section 2. */
export class GELU extends Layer {
  readonly approximate: 'none' | 'tanh'

  constructor(options: GeluOptions = {}) {
    super()
    const { approximate = 'none' } = optionsOf('GELU', options)
    expectOneOf('GELU', 'approximate', approximate, ['none', 'tanh'])
    this.approximate = approximate
  }

  forward(x: tf.Tensor): tf.Tensor {
    expectTensor('GELU.forward', x)
    return gelu(x, { approximate: this.approximate })
  }
}

/** x·σ(x). Source: Elfwing, Uchibe, Doya 2017, https://arxiv.org/abs/1702.03118, equation 5. */
export class SiLU extends Layer {
  forward(x: tf.Tensor): tf.Tensor {
    expectTensor('SiLU.forward', x)
    return silu(x)
  }
}

/** x where x is positive, else alpha·(e^x − 1). Source: Clevert et al. 2015, https://arxiv.org/abs/1511.07289, equation 15. */
export class ELU extends Layer {
  readonly alpha: number

  /** alpha: default 1. */
  constructor(options: { alpha?: number } = {}) {
    super()
    const { alpha = 1 } = optionsOf('ELU', options)
    expectNumber('ELU', 'alpha', alpha, -1e15, 1e15)
    this.alpha = alpha
  }

  forward(x: tf.Tensor): tf.Tensor {
    expectTensor('ELU.forward', x)
    if (this.alpha === 1) return tf.elu(x)
    return tf.tidy(() => tf.add(tf.relu(x), tf.mul(tf.expm1(tf.minimum(x, 0)), this.alpha)))
  }
}

/** log(1 + e^(beta·x)) / beta. PyTorch's threshold changes nothing within float32. */
export class Softplus extends Layer {
  readonly beta: number

  /** beta: positive, default 1. */
  constructor(options: { beta?: number } = {}) {
    super()
    const { beta = 1 } = optionsOf('Softplus', options)
    expectNumber('Softplus', 'beta', beta, 1e-30, 1e30)
    this.beta = beta
  }

  forward(x: tf.Tensor): tf.Tensor {
    expectTensor('Softplus.forward', x)
    const { beta } = this
    return beta === 1 ? tf.softplus(x) : tf.tidy(() => tf.div(tf.softplus(tf.mul(x, beta)), beta))
  }
}

/** 1 / (1 + e^−x). */
export class Sigmoid extends Layer {
  forward(x: tf.Tensor): tf.Tensor {
    expectTensor('Sigmoid.forward', x)
    return tf.sigmoid(x)
  }
}

/** The hyperbolic tangent. */
export class Tanh extends Layer {
  forward(x: tf.Tensor): tf.Tensor {
    expectTensor('Tanh.forward', x)
    return tf.tanh(x)
  }
}

/** e^x / Σ e^x along an axis. */
export class Softmax extends Layer {
  readonly axis: number

  /** axis: default −1, the last. */
  constructor(options: { axis?: number } = {}) {
    super()
    const { axis = -1 } = optionsOf('Softmax', options)
    expectInteger('Softmax', 'axis', axis, -8, 7)
    this.axis = axis
  }

  forward(x: tf.Tensor): tf.Tensor {
    expectTensor('Softmax.forward', x)
    const { axis } = this
    expectShape(
      axis >= -x.rank && axis < x.rank,
      'Softmax.forward',
      `a tensor that has an axis ${axis}`,
      `a tensor [${x.shape.join(', ')}]`,
      'Pass a tensor of more axes, or another axis.',
    )
    return softmax(x, axis)
  }
}
