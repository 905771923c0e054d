// What a step is: accumulation, averaged weights, parameter groups, masks and tokens, seeds, callbacks.
import { Random, random, tf, VqConfigError } from '@vq/core'
import { Dropout, Embedding, Module } from '@vq/core/nn'
import { Adam, SGD, trainStep } from '@vq/core/optim'
import { ArrayDataset, DataLoader } from '@vq/models/data'
import { Trainer, type TrainerOptions, WeightAverage } from '@vq/models/train'
import { describe, expect, it } from 'vitest'
import {
  eachInFolder,
  loader,
  numbers,
  quiet,
  rows,
  Scale,
  Small,
  smallVqvae,
  weights,
} from './trainer-fixture.js'

eachInFolder()
const sgd = (m: Module, learningRate: number): SGD => new SGD(m, { learningRate })

describe('a step', () => {
  it('is trainStep’s, bit for bit', async () => {
    const [ours, bare] = [smallVqvae(5), smallVqvae(5)]
    await new Trainer({ ...quiet, steps: 7, seed: 1 }).fit(ours, loader())
    const [data, optimizer] = [loader(), new Adam(bare, { learningRate: 1e-3 })]
    random.seed(1)
    for (let i = 0; i < 7; i++) {
      const { values, shape } = await data.next()
      const x = tf.tensor(values, shape)
      trainStep(optimizer, () => bare.forward(x), { clipNorm: 1 })
      x.dispose()
    }
    expect(weights(ours)).toEqual(weights(bare))
    optimizer.dispose()
    for (const m of [ours, bare]) m.dispose()
  })

  it('belongs to the part of a pass that counts as its epoch, also where parts are no whole steps', async () => {
    const m = new Small()
    const told: string[] = []
    const ended: number[] = []
    const { steps, metrics, epochs } = await new Trainer({
      ...{ epochs: 4, epochsPerPass: 4, logEvery: 1, learningRate: 0.1, optimizer: sgd },
      progress: ({ step, totalSteps, epoch, totalEpochs }) =>
        told.push(`${step}/${totalSteps} ${epoch}/${totalEpochs}`),
      onEpoch: ({ step }) => {
        ended.push(step)
      },
    }).fit(m, rows(12, { batchSize: 2 }))
    // 6 steps make 4 epochs, which end with steps 1.5, 3, 4.5 and 6.
    expect([steps, ended]).toEqual([6, [2, 3, 5, 6]])
    expect(told).toEqual(['1/6 0/4', '2/6 0/4', '3/6 1/4', '4/6 2/4', '5/6 2/4', '6/6 3/4'])
    expect(metrics.map(line => line.epoch)).toEqual([0, 0, 1, 2, 2, 3])
    expect(epochs.map(e => e.epoch)).toEqual([0, 1, 2, 3])
    m.dispose()
  })

  it('of several batches is that of one large batch, also where the last one is smaller', async () => {
    // 10 samples in batches of 4, 4 and 2 make one step per epoch.
    for (const clipNorm of [null, 0.05]) {
      const [parts, whole] = [new Small(), new Small()]
      const options = { ...quiet, epochs: 3, learningRate: 0.1, optimizer: sgd, clipNorm }
      const a = await new Trainer({ ...options, accumulate: 3 }).fit(
        parts,
        rows(10, { batchSize: 4, dropLast: false }),
      )
      const b = await new Trainer(options).fit(whole, rows(10, { batchSize: 10 }))
      expect([a.steps, b.steps]).toEqual([3, 3])
      for (const [i, { loss, size, gradientNorm }] of a.metrics.entries()) {
        expect(loss).toBeCloseTo(b.metrics[i]!.loss, 6)
        expect(size).toBeCloseTo(b.metrics[i]!.size as number, 6)
        expect(gradientNorm).toBeCloseTo(b.metrics[i]!.gradientNorm as number, 5)
      }
      const of = weights(whole)
      for (const [i, w] of weights(parts).entries()) expect(Math.abs(w - of[i]!)).toBeLessThan(2e-6)
      parts.dispose()
      whole.dispose()
    }
  })

  it('ends with its epoch: 5 batches by twos are 3 steps', async () => {
    const m = new Scale()
    const seen: [number, number][] = []
    const onStep: TrainerOptions['onStep'] = ({ step, epoch }) => void seen.push([step, epoch])
    await new Trainer({ ...quiet, epochs: 2, accumulate: 2, onStep }).fit(m, numbers([1, 2, 3, 4, 5], 1))
    expect(seen).toEqual([[1, 0], [2, 0], [3, 0], [4, 1], [5, 1], [6, 1]]) // biome-ignore format: one line
    m.dispose()
  })

  it('uses the rates of parameter groups', async () => {
    const m = new Small()
    const before = weights(m)
    const optimizer: TrainerOptions['optimizer'] = (_, learningRate) =>
      new SGD(
        [
          { parameters: m.net.layers[0]!, learningRate: 0, name: 'a' },
          { parameters: m.net.layers[2]!, name: 'b' },
        ],
        { learningRate },
      )
    await new Trainer({ ...quiet, steps: 3, optimizer }).fit(m, rows(8, { batchSize: 8 }))
    const moved = weights(m).map((w, i) => w !== before[i])
    expect(moved.slice(0, 25)).toEqual(Array(25).fill(false))
    expect(moved.slice(25)).toContain(true)
    m.dispose()
  })

  it('hands tokens and masks to the model as the data has them', async () => {
    class Tokens extends Module {
      readonly table = this.addModule(
        'table',
        new Embedding({ numEmbeddings: 4, embeddingDim: 1, random: new Random(1) }),
      )
      readonly seen: [string, number[], number[]][] = []
      forward(x: tf.Tensor, { mask, label }: Record<string, tf.Tensor> = {}): { loss: tf.Scalar } {
        this.seen.push([x.dtype, Array.from(x.dataSync()), Array.from(label!.dataSync())])
        const y = tf.squeeze(this.table.forward(x as tf.Tensor2D), [2])
        const error = tf.square(tf.sub(y, tf.expandDims(label!, 1)))
        return { loss: tf.div(tf.sum(tf.mul(error, mask!)), tf.sum(mask!)) as tf.Scalar }
      }
    }
    const data = new ArrayDataset(Int32Array.of(0, 3, 1, 3), [2], {
      mask: { values: Float32Array.of(1, 0, 1, 0), shape: [2, 2] },
      label: { values: Float32Array.of(5, -5), shape: [2] },
    })
    const m = new Tokens()
    const last = m.table.weight.dataSync()[3]
    const batches = new DataLoader(data, { batchSize: 2, shuffle: false })
    await new Trainer({ ...quiet, steps: 400, learningRate: 0.1 }).fit(m, batches, {
      validation: new DataLoader(data, { batchSize: 2, shuffle: false }),
    })
    expect(m.seen[0]).toEqual(['int32', [0, 3, 1, 3], [5, -5]])
    const twice = new Trainer({ ...quiet, steps: 1 }).fit(m, batches, { validation: batches })
    await expect(twice).rejects.toThrow(VqConfigError)
    const [zero, one, , masked] = m.table.weight.dataSync()
    expect(zero).toBeCloseTo(5, 2)
    expect(one).toBeCloseTo(-5, 2)
    expect(masked).toBe(last) // masked everywhere, so nothing moved it
    m.dispose()
  })

  it('gives the same bits from the same seed, and others from another', async () => {
    class Dropping extends Small {
      readonly drop = this.addModule('drop', new Dropout({ rate: 0.4 }))
      override forward(x: tf.Tensor): ReturnType<Small['forward']> {
        return super.forward(this.drop.forward(x))
      }
    }
    const train = async (seed: number): Promise<number[]> => {
      const m = new Dropping()
      await new Trainer({ ...quiet, steps: 8, seed }).fit(m, rows(12, { batchSize: 4 }))
      const all = weights(m)
      m.dispose()
      return all
    }
    const a = await train(1)
    random.uniform()
    expect(await train(1)).toEqual(a)
    expect(await train(2)).not.toEqual(a)
  })
})

