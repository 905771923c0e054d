import * as tf from '@tensorflow/tfjs-core'
import { VqCpuBackend } from '../backend/vq-cpu.js'
import { expectInteger, expectShape } from '../check.js'

export interface AdamState {
  /** First moments, one per parameter. */
  readonly m: tf.Variable[]
  /** Second moments, one per parameter. */
  readonly v: tf.Variable[]
}

export interface AdamStepOptions {
  learningRate: number
  /** 1 at the first step: the bias correction uses it. */
  step: number
  beta1?: number
  beta2?: number
  epsilon?: number
  /** With `decoupled` as in AdamW, else added to the gradient as in PyTorch's Adam. Default 0. */
  weightDecay?: number
  decoupled?: boolean
  /** Multiplies every gradient first, as clipping by global norm does. Default 1. */
  gradientScale?: number
}

/**
 * One step of Adam on all parameters; parameters and moments are updated in place. Parameters whose gradient is null
 * stay as they are.
 * Source: Kingma and Ba 2015, https://arxiv.org/abs/1412.6980, algorithm 1; Loshchilov and Hutter 2019,
 * https://arxiv.org/abs/1711.05101, algorithm 2 (`decoupled`).
 */
export function adamStep(
  parameters: tf.Variable[],
  gradients: (tf.Tensor | null)[],
  state: AdamState,
  options: AdamStepOptions,
): void {
  const { learningRate, step, beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8 } = options
  const { weightDecay = 0, decoupled = false, gradientScale = 1 } = options
  // The bias correction of step 0 divides by 0.
  expectInteger('adamStep', 'step', step, 1)
  for (const [i, p] of parameters.entries()) {
    const tensors = [gradients[i] === null ? p : gradients[i], state.m[i], state.v[i]]
    if (tensors.every(t => t !== undefined && tf.util.arraysEqual(t.shape, p.shape))) continue
    expectShape(
      false,
      'adamStep',
      `gradient and moments of parameter ${i} to be [${p.shape}]`,
      tensors.map(t => (t ? `[${t.shape}]` : String(t))).join(', '),
      'Pass gradients and moments in the order of the parameters.',
    )
  }
  const { backend } = tf.engine()
  if (backend instanceof VqCpuBackend) {
    const scalars = [learningRate, step, beta1, beta2, epsilon, weightDecay, Number(decoupled), gradientScale]
    nativeAdam(backend, parameters, gradients, state, scalars)
    return
  }
  const correction1 = 1 - beta1 ** step
  const correction2 = 1 - beta2 ** step
  tf.tidy(() => {
    for (const [i, p] of parameters.entries()) {
      let g = gradients[i]
      if (g === null) continue
      const m = state.m[i]
      const v = state.v[i]
      if (gradientScale !== 1) g = tf.mul(g, gradientScale)
      if (weightDecay !== 0 && !decoupled) g = tf.add(g, tf.mul(p, weightDecay))
      m.assign(tf.add(tf.mul(m, beta1), tf.mul(g, 1 - beta1)))
      v.assign(tf.add(tf.mul(v, beta2), tf.mul(tf.square(g), 1 - beta2)))
      const shrunk = weightDecay !== 0 && decoupled ? tf.mul(p, 1 - learningRate * weightDecay) : p
      const root = tf.add(tf.div(tf.sqrt(v), Math.sqrt(correction2)), epsilon)
      p.assign(tf.sub(shrunk, tf.div(tf.mul(m, learningRate / correction1), root)))
    }
  })
}

const perCall = 40 // parameters whose arguments fit one native call

function nativeAdam(
  backend: VqCpuBackend,
  parameters: tf.Variable[],
  gradients: (tf.Tensor | null)[],
  state: AdamState,
  scalars: number[],
): void {
  const used = parameters.map((_, i) => i).filter(i => gradients[i] !== null)
  for (let start = 0; start < used.length; start += perCall) {
    const part = used.slice(start, start + perCall)
    const tensors = part.flatMap(i => {
      for (const t of [parameters[i], state.m[i], state.v[i]]) backend.own(t)
      return [parameters[i].size, gradients[i], parameters[i], state.m[i], state.v[i]]
    })
    backend.run('AdamStep', ...scalars, part.length, ...tensors)
  }
}

/** √ of the sum of squares over all tensors; null entries count as zero. */
export function globalNorm(tensors: (tf.Tensor | null)[]): number {
  const { backend } = tf.engine()
  if (backend instanceof VqCpuBackend) {
    let total = 0
    const used = tensors.filter(t => t !== null)
    for (let start = 0; start < used.length; start += 100) {
      const part = used.slice(start, start + 100)
      backend.run('SumOfSquares', part.length, ...part.flatMap(t => [t.size, t]))
      total += backend.core.args[0]
    }
    return Math.sqrt(total)
  }
  return tf.tidy(() => {
    let total = 0
    for (const t of tensors) if (t !== null) total += tf.sum(tf.square(t)).dataSync()[0]
    return Math.sqrt(total)
  })
}
