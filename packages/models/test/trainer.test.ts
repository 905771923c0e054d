import { appendFileSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Random, random, tf, VqConfigError, VqValueError } from '@vq/core'
import { init, Module } from '@vq/core/nn'
import { VQVAE } from '@vq/models'
import { ArrayDataset, DataLoader } from '@vq/models/data'
import { type Metrics, Trainer, type TrainerOptions } from '@vq/models/train'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { onBackends } from '../../../test/contract/backends.js'

let out: string
beforeEach(() => {
  out = mkdtempSync(join(tmpdir(), 'vq-trainer-'))
})
afterEach(() => rmSync(out, { recursive: true }))

const images = new Random(1).fillUniform(new Float32Array(20 * 8 * 8 * 3))
const loader = (): DataLoader =>
  new DataLoader(new ArrayDataset(images, [8, 8, 3]), { batchSize: 4, seed: 2 })
const lines = (): Metrics[] =>
  readFileSync(join(out, 'metrics.jsonl'), 'utf8')
    .trimEnd()
    .split('\n')
    .map(line => JSON.parse(line))
const quiet = { progress: false, logEvery: 1 } satisfies Partial<TrainerOptions>

function model(seed: number): VQVAE {
  random.seed(seed)
  return new VQVAE({
    architecture: 'igpt',
    hiddenDims: [4],
    embeddingDim: 4,
    numEmbeddings: 6,
    numResidualLayers: 1,
    codebookUpdate: 'ema',
    deadCodeThreshold: 0.9,
  })
}

/** Weighs its input; its best weight is the mean of the data. */
class Scale extends Module {
  readonly weight = this.addParameter('weight', init.uniform<tf.Rank.R1>([1], 0, 0))
  forward(x: tf.Tensor): { loss: tf.Scalar } {
    return { loss: tf.mean(tf.square(tf.sub(x, this.weight))) as tf.Scalar }
  }
}
const numbers = (values: number[]): DataLoader =>
  new DataLoader(new ArrayDataset(Float32Array.from(values), [1]), { batchSize: values.length })

