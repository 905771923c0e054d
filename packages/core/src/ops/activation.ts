import * as tf from '@tensorflow/tfjs-core'
import { expectOneOf } from '../check.js'
import { expectFloat32 } from './float32.js'
import { hasKernel, runKernel } from './kernel.js'

/** Activations that fused ops apply, in the order in which the native core numbers them. */
export const activations = ['linear', 'relu', 'gelu', 'gelu_tanh', 'silu', 'tanh', 'sigmoid'] as const
export type Activation = (typeof activations)[number]

/** How the native core numbers an activation. */
export function activationCode(name: Activation): number {
  return activations.indexOf(name)
}

/** Whether the gradient is taken from the input; else from the output. */
export function gradientNeedsInput(name: Activation): boolean {
  return name === 'gelu' || name === 'gelu_tanh' || name === 'silu'
}

const rootTwoOverPi = Math.sqrt(2 / Math.PI)

/** An activation as a composition of tfjs ops. */
export const composedActivation: Readonly<Record<Activation, (x: tf.Tensor) => tf.Tensor>> = {
  linear: x => x,
  relu: x => tf.relu(x),
  gelu: x => tf.mul(tf.mul(x, 0.5), tf.add(tf.erf(tf.mul(x, Math.SQRT1_2)), 1)),
  gelu_tanh: x => {
    const inner = tf.mul(tf.mul(x, rootTwoOverPi), tf.add(tf.mul(tf.square(x), 0.044715), 1))
    return tf.mul(tf.mul(x, 0.5), tf.add(tf.tanh(inner), 1))
  },
  silu: x => tf.mul(x, tf.sigmoid(x)),
  tanh: x => tf.tanh(x),
  sigmoid: x => tf.sigmoid(x),
}

/** Second derivatives. */
const curvature = {
  relu: (z: tf.Tensor): tf.Tensor => tf.zerosLike(z),
  // φ(z)·(2 − z²)
  gelu: (z: tf.Tensor): tf.Tensor =>
    tf.mul(tf.exp(tf.mul(tf.square(z), -0.5)), tf.mul(tf.sub(2, tf.square(z)), 1 / Math.sqrt(2 * Math.PI))),
  // With t = tanh u: t′ + ½·z·t″
  gelu_tanh: (z: tf.Tensor): tf.Tensor => {
    const cubed = tf.mul(tf.square(z), 0.044715)
    const t = tf.tanh(tf.mul(tf.mul(z, rootTwoOverPi), tf.add(cubed, 1)))
    const slope = tf.mul(tf.add(tf.mul(cubed, 3), 1), rootTwoOverPi)
    const bend = tf.mul(z, 6 * 0.044715 * rootTwoOverPi)
    const rise = tf.sub(1, tf.square(t))
    const second = tf.mul(rise, tf.sub(bend, tf.mul(tf.mul(t, 2), tf.square(slope))))
    return tf.add(tf.mul(rise, slope), tf.mul(tf.mul(z, 0.5), second))
  },
  // With s = σ(z): s′·(2 + z·(1 − 2s))
  silu: (z: tf.Tensor): tf.Tensor => {
    const s = tf.sigmoid(z)
    return tf.mul(tf.mul(s, tf.sub(1, s)), tf.add(tf.mul(z, tf.sub(1, tf.mul(s, 2))), 2))
  },
}

function activate(operation: string, x: tf.Tensor, activation: Activation): tf.Tensor {
  expectFloat32(operation, x)
  if (hasKernel('VqActivation')) return runKernel('VqActivation', { x }, { activation })
  return tf.tidy(() => composedActivation[activation](x))
}

export interface GeluOptions {
  /** 'none' is exact; 'tanh' is the approximation ½x(1 + tanh(√(2/π)(x + 0.044715x³))). Default 'none'. */
  approximate?: 'none' | 'tanh'
}

/**
 * The Gaussian error linear unit x·Φ(x), Φ being the standard normal distribution function. x: any shape, float32;
 * differentiable. Throws VqConfigError for another approximation.
 * Source: Hendrycks and Gimpel 2016, https://arxiv.org/abs/1606.08415, section 2.
 */
export function gelu(x: tf.Tensor, { approximate = 'none' }: GeluOptions = {}): tf.Tensor {
  expectOneOf('gelu', 'approximate', approximate, ['none', 'tanh'])
  return activate('gelu', x, approximate === 'tanh' ? 'gelu_tanh' : 'gelu')
}

/**
 * The sigmoid linear unit x / (1 + e^−x), also called swish. x: any shape, float32; differentiable.
 * Source: Elfwing, Uchibe, Doya 2017, https://arxiv.org/abs/1702.03118, equation 5.
 */
export function silu(x: tf.Tensor): tf.Tensor {
  return activate('silu', x, 'silu')
}

// Only activations whose gradient needs the input run as this kernel; the others are tfjs's.
tf.registerGradient({
  kernelName: 'VqActivation',
  inputsToSave: ['x'],
  gradFunc: (dy, [z], attrs) => ({
    x: () => runKernel('VqActivationGrad', { z, dy: dy as tf.Tensor }, attrs as never),
  }),
})

// Second order. The kernel is linear in dy; relu's slope is constant, the others' changes by `curvature` of the input.
tf.registerGradient({
  kernelName: 'VqActivationGrad',
  inputsToSave: ['z', 'dy'],
  gradFunc: (gradient, [z, dy], attrs) => {
    const ddx = gradient as tf.Tensor
    const { activation } = attrs as unknown as { activation: keyof typeof curvature }
    return {
      dy: () => runKernel('VqActivationGrad', { z, dy: ddx }, { activation }),
      z: () => tf.mul(tf.mul(ddx, dy), curvature[activation](z)),
    }
  },
})

// tfjs makes three passes over it. The output is positive where the input is, so the input need not be kept.
tf.registerGradient({
  kernelName: 'Relu',
  outputsToSave: [true],
  gradFunc: (gradient, [z]) => {
    const dy = gradient as tf.Tensor
    const fused = hasKernel('VqActivationGrad') && dy.dtype === 'float32' && z.dtype === 'float32'
    return {
      x: () =>
        fused
          ? runKernel('VqActivationGrad', { z, dy }, { activation: 'relu' })
          : tf.mul(dy, tf.cast(tf.step(z), 'float32')),
    }
  },
})
