// What goes wrong and what is said of it: numbers that are not finite, damaged checkpoints, disks that are full.
import {
  appendFileSync,
  existsSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { basename, join } from 'node:path'
import { Random, tf, VqFormatError, VqValueError } from '@vq/core'
import { BatchNorm, Dropout, Layer, Linear, Module, Sequential } from '@vq/core/nn'
import { SGD } from '@vq/core/optim'
import { ArrayDataset, DataLoader } from '@vq/models/data'
import { loadBest, NonFiniteError, Trainer, type TrainerOptions } from '@vq/models/train'
import { VectorQuantizer } from '@vq/quantizers'
import { describe, expect, it } from 'vitest'
import { eachInFolder, numbers, quiet, rows, Scale, weights } from './trainer-fixture.js'

const folder = eachInFolder()

/** The square root of x − 1/2: NaN where dropout or data make x smaller. */
class Root extends Layer {
  forward(x: tf.Tensor): tf.Tensor {
    return tf.sqrt(tf.sub(x, 0.5))
  }
}

class Stack extends Module {
  readonly inner: Sequential
  readonly before: (x: tf.Tensor) => tf.Tensor
  constructor(layers: Layer[], before: (x: tf.Tensor) => tf.Tensor = x => x) {
    super()
    this.inner = this.addModule('inner', new Sequential(...layers))
    this.before = before
  }
  forward(x: tf.Tensor): { loss: tf.Scalar } {
    return tf.tidy(() => ({ loss: tf.mean(tf.square(this.inner.forward(this.before(x)))) as tf.Scalar }))
  }
}
const linear = (seed: number): Linear =>
  new Linear({ inFeatures: 4, outFeatures: 4, random: new Random(seed) })

async function failure(fit: Promise<unknown>): Promise<NonFiniteError> {
  const error = await fit.then(
    () => undefined,
    e => e as NonFiniteError,
  )
  expect(error).toBeInstanceOf(NonFiniteError)
  expect(error).toBeInstanceOf(VqValueError)
  return error!
}

describe('a loss that is not finite', () => {
  it('ends with the name of the first module whose output was not, and the samples', async () => {
    const m = new Stack([linear(1), new Root(), linear(2)])
    const before = weights(m)
    const error = await failure(new Trainer({ ...quiet, steps: 3 }).fit(m, rows(8, { batchSize: 8 })))
    const { report } = error
    expect(report).toMatchObject({ step: 1, epoch: 0, learningRate: 1e-3, what: 'loss' })
    expect(report.module).toEqual({ name: 'inner.1', type: 'Root', inputFinite: true, threw: false })
    expect([...report.indices].sort()).toEqual([0, 1, 2, 3, 4, 5, 6, 7])
    expect(error.message).toContain(
      "step 1: expected a finite loss, received NaN; the first output that was not finite came from the module 'inner.1' (Root)",
    )
    expect(weights(m)).toEqual(before)
    expect(Object.hasOwn(m.inner, 'forward')).toBe(false)
    m.dispose()
  })

  it('is found with the random numbers that it came from', async () => {
    // Only what dropout lets through is doubled and large enough to overflow.
    const grow = (x: tf.Tensor): tf.Tensor => tf.add(tf.mul(x, 0), 1)
    class Overflow extends Layer {
      forward(x: tf.Tensor): tf.Tensor {
        return tf.where(tf.greater(tf.sum(x), 14.5), tf.fill(x.shape, Number.POSITIVE_INFINITY), x)
      }
    }
    const m = new Stack([new Dropout({ rate: 0.5 }), new Overflow(), linear(1)], grow)
    // 8 values that are 0 or 2: their sum passes 14.5 only where all are 2, at once in 256 steps.
    for (const seed of [1, 2, 3]) {
      const { report } = await failure(
        new Trainer({ ...quiet, steps: 20_000, seed, logEvery: 1000 }).fit(m, rows(2, { batchSize: 2 })),
      )
      expect(report.module).toEqual({ name: 'inner.1', type: 'Overflow', inputFinite: true, threw: false })
    }
    m.dispose()
  })

  it('is laid at the sample’s door where that is broken', async () => {
    const values = new Float32Array(24).fill(1)
    values[4 * 3 + 1] = Number.NaN
    const data = new DataLoader(new ArrayDataset(values, [4]), { batchSize: 2, shuffle: false })
    const m = new Stack([linear(1)])
    const error = await failure(new Trainer({ ...quiet, steps: 3, accumulate: 2 }).fit(m, data))
    expect(error.report).toMatchObject({
      step: 1,
      sample: { field: 'values', sample: 3 },
      indices: [0, 1, 2, 3],
    })
    expect(error.remedy).toBe('Repair or leave out sample 3.')
    m.dispose()
  })

  it('is laid at a quantizer’s that refuses rows, or at what comes before it', async () => {
    class Quantized extends Stack {
      readonly quantizer = this.addModule(
        'quantizer',
        new VectorQuantizer({ numEmbeddings: 4, embeddingDim: 4 }),
      )
      readonly after: (z: tf.Tensor) => tf.Tensor
      constructor(layers: Layer[], after: (z: tf.Tensor) => tf.Tensor) {
        super(layers)
        this.after = after
      }
      override forward(x: tf.Tensor): { loss: tf.Scalar } {
        return tf.tidy(() => ({
          loss: this.quantizer.forward(this.after(this.inner.forward(x))).loss as tf.Scalar,
        }))
      }
    }
    const between = new Quantized([linear(1)], z => tf.log(tf.sub(tf.mul(z, 0), 1)))
    const first = await failure(new Trainer({ ...quiet, steps: 1 }).fit(between, rows(4, { batchSize: 4 })))
    expect(first.report).toMatchObject({
      what: 'forward',
      module: { name: 'quantizer', inputFinite: false, threw: true },
    })
    expect(first.message).toContain(
      "the first to refuse its input was the module 'quantizer' (VectorQuantizer), whose input was not finite: it begins just before it",
    )
    expect(first.cause).toBeInstanceOf(VqValueError)
    const within = new Quantized([linear(1), new Root()], z => z)
    const second = await failure(new Trainer({ ...quiet, steps: 1 }).fit(within, rows(4, { batchSize: 4 })))
    expect(second.report.module).toEqual({ name: 'inner.1', type: 'Root', inputFinite: true, threw: false })
    expect(weights(within.quantizer).every(Number.isFinite)).toBe(true)
    for (const m of [between, within]) m.dispose()
  })

  it('names broken gradients also without clipping, and moves nothing', async () => {
    // d√u/du at u = 0, times 0 behind it: the loss is 0, its gradient is not.
    const m = new Stack([linear(1)])
    const root = { ...m, forward: undefined }
    expect(root.forward).toBe(undefined)
    m.forward = function (x) {
      return tf.tidy(() => ({ loss: tf.mean(tf.sqrt(tf.mul(this.inner.forward(x), 0))) as tf.Scalar }))
    }
    const before = weights(m)
    const { report, message } = await failure(
      new Trainer({ ...quiet, steps: 1, clipNorm: null }).fit(m, rows(4, { batchSize: 4 })),
    )
    expect(report).toMatchObject({ what: 'gradients', gradients: ['inner.0.weight', 'inner.0.bias'] })
    expect(message).toContain("nearest to the loss that of 'inner.0.bias'")
    expect(weights(m)).toEqual(before)
    m.dispose()
  })

  it('leaves sound checkpoints and statistics, and writes none of weights that an update broke', async () => {
    const out = folder.path
    const m = new Scale()
    const steps: TrainerOptions = {
      ...quiet,
      out,
      steps: 9,
      checkpointEvery: 1,
      clipNorm: null,
      optimizer: (x, learningRate) => new SGD(x, { learningRate }),
    }
    // The rate of step 4 is beyond float32.
    const error = await failure(
      new Trainer({ ...steps, schedule: step => (step === 4 ? 1e39 : 0.1) }).fit(m, numbers([1, 2])),
    )
    expect(error.report).toMatchObject({ step: 4, what: 'checkpoint', parameter: 'weight' })
    expect(readdirSync(join(out, 'checkpoints'))).toEqual(['step-00000002', 'step-00000003'])
    // Without checkpoints in between it shows at the next step, or at the end.
    for (const [last, found] of [
      [9, 5],
      [4, 4],
    ] as const) {
      // biome-ignore format: one line
      const again = new Scale()
      const { out: _, ...rest } = steps
      const { report } = await failure(
        new Trainer({ ...rest, steps: last, schedule: step => (step === 4 ? 1e39 : 0.1) }).fit(
          again,
          numbers([1, 2]),
        ),
      )
      expect(report).toMatchObject({ step: found, parameter: 'weight' })
      again.dispose()
    }
    const { steps: done } = await new Trainer({ ...steps, resume: true }).fit(m, numbers([1, 2]))
    expect([done, Number.isFinite(m.value)]).toEqual([9, true])
    m.dispose()
  })

  it('sets running statistics that it broke back to the checkpoint', async () => {
    const out = folder.path
    let broken = false
    const m = new Stack([new BatchNorm({ numFeatures: 4 }), linear(1)], x =>
      broken ? tf.mul(x, Number.NaN) : x,
    )
    const onStep: TrainerOptions['onStep'] = ({ step }) => {
      broken = step === 3
    }
    const fit = new Trainer({ ...quiet, steps: 5, out, checkpointEvery: 2, onStep }).fit(
      m,
      rows(8, { batchSize: 8 }),
    )
    expect((await failure(fit)).report).toMatchObject({
      step: 4,
      module: { name: 'inner.0', inputFinite: false },
    })
    expect(weights(m).every(Number.isFinite)).toBe(true)
    m.dispose()
  })

  it('is not what every VqValueError is about', async () => {
    const m = new Stack([linear(1)], () => {
      throw new VqValueError({ operation: 'mine', expected: 'a', received: 'b', remedy: 'c' })
    })
    await expect(new Trainer({ ...quiet, steps: 1 }).fit(m, rows(4, { batchSize: 4 }))).rejects.toThrow(
      'mine: expected a',
    )
    m.dispose()
  })
})

describe('a folder', () => {
  const options = (out: string): TrainerOptions => ({ ...quiet, steps: 12, out, checkpointEvery: 3, keep: 3 })
  async function stopAt(step: number): Promise<void> {
    const stop = new AbortController()
    const m = new Scale()
    const onStep: TrainerOptions['onStep'] = event => {
      if (event.step === step) stop.abort()
    }
    const fit = new Trainer({ ...options(folder.path), onStep, signal: stop.signal }).fit(
      m,
      numbers([1, 2, 3, 4], 2),
    )
    await expect(fit).rejects.toMatchObject({ name: 'AbortError', exitCode: 1, step })
    m.dispose()
  }
  const at = (step: number, file: string): string =>
    join(folder.path, 'checkpoints', `step-0000000${step}`, file)

  it.each<[string, () => void]>([
    ['cut-off weights', () => truncateSync(at(9, 'model.safetensors'), 30)],
    [
      'one changed byte',
      () =>
        writeFileSync(
          at(9, 'optimizer.safetensors'),
          readFileSync(at(9, 'optimizer.safetensors')).map((b, i, all) => (i === all.length - 1 ? b ^ 1 : b)),
        ),
    ],
    ['a missing file', () => rmSync(at(9, 'model.safetensors'))],
    ['an empty state', () => writeFileSync(at(9, 'state.json'), '')],
  ])('with %s is resumed from the checkpoint before, which is said', async (_, damage) => {
    await stopAt(9)
    damage()
    const [whole, resumed] = [new Scale(), new Scale()]
    const { out: __, ...rest } = options('')
    await new Trainer(rest).fit(whole, numbers([1, 2, 3, 4], 2))
    const said: string[] = []
    const trainer = new Trainer({
      ...options(folder.path),
      resume: true,
      onWarning: message => said.push(message),
    })
    expect(await trainer.fit(resumed, numbers([1, 2, 3, 4], 2))).toMatchObject({ resumedFrom: 6, steps: 12 })
    expect(resumed.value).toBe(whole.value)
    expect(said.length).toBe(1)
    expect(said[0]).toMatch(/step-00000009 is damaged .* moved to damaged-step-00000009/)
    expect(readdirSync(join(folder.path, 'checkpoints'))).toEqual([
      'damaged-step-00000009',
      'step-00000006',
      'step-00000009',
      'step-00000012',
    ])
    for (const m of [whole, resumed]) m.dispose()
  })

  it('whose checkpoints are all damaged is refused, and so is one of another model', async () => {
    await stopAt(7)
    const m = new Scale()
    const resume = { ...options(folder.path), resume: true, onWarning: () => {} }
    const other = new Stack([linear(1)])
    await expect(new Trainer(resume).fit(other, numbers([1, 2, 3, 4], 2))).rejects.toThrow(VqFormatError)
    expect(readdirSync(join(folder.path, 'checkpoints'))).toEqual([
      'step-00000003',
      'step-00000006',
      'step-00000007',
    ])
    for (const step of [3, 6, 7]) writeFileSync(at(step, 'state.json'), '{')
    await expect(new Trainer(resume).fit(m, numbers([1, 2, 3, 4], 2))).rejects.toThrow(
      /an older checkpoint, or start over/,
    )
    for (const one of [m, other]) one.dispose()
  })

  it('is cleared of what a killed writer had begun, and gets back what it had moved aside', async () => {
    const m = new Scale()
    const validation = numbers([1])
    await new Trainer({ ...options(folder.path), steps: 3 }).fit(m, numbers([1, 2, 3, 4], 2), { validation })
    const digits = '0123456789abcdef'
    const begun = [
      '.best',
      '.metrics.jsonl',
      'checkpoints/.step-00000006',
      'events/train/.events.out.tfevents.1.vq',
    ]
    for (const name of begun) writeFileSync(join(folder.path, `${name}.${digits}.tmp`), 'half')
    writeFileSync(join(folder.path, `.other.${digits}.tmp`), 'not ours')
    renameSync(join(folder.path, 'best'), join(folder.path, '.best.old'))
    renameSync(
      join(folder.path, 'checkpoints', 'step-00000003'),
      join(folder.path, 'checkpoints', '.step-00000003.old'),
    )
    const resume = { ...options(folder.path), steps: 3, resume: true }
    const { resumedFrom } = await new Trainer(resume).fit(m, numbers([1, 2, 3, 4], 2), { validation })
    expect(resumedFrom).toBe(3)
    expect(await loadBest(folder.path, m)).toBe(3)
    const all = readdirSync(folder.path, { recursive: true }).map(String)
    expect(all.filter(path => basename(path).startsWith('.'))).toEqual([`.other.${digits}.tmp`])
    m.dispose()
  })

  it('that cannot be written to is refused before training', async () => {
    appendFileSync(join(folder.path, 'file'), '')
    const m = new Scale()
    const fit = new Trainer(options(join(folder.path, 'file', 'run'))).fit(m, numbers([1, 2]))
    await expect(fit).rejects.toThrow(VqFormatError)
    expect(m.value).toBe(0)
    m.dispose()
  })

  it.skipIf(!existsSync('/dev/full'))(
    'on a full disk ends training, and keeps its checkpoints (skipped without /dev/full)',
    async () => {
      const m = new Scale()
      const onStep: TrainerOptions['onStep'] = ({ step }) => {
        if (step !== 7) return
        rmSync(join(folder.path, 'metrics.jsonl'))
        symlinkSync('/dev/full', join(folder.path, 'metrics.jsonl'))
      }
      const fit = new Trainer({ ...options(folder.path), onStep }).fit(m, numbers([1, 2]))
      await expect(fit).rejects.toThrow(/writing .*metrics.jsonl: .* received ENOSPC. Free space/)
      expect(readdirSync(join(folder.path, 'checkpoints'))).toEqual(['step-00000003', 'step-00000006'])
      m.dispose()
    },
  )
})