onBackends(() => {
  describe('Trainer', () => {
    it('ends with the same weights, bit for bit, whether it was stopped and resumed or not', async () => {
      const steps = 14 // 5 per epoch, stopped inside the second
      const whole = model(7)
      await new Trainer({ ...quiet, steps }).fit(whole, loader())

      const stop = new AbortController()
      const first = model(7)
      const report = ({ step }: { step: number }): void => {
        if (step === 7) stop.abort()
      }
      const stopped = new Trainer({ ...quiet, steps, out, progress: report, signal: stop.signal })
      await expect(stopped.fit(first, loader())).rejects.toMatchObject({ name: 'AbortError' })
      expect(readdirSync(join(out, 'checkpoints'))).toEqual(['step-00000005', 'step-00000007'])

      // What a run that got further before it died would have left.
      appendFileSync(join(out, 'metrics.jsonl'), '{"step":8,"split":"train","loss":1}\n{"step":9,"lo')
      const second = model(99)
      await new Trainer({ ...quiet, steps, out, resume: true }).fit(second, loader())

      expect(second.stateDict()).toEqual(whole.stateDict())
      expect(lines().map(line => line.step)).toEqual(Array.from({ length: steps }, (_, i) => i + 1))
      for (const m of [whole, first, second]) m.dispose()
    })

    it('learns, writes what it measures, and keeps the newest checkpoints', async () => {
      const m = model(3)
      const validation = new DataLoader(new ArrayDataset(images, [8, 8, 3]), { batchSize: 6, shuffle: false })
      const options = { ...quiet, epochs: 6, out, checkpointEvery: 4, keep: 3, learningRate: 1e-2 }
      const { steps, metrics } = await new Trainer(options).fit(m, loader(), { validation })
      expect(steps).toBe(30)
      expect(metrics).toEqual(lines())
      const train = metrics.filter(x => x.split === 'train')
      const valid = metrics.filter(x => x.split === 'validation')
      expect(train.map(x => x.epoch)).toEqual(train.map((_, i) => Math.floor(i / 5)))
      expect(valid.map(x => x.step)).toEqual([5, 10, 15, 20, 25, 30])
      expect(valid[5].loss).toBeLessThan(valid[0].loss)
      expect(train[3]).toMatchObject({ step: 4, epoch: 0, learningRate: 1e-2 })
      for (const x of train)
        expect(x.loss).toBeCloseTo((x.reconstructionLoss as number) + (x.vqLoss as number), 5)
      // The mean over all images in evaluation mode.
      const again = tf.tidy(
        () =>
          m
            .eval()
            .forward(tf.tensor4d(images.slice(), [20, 8, 8, 3]))
            .loss.dataSync()[0],
      )
      expect(valid[5].loss).toBeCloseTo(again, 4)
      expect(readdirSync(join(out, 'checkpoints'))).toEqual([
        'step-00000024',
        'step-00000028',
        'step-00000030',
      ])
      m.dispose()
    })

    it('starts a k-means codebook from its first batch', async () => {
      const m = new VQVAE({ hiddenDims: [4], embeddingDim: 2, numEmbeddings: 5, initCodebook: 'kmeans' })
      const [k, before] = [m.quantizer, m.quantizer.codebook()]
      await new Trainer({ ...quiet, steps: 1 }).fit(m, loader())
      expect(k.ready).toBe(true)
      const usage = k.usage()
      expect([usage.used, usage.counts.reduce((a, b) => a + b)]).toEqual([5, 4 * 4 * 4])
      expect(Array.from(k.table.dataSync())).not.toEqual(Array.from(before.dataSync()))
      before.dispose()
      m.dispose()
    })

    it('clips: Adam’s first step is the learning rate, whatever the gradient', async () => {
      const m = new Scale()
      await new Trainer({ ...quiet, steps: 1, learningRate: 0.5 }).fit(m, numbers([1e6, 1e6]))
      expect(m.weight.dataSync()[0]).toBeCloseTo(0.5, 5)
      m.dispose()
    })

    it('follows its schedule', async () => {
      const m = new Scale()
      const options = { ...quiet, steps: 4, learningRate: 0.4, schedule: 'cosine', warmupSteps: 2 } as const
      const { metrics } = await new Trainer(options).fit(m, numbers([1, 2]))
      const rates = metrics.map(x => x.learningRate as number)
      for (const [i, rate] of [0.2, 0.4, 0.2, 0].entries()) expect(rates[i]).toBeCloseTo(rate, 10)
      m.dispose()
    })

    it('stops at a loss that is not finite, with the weights of the step before', async () => {
      const m = new Scale()
      const fit = new Trainer({ ...quiet, steps: 3 }).fit(m, numbers([1, Number.NaN]))
      await expect(fit).rejects.toThrow(VqValueError)
      expect(m.weight.dataSync()[0]).toBe(0)
      m.dispose()
    })

    it('tells progress, and keeps the number of tensors', async () => {
      const m = model(1)
      const seen: { step: number; tensors: number; left: number }[] = []
      const progress: TrainerOptions['progress'] = ({ step, secondsLeft }) =>
        seen.push({ step, tensors: tf.memory().numTensors, left: secondsLeft })
      await new Trainer({ steps: 8, progress }).fit(m, loader())
      expect(seen.map(x => x.step)).toEqual([1, 2, 3, 4, 5, 6, 7, 8])
      expect(new Set(seen.map(x => x.tensors)).size).toBe(1)
      expect(seen[7].left).toBe(0)
      m.dispose()
    })

    it('does not mix runs: a folder with checkpoints wants resume or overwrite', async () => {
      const first = new Scale()
      await new Trainer({ ...quiet, steps: 2, out }).fit(first, numbers([1, 2]))
      const m = new Scale()
      const again = new Trainer({ ...quiet, steps: 2, out }).fit(m, numbers([1, 2]))
      await expect(again).rejects.toThrow(/resume: true to go on, overwrite: true/)
      await new Trainer({ ...quiet, steps: 1, out, overwrite: true }).fit(m, numbers([1, 2]))
      expect(lines().map(x => x.step)).toEqual([1])
      await new Trainer({ ...quiet, steps: 2, out, resume: true }).fit(m, numbers([1, 2]))
      expect(lines().map(x => x.step)).toEqual([1, 2])
      expect(m.weight.dataSync()[0]).toBe(first.weight.dataSync()[0])
      first.dispose()
      m.dispose()
    })
  })
})

describe('options of the Trainer', () => {
  it.each<[TrainerOptions, RegExp]>([
    [{ steps: 1, keep: 0 }, /keep/],
    [{ steps: 1, clipNorm: 0 }, /clipNorm/],
    [{ steps: 1, resume: true }, /folder `out`/],
    [{ steps: 1, logEvery: 0.5 }, /logEvery/],
  ])('are refused: %o', (options, message) => {
    expect(() => new Trainer(options)).toThrow(VqConfigError)
    expect(() => new Trainer(options)).toThrow(message)
  })

  it('want epochs or steps', async () => {
    expect(tf.getBackend()).toBe('cpu')
    const m = new Scale()
    await expect(new Trainer({}).fit(m, numbers([1]))).rejects.toThrow(/either epochs or steps/)
    await expect(new Trainer({ steps: 1, epochs: 1 }).fit(m, numbers([1]))).rejects.toThrow(/either/)
    m.dispose()
  })
})
