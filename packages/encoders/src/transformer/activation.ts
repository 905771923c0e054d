import { type Activation, gelu, silu, tf } from '@vq/core'
import type { Linear } from '@vq/core/nn'

/** Names of activations, as configurations of pretrained models spell them; several spell the same one. */
export const activationNames = [
  'linear',
  'relu',
  'gelu',
  'gelu_python',
  'gelu_new',
  'gelu_fast',
  'gelu_pytorch_tanh',
  'gelu_tanh',
  'quick_gelu',
  'silu',
  'swish',
  'tanh',
  'sigmoid',
  'relu6',
  'leaky_relu',
  'elu',
  'mish',
] as const
export type ActivationName = (typeof activationNames)[number]

/** Those that linear layers apply in one pass. */
const fused: Partial<Record<ActivationName, Activation>> = {
  linear: 'linear',
  relu: 'relu',
  gelu: 'gelu',
  gelu_python: 'gelu',
  gelu_new: 'gelu_tanh',
  gelu_fast: 'gelu_tanh',
  gelu_pytorch_tanh: 'gelu_tanh',
  gelu_tanh: 'gelu_tanh',
  silu: 'silu',
  swish: 'silu',
  tanh: 'tanh',
  sigmoid: 'sigmoid',
}

// x·σ(1.702x), https://arxiv.org/abs/1606.08415, section 2.
const quick = 1.702

/** The activation of x. */
export function activate(x: tf.Tensor, name: ActivationName): tf.Tensor {
  switch (name) {
    case 'linear':
      return x
    case 'relu':
      return tf.relu(x)
    case 'relu6':
      return tf.relu6(x)
    case 'leaky_relu':
      return tf.leakyRelu(x, 0.01)
    case 'elu':
      return tf.elu(x)
    case 'silu':
    case 'swish':
      return silu(x)
    case 'tanh':
      return tf.tanh(x)
    case 'sigmoid':
      return tf.sigmoid(x)
    case 'quick_gelu':
      return tf.tidy(() => tf.mul(silu(tf.mul(x, quick)), 1 / quick))
    case 'mish':
      return tf.tidy(() => tf.mul(x, tf.tanh(tf.softplus(x))))
    case 'gelu':
    case 'gelu_python':
      return gelu(x)
    default:
      return gelu(x, { approximate: 'tanh' })
  }
}

/** activation(layer(x)), in one pass where the backend has it fused. */
export function activated(layer: Linear, x: tf.Tensor, name: ActivationName): tf.Tensor {
  const activation = fused[name]
  if (activation !== undefined) return layer.forward(x, { activation })
  return tf.tidy(() => activate(layer.forward(x), name))
}
