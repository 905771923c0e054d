// Evaluation, the best weights, early stopping, the history and the callbacks.
import { existsSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { tf, VqConfigError, VqFormatError } from '@vq/core'
import { loadSafetensors } from '@vq/core/io'
import { SGD } from '@vq/core/optim'
import { ArrayDataset, DataLoader } from '@vq/models/data'
import { trainingCurves } from '@vq/models/plot'
import { evaluateModel, loadBest, Trainer, type TrainerOptions } from '@vq/models/train'
import { expect, it } from 'vitest'
import { eachInFolder, loader, metricsIn, numbers, quiet, Scale, smallVqvae } from './trainer-fixture.js'

const folder = eachInFolder()
// Each step adds 1 to the weight: the gradient of mean((x − w)²) is cut to 1.
const climbing = {
  ...quiet,
  learningRate: 1,
  clipNorm: 1,
  optimizer: (m, learningRate) => new SGD(m, { learningRate }),
} satisfies TrainerOptions
const climb = (): [Scale, ReturnType<typeof numbers>] => [new Scale(), numbers([1000])]

it('keeps the best weights, and ends where evaluations bring nothing more', async () => {
  const [m, data] = climb()
  const out = folder.path
  // The weight passes 4 at step 4; validation loss is (4 − w)².
  const trainer = new Trainer({
    ...climbing,
    steps: 50,
    out,
    validateEvery: 1,
    earlyStopping: { patience: 3 },
  })
  const history = await trainer.fit(m, data, { validation: numbers([4]) })
  expect(history).toMatchObject({ steps: 7, stoppedEarly: true, resumedFrom: 0 })
  expect(history.best!.step).toBe(4)
  expect(history.best!.value).toBeCloseTo(0, 8)
  expect(m.value).toBeCloseTo(7, 4)
  expect(await loadBest(out, m)).toBe(4)
  expect(m.value).toBeCloseTo(4, 4)
  // Of use alone.
  const { tensors } = await loadSafetensors(join(out, 'best', 'model.safetensors'))
  expect(Array.from(tensors.weight!.data as Float32Array)).toEqual([m.value])
  expect(readdirSync(join(out, 'checkpoints')).at(-1)).toBe('step-00000007')

  // Resumed, it stays where it ended.
  const again = await new Trainer({ ...trainer.options, resume: true }).fit(m, data, {
    validation: numbers([4]),
  })
  expect(again).toMatchObject({ steps: 7, stoppedEarly: true, resumedFrom: 7, best: history.best })
  expect(again.metrics).toEqual(history.metrics)
  m.dispose()
})

it.each<[string, TrainerOptions['earlyStopping'], number]>([
  // Losses of steps 1, 2, …: 9, 4, 1, 0, 1, 4, 9.
  ['what is below minDelta is no improvement', { patience: 2, minDelta: 4 }, 4],
  ['more of a metric can be better', { patience: 1, mode: 'max' }, 2],
  ['patience counts evaluations in a row', { patience: 1 }, 5],
])('early stopping: %s', async (_, earlyStopping, steps) => {
  const [m, data] = climb()
  const options = { ...climbing, steps: 50, validateEvery: 1, earlyStopping: earlyStopping! }
  expect((await new Trainer(options).fit(m, data, { validation: numbers([4]) })).steps).toBe(steps)
  m.dispose()
})

it('can end with the best weights, the averaged ones where there are such', async () => {
  const [m, data] = climb()
  const out = folder.path
  const options = {
    ...climbing,
    steps: 9,
    out,
    validateEvery: 3,
    finalWeights: 'best',
    averageDecay: 0.5,
  } as const
  const { best } = await new Trainer(options).fit(m, data, { validation: numbers([4]) })
  let average = 0
  const averages = Array.from({ length: 9 }, (_, t) => {
    const d = Math.min(0.5, (1 + t) / (10 + t))
    average = d * average + (1 - d) * (t + 1)
    return average
  })
  const nearest = [3, 6, 9].reduce((a, b) =>
    Math.abs(averages[b - 1]! - 4) < Math.abs(averages[a - 1]! - 4) ? b : a,
  )
  expect(best!.step).toBe(nearest)
  expect(m.value).toBeCloseTo(averages[nearest - 1]!, 4)
  await loadBest(out, m, { average: false })
  expect(m.value).toBeCloseTo(nearest, 4)
  writeFileSync(join(out, 'best', 'average.safetensors'), 'cut')
  await expect(loadBest(out, m)).rejects.toThrow(VqFormatError)
  rmSync(join(out, 'best'), { recursive: true })
  await expect(loadBest(out, m)).rejects.toThrow(VqFormatError)
  m.dispose()
})

it('returns a history by step and epoch, the same as its files, that the curves draw', async () => {
  const m = smallVqvae(3)
  const out = folder.path
  const events: string[] = []
  const options: TrainerOptions = {
    ...quiet,
    epochs: 3,
    out,
    onStep: ({ step, scalars }) => void events.push(`step ${step} ${Object.keys(scalars).length > 3}`),
    onEpoch: async ({ epoch, step, model }) => {
      await Promise.resolve()
      events.push(`epoch ${epoch} ${step}`)
      model.eval() // is put back
    },
    onValidation: ({ step, best }) => void events.push(`validation ${step} ${best}`),
  }
  const { metrics, epochs, dataWait, seconds } = await new Trainer(options).fit(m, loader(), {
    validation: loader(),
  })
  expect(metrics).toEqual(metricsIn(out))
  expect(m.training).toBe(true)
  expect(events.slice(4, 7)).toEqual(['step 5 true', 'validation 5 true', 'epoch 0 5'])
  expect(epochs.map(e => [e.epoch, e.step])).toEqual([[0, 5], [1, 10], [2, 15]]) // biome-ignore format: one line
  for (const { epoch, train, validation } of epochs) {
    const own = metrics.filter(x => x.split === 'train' && x.epoch === epoch)
    expect(train.loss).toBeCloseTo(own.reduce((sum, x) => sum + x.loss, 0) / 5, 6)
    const line = metrics.find(x => x.split === 'validation' && x.epoch === epoch)!
    expect(validation!.loss).toBe(line.loss)
  }
  expect(dataWait).toBeGreaterThanOrEqual(0)
  expect(dataWait).toBeLessThanOrEqual(1)
  expect(seconds).toBeGreaterThan(0)
  expect((await trainingCurves(metrics)).svg).toContain('held out')
  m.dispose()
})

it('evaluates without a trace in training, whatever the validation data’s order', async () => {
  const [one, other] = [smallVqvae(3), smallVqvae(3)]
  const options = { ...quiet, steps: 9, seed: 4 }
  await new Trainer(options).fit(one, loader())
  const { metrics } = await new Trainer({ ...options, validateEvery: 1 }).fit(other, loader(), {
    validation: loader(3),
  })
  expect(other.stateDict()).toEqual(one.stateDict())
  expect(metrics.filter(x => x.split === 'validation').length).toBe(9)
  for (const m of [one, other]) m.dispose()
})

it('writes TensorBoard’s files only where they are wanted', async () => {
  const m = new Scale()
  const out = folder.path
  await new Trainer({ ...quiet, steps: 2, out, tensorboard: false }).fit(m, numbers([1]))
  expect(existsSync(join(out, 'events'))).toBe(false)
  m.dispose()
})

it.each<[TrainerOptions, RegExp]>([
  [{ steps: 1, earlyStopping: { patience: 1 } }, /earlyStopping/],
  [{ steps: 1, validateEvery: 2 }, /validateEvery/],
  [{ steps: 1, monitor: { metric: 'psnr' } }, /monitor/],
  [{ steps: 1, finalWeights: 'best', out: 'nowhere' }, /finalWeights/],
])('wants validation data for %o', async (options, message) => {
  const m = new Scale()
  const fit = new Trainer({ ...quiet, ...options }).fit(m, numbers([1]))
  await expect(fit).rejects.toThrow(VqConfigError)
  await expect(new Trainer({ ...quiet, ...options }).fit(m, numbers([1]))).rejects.toThrow(message)
  m.dispose()
})

it('evaluates whole epochs, wherever the loader was left', async () => {
  const m = new Scale()
  const data = numbers([1, 2, 3], 1)
  // The weight is 0: the loss is the mean of the squares.
  expect((await evaluateModel(m, data)).loss).toBeCloseTo(14 / 3, 5)
  await data.next()
  expect(data.state.position).toBe(1)
  expect((await evaluateModel(m, data)).loss).toBeCloseTo(14 / 3, 5)
  m.dispose()
})

it('evaluates all samples, whatever the loader would leave out', async () => {
  const m = new Scale()
  const rows = new ArrayDataset(Float32Array.of(1, 2, 3), [1])
  const data = new DataLoader(rows, { batchSize: 2 })
  expect(data.stepsPerEpoch).toBe(1)
  expect((await evaluateModel(m, data)).loss).toBeCloseTo(14 / 3, 5)
  expect(data.state.position).toBe(0)
  m.dispose()
})

it('names the metrics that there are where the monitored one is not among them', async () => {
  const m = new Scale()
  const trainer = new Trainer({ ...quiet, steps: 1, monitor: { metric: 'psnr' } })
  await expect(trainer.fit(m, numbers([1]), { validation: numbers([1]) })).rejects.toThrow(/among loss/)
  m.dispose()
})

it.each<[TrainerOptions, RegExp]>([
  [{ steps: 1, accumulate: 0 }, /accumulate/],
  [{ steps: 1, averageDecay: 1 }, /averageDecay/],
  [{ steps: 1, validateEvery: 0.5 }, /validateEvery/],
  [{ steps: 1, earlyStopping: { patience: 0 } }, /patience/],
  [{ steps: 1, earlyStopping: { patience: 1, minDelta: -1 } }, /minDelta/],
  [{ steps: 1, monitor: { mode: 'most' as 'max' } }, /mode/],
  [{ steps: 1, schedule: 'linear' as 'cosine' }, /schedule/],
  [{ steps: 1, learningRate: Number.NaN }, /learningRate/],
  [{ steps: 1, finalWeights: 'average' }, /averageDecay/],
  [{ steps: 1, finalWeights: 'best' }, /`out`/],
  [{ steps: 1, out: 'x', resume: true, overwrite: true }, /resume or overwrite/],
  [{ steps: 1, onStep: 3 as never }, /onStep/],
  [{ steps: 1, resume: 'yes' as never }, /resume/],
  [{ steps: 1, progress: 'bar' as never }, /progress/],
  [{ steps: 1, out: '' }, /`out`/],
  [{ steps: 1, signal: {} as AbortSignal }, /AbortSignal/],
])('refuses %o', (options, message) => {
  expect(tf.getBackend()).toBe('vq-cpu')
  expect(() => new Trainer(options)).toThrow(VqConfigError)
  expect(() => new Trainer(options)).toThrow(message)
})