describe('averaged weights', () => {
  it('follow a ← d·a + (1 − d)·p with d rising to the decay', async () => {
    const m = new Scale()
    const values: number[] = []
    const onStep = (): void => void values.push(m.value)
    const options = { ...quiet, steps: 6, learningRate: 0.5, averageDecay: 0.3, onStep }
    await new Trainer({ ...options, finalWeights: 'average' }).fit(m, numbers([4]))
    let average = 0
    for (const [t, p] of values.entries()) {
      const d = Math.min(0.3, (1 + t) / (10 + t))
      average = d * average + (1 - d) * p
    }
    expect(m.value).toBeCloseTo(average, 5)
    expect(m.value).not.toBeCloseTo(values[5]!, 2)
    m.dispose()
  })

  it('are what evaluation measures, while training goes on with its own', async () => {
    const [plain, averaged] = [new Scale(), new Scale()]
    const data = numbers([4])
    const at: number[] = []
    const options = { ...quiet, steps: 5, learningRate: 0.5 }
    await new Trainer(options).fit(plain, numbers([4]))
    const { metrics } = await new Trainer({
      ...options,
      averageDecay: 0.9,
      validateEvery: 2,
      onStep: () => void at.push(averaged.value),
    }).fit(averaged, data, { validation: numbers([4]) })
    expect(averaged.value).toBe(plain.value)
    const average = new WeightAverage(averaged, 0.9)
    const set = (value: number): void => tf.tidy(() => averaged.weight.assign(tf.tensor1d([value])))
    set(0)
    average.reset()
    const losses: number[] = []
    for (const p of at) {
      set(p)
      average.update()
      await average.during(() => losses.push((4 - averaged.value) ** 2))
      expect(averaged.value).toBe(p)
    }
    const measured = metrics.filter(x => x.split === 'validation')
    expect(measured.map(x => x.step)).toEqual([2, 4, 5])
    for (const { step, loss } of measured) expect(loss).toBeCloseTo(losses[step - 1]!, 4)
    average.dispose()
    for (const m of [plain, averaged]) m.dispose()
  })
})
