import * as tf from '@tensorflow/tfjs-core'
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
 * differentiable.
 * Source: Hendrycks and Gimpel 2016, https://arxiv.org/abs/1606.08415, section 2.
 */
export function gelu(x: tf.Tensor, { approximate = 'none' }: GeluOptions = {}): tf.Tensor {
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
