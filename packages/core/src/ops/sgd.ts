import * as tf from '@tensorflow/tfjs-core'
import { VqCpuBackend } from '../backend/vq-cpu.js'
import { expectNumber, expectShape } from '../check.js'
import { globalNorm } from './adam.js'

export interface SgdStepOptions {
  learningRate: number
  /** Default 0; above it, `velocities` are needed. */
  momentum?: number
  /** Looks ahead along the velocity. Default false. */
  nesterov?: boolean
  /** Added to the gradient times the parameter. Default 0. */
  weightDecay?: number
  /** Multiplies every gradient first, as clipping by global norm does. Default 1. */
  gradientScale?: number
}

const perCall = 60 // parameters whose arguments fit one native call

/**
 * One step of gradient descent on all parameters, in place: g ← g·gradientScale + weightDecay·p, v ← momentum·v + g,
 * p ← p − learningRate·v, or, with `nesterov`, p ← p − learningRate·(g + momentum·v). Parameters whose gradient is null stay
 * as they are. velocities: one per parameter, none without momentum.
 * Source: Sutskever et al. 2013, https://proceedings.mlr.press/v28/sutskever13.html, in PyTorch's form.
 */
export function sgdStep(
  parameters: tf.Variable[],
  gradients: (tf.Tensor | null)[],
  velocities: tf.Variable[],
  options: SgdStepOptions,
): void {
  const { learningRate, momentum = 0, nesterov = false, weightDecay = 0, gradientScale = 1 } = options
  for (const [i, p] of parameters.entries()) {
    const tensors = [gradients[i] === null ? p : gradients[i], momentum === 0 ? p : velocities[i]]
    if (tensors.every(t => t !== undefined && tf.util.arraysEqual(t.shape, p.shape))) continue
    expectShape(
      false,
      'sgdStep',
      `gradient${momentum === 0 ? '' : ' and velocity'} of parameter ${i} to be [${p.shape}]`,
      tensors.map(t => (t ? `[${t.shape}]` : String(t))).join(', '),
      'Pass gradients and velocities in the order of the parameters.',
    )
  }
  const { backend } = tf.engine()
  if (backend instanceof VqCpuBackend) {
    const used = parameters.map((_, i) => i).filter(i => gradients[i] !== null)
    for (let start = 0; start < used.length; start += perCall) {
      const part = used.slice(start, start + perCall)
      const tensors = part.flatMap(i => {
        const velocity = momentum === 0 ? null : velocities[i]
        backend.own(parameters[i])
        if (velocity !== null) backend.own(velocity)
        return [parameters[i].size, gradients[i], parameters[i], velocity]
      })
      const scalars = [learningRate, momentum, Number(nesterov), weightDecay, gradientScale]
      backend.run('SgdStep', ...scalars, part.length, ...tensors)
    }
    return
  }
  tf.tidy(() => {
    for (const [i, p] of parameters.entries()) {
      let g = gradients[i]
      if (g === null) continue
      if (gradientScale !== 1) g = tf.mul(g, gradientScale)
      if (weightDecay !== 0) g = tf.add(g, tf.mul(p, weightDecay))
      if (momentum !== 0) {
        velocities[i].assign(tf.add(tf.mul(velocities[i], momentum), g))
        g = nesterov ? tf.add(g, tf.mul(velocities[i], momentum)) : velocities[i]
      }
      p.assign(tf.sub(p, tf.mul(g, learningRate)))
    }
  })
}

export interface ClippedGradients {
  /** √ of the sum of squares of all gradients, before clipping. */
  norm: number
  /** New tensors, each multiplied with min(1, maxNorm / (norm + 1e-6)); null where null was. */
  gradients: (tf.Tensor | null)[]
}

/**
 * Scales gradients so that the norm over all of them is at most `maxNorm`. Optimizers of ours take `clipGradNorm`'s scale
 * instead, which saves this pass. Source: Pascanu et al. 2013, https://arxiv.org/abs/1211.5063, algorithm 1.
 */
export function clipByGlobalNorm(gradients: (tf.Tensor | null)[], maxNorm: number): ClippedGradients {
  expectNumber('clipByGlobalNorm', 'maxNorm', maxNorm, Number.MIN_VALUE, Number.MAX_VALUE)
  const norm = globalNorm(gradients)
  const scale = Math.min(1, maxNorm / (norm + 1e-6))
  const { backend } = tf.engine()
  if (scale === 1) return { norm, gradients: gradients.map(g => (g === null ? null : tf.clone(g))) }
  if (!(backend instanceof VqCpuBackend))
    return { norm, gradients: gradients.map(g => (g === null ? null : tf.mul(g, scale))) }
  const clipped = gradients.map(g =>
    g === null ? null : tf.engine().makeTensorFromTensorInfo(backend.allocate(g.shape, 'float32')),
  )
  const used = gradients.map((_, i) => i).filter(i => gradients[i] !== null)
  for (let start = 0; start < used.length; start += 80) {
    const part = used.slice(start, start + 80)
    backend.run(
      'ScaleMany',
      scale,
      part.length,
      ...part.flatMap(i => [gradients[i]?.size, gradients[i], clipped[i]]),
    )
  }
  return { norm, gradients: clipped }
}
