import * as tf from '@tensorflow/tfjs-core'
import { VqValueError } from '../errors.js'
import { clipGradNorm } from './clip.js'
import { valueAndGradients } from './gradients.js'
import type { Optimizer, StepOptions } from './optimizer.js'

export interface TrainStepOptions extends StepOptions {
  /** Clip the gradients' global norm to this. Default: no clipping. */
  clipNorm?: number
}

export interface TrainStepResult {
  loss: number
  /** Norm of all gradients before clipping; null without clipping. */
  gradientNorm: number | null
  /** Every scalar that `forward` returned, `loss` included. */
  scalars: Record<string, number>
}

/**
 * One step of training: forward, backward, clipping, update. `forward` returns named tensors, among them the scalar
 * `loss`; the scalars are read, and everything made on the way is disposed.
 * Throws VqValueError, with the parameters as they were, when the loss or the gradients' norm is not finite.
 */
export function trainStep(
  optimizer: Optimizer,
  forward: () => { loss: tf.Tensor },
  options: TrainStepOptions = {},
): TrainStepResult {
  const kept: [string, tf.Tensor][] = []
  let gradients: (tf.Tensor | null)[] = []
  try {
    const trainable = optimizer.parameters.map(p => p.trainable)
    const wanted = optimizer.parameters.filter((_, i) => trainable[i])
    const found = valueAndGradients(() => {
      const results = forward()
      for (const [name, value] of scalarsOf(results)) kept.push([name, tf.keep(tf.clone(value))])
      return results.loss as tf.Scalar
    }, wanted)
    kept.push(['loss', found.value])
    let next = 0
    gradients = trainable.map(on => (on ? found.gradients[next++] : null))
    const scalars: Record<string, number> = {}
    for (const [name, tensor] of kept) scalars[name] = tensor.dataSync()[0]
    const { loss } = scalars
    expectFinite('loss', loss)
    const { clipNorm, ...step } = options
    if (clipNorm === undefined) {
      optimizer.step(gradients, step)
      return { loss, gradientNorm: null, scalars }
    }
    const { norm, scale } = clipGradNorm(gradients, clipNorm)
    expectFinite("gradients' norm", norm)
    optimizer.step(gradients, { ...step, gradientScale: scale * (step.gradientScale ?? 1) })
    return { loss, gradientNorm: norm, scalars }
  } finally {
    for (const [, tensor] of kept) tensor.dispose()
    for (const g of gradients) g?.dispose()
  }
}

function scalarsOf(results: object): [string, tf.Tensor][] {
  return Object.entries(results).filter(
    ([name, value]) => name !== 'loss' && value instanceof tf.Tensor && value.rank === 0,
  )
}

function expectFinite(what: string, value: number): void {
  if (Number.isFinite(value)) return
  throw new VqValueError({
    operation: 'trainStep',
    expected: `a finite ${what}`,
    received: String(value),
    remedy: 'Lower the learning rate, clip the gradients, or look for such values in the data.',
  })
}
