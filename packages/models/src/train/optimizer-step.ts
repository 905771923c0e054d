import { tf } from '@vq/core'
import { clipGradNorm, type Optimizer, valueAndGradients } from '@vq/core/optim'

export interface StepResult {
  /** Means of every scalar that the forwards gave, `loss` among them, weighted by the samples. */
  scalars: Record<string, number>
  /** Of all gradients, before clipping. */
  gradientNorm: number
}

/** What of a step was not a finite number. Nothing was moved by the optimizer. */
export class StepNotFinite extends Error {
  readonly what: 'loss' | 'gradients'
  readonly value: number
  /** Names of the parameters whose gradients are not finite, in the model's order. */
  readonly gradients: string[]

  constructor(what: 'loss' | 'gradients', value: number, gradients: string[] = []) {
    super(`${what}: ${value}`)
    this.what = what
    this.value = value
    this.gradients = gradients
  }
}

type Gradients = (tf.Tensor | null)[]

/**
 * One step of an optimizer out of one or more micro-batches. Each micro-batch's gradient counts by its number of samples,
 * so that the step is that of one batch of all of them, to rounding, for a loss that is a mean over samples.
 */
export class OptimizerStep {
  private readonly optimizer: Optimizer
  private readonly names: ReadonlyMap<tf.Variable, string>
  private readonly trainable: boolean[]
  private gradients: Gradients | undefined
  private sums: Record<string, number> = {}
  samples = 0

  /** names: of the parameters, for errors. */
  constructor(optimizer: Optimizer, names: ReadonlyMap<tf.Variable, string>) {
    this.optimizer = optimizer
    this.names = names
    this.trainable = optimizer.parameters.map(p => p.trainable)
  }

  /** Forward and backward of one micro-batch; `alone` where it is the only one, which is not scaled then. */
  add(forward: () => { loss: tf.Tensor }, samples: number, alone: boolean): void {
    const kept: [string, tf.Tensor][] = []
    let gradients: Gradients = []
    try {
      const wanted = this.optimizer.parameters.filter((_, i) => this.trainable[i])
      const found = valueAndGradients(() => {
        const results = forward()
        for (const [name, value] of Object.entries(results))
          if (name !== 'loss' && value instanceof tf.Tensor && value.rank === 0)
            kept.push([name, tf.keep(tf.clone(value))])
        return results.loss as tf.Scalar
      }, wanted)
      kept.push(['loss', found.value])
      gradients = found.gradients
      const weight = alone ? 1 : samples
      for (const [name, tensor] of kept)
        this.sums[name] = (this.sums[name] ?? 0) + weight * tensor.dataSync()[0]
      this.samples += samples
      if (!Number.isFinite(this.sums.loss)) throw new StepNotFinite('loss', this.sums.loss)
      if (alone) this.gradients = gradients
      else this.accumulate(gradients, samples)
      if (alone) gradients = []
    } finally {
      tf.dispose(kept.map(([, tensor]) => tensor))
      for (const g of gradients) g?.dispose()
    }
  }

  private accumulate(gradients: Gradients, samples: number): void {
    const before = this.gradients ?? gradients.map(() => null)
    this.gradients = gradients.map((g, i) => {
      const sum = before[i]
      if (g === null) return sum
      const next = tf.tidy(() => {
        const weighted = tf.mul(g, samples)
        return sum === null ? weighted : tf.add(sum, weighted)
      })
      sum?.dispose()
      return tf.keep(next)
    })
  }

  /** Clips and moves the parameters. Throws StepNotFinite, with the parameters as they were. */
  finish(options: { learningRate: number; clipNorm: number | null; alone: boolean }): StepResult {
    const { learningRate, clipNorm, alone } = options
    let next = 0
    const found = this.gradients ?? []
    const gradients = this.trainable.map(on => (on ? found[next++] : null))
    const mean = alone ? 1 : 1 / this.samples
    // Without clipping the norm still tells whether all is finite.
    const { norm, scale } = clipGradNorm(gradients, clipNorm === null ? Number.MAX_VALUE : clipNorm / mean)
    if (!Number.isFinite(norm)) throw new StepNotFinite('gradients', norm, this.broken(gradients))
    this.optimizer.step(gradients, { learningRate, gradientScale: scale * mean })
    const scalars = Object.fromEntries(Object.entries(this.sums).map(([name, sum]) => [name, sum * mean]))
    return { scalars, gradientNorm: norm * mean }
  }

  private broken(gradients: Gradients): string[] {
    return this.optimizer.parameters.flatMap((p, i) => {
      const values = gradients[i]?.dataSync()
      return values?.some(v => !Number.isFinite(v)) ? [this.names.get(p) ?? p.name] : []
    })
  }

  dispose(): void {
    for (const g of this.gradients ?? []) g?.dispose()
    this.gradients = undefined
  }
}
