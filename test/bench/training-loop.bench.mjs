// What a training loop costs beside its steps: the Trainer against bare steps on the same batch, and the share of the time
// that it waits for data when every image is decoded from JPEG each time it is used.
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { device, Random, tf } from '../../packages/core/dist/index.js'
import { Module } from '../../packages/core/dist/nn/index.js'
import { Adam, trainStep } from '../../packages/core/dist/optim/index.js'
import { ArrayDataset, DataLoader, imageFolder } from '../../packages/models/dist/data/index.js'
import { VQVAE } from '../../packages/models/dist/index.js'
import { Trainer } from '../../packages/models/dist/train/index.js'
import { median, ms, table } from './harness.mjs'

// A dependency of that package, not of the repository.
const sharp = createRequire(new URL('../../packages/models/package.json', import.meta.url))('sharp')

export const title = 'The training loop'

const [batch, edge, count] = [64, 32, 1024]
const model = () => new VQVAE({ random: new Random(0) })

/** JPEG files of smooth random images, so that their size is that of photographs. */
async function drawImages(folder) {
  const random = new Random(1)
  await mkdir(folder, { recursive: true })
  for (let i = 0; i < count; i++) {
    const coarse = new Random(i + 2).fillUniform(new Float32Array(8 * 8 * 3), 0, 255)
    const raw = { width: 8, height: 8, channels: 3 }
    const size = edge + random.integer(9)
    await sharp(Uint8Array.from(coarse), { raw })
      .resize(size, size)
      .jpeg({ quality: 90 })
      .toFile(join(folder, `${i}.jpg`))
  }
}

/** One weight, so that a step is hardly more than what the loop adds. */
class Weight extends Module {
  w = this.addParameter('w', tf.zeros([1]))
  forward(x) {
    const some = tf.slice(x, [0, 0, 0, 0], [1, 1, 1, 1])
    return { loss: tf.mean(tf.square(tf.sub(tf.mul(this.w, some), 1))) }
  }
}

/**
 * Median seconds per step of the Trainer and of bare steps of the same model on the same batch. Each step of the one is
 * followed by one of the other, so that whatever else the machine does meets both.
 */
async function besideBare(make, steps) {
  const values = new Random(1).fillUniform(new Float32Array(batch * edge * edge * 3))
  const data = new ArrayDataset(values, [edge, edge, 3])
  const [bare, trained] = [make(), make()]
  const optimizer = new Adam(bare, { learningRate: 1e-3 })
  const sides = { bare: [], ours: [] }
  let from = performance.now()
  const onStep = () => {
    const begun = performance.now()
    sides.ours.push((begun - from) / 1000)
    const x = tf.tensor(values, [batch, edge, edge, 3])
    trainStep(optimizer, () => bare.forward(x), { clipNorm: 1 })
    x.dispose()
    from = performance.now()
    sides.bare.push((from - begun) / 1000)
  }
  const loader = new DataLoader(data, { batchSize: batch, shuffle: false })
  await new Trainer({ steps: steps + 5, progress: false, onStep }).fit(trained, loader)
  optimizer.dispose()
  for (const m of [bare, trained]) m.dispose()
  return { ours: median(sides.ours.slice(5)), bare: median(sides.bare.slice(5)) }
}

/** The share of the time spent waiting, once the queue is full. */
async function waiting(folder, { prefetch, options }, steps) {
  const images = await imageFolder(folder, { size: edge, ...options })
  const m = model()
  const loader = new DataLoader(images, { batchSize: batch, prefetch })
  // The first half fills the queue.
  let half = 0
  const { metrics } = await new Trainer({
    steps: 2 * steps,
    logEvery: steps,
    progress: false,
    onStep: ({ step }) => {
      if (step === steps) half = performance.now()
    },
  }).fit(m, loader)
  const perStep = (performance.now() - half) / 1000 / steps
  m.dispose()
  return { dataWait: metrics.at(-1).dataWait, perStep }
}

export async function run({ only, say, wanted }) {
  const rows = []
  const row = (...cells) => {
    rows.push(cells)
    say(cells.join('  '))
  }
  const percent = share => `${(100 * share).toFixed(1)}%`
  const threads = availableParallelism()
  device.threads = threads
  if (only === undefined || only === 'trainer') {
    const whole = await besideBare(model, 8 * wanted)
    const loop = await besideBare(() => new Weight(), 400)
    const added = loop.ours - loop.bare
    row(
      `the Trainer's own work, batch ${batch} of ${edge}×${edge}×3`,
      ms(added),
      `vqvae's bare step ${ms(whole.bare)}`,
      `${percent(added / whole.bare)} of the step`,
    )
    row(
      'vqvae in the Trainer',
      ms(whole.ours),
      `bare ${ms(whole.bare)}`,
      percent(whole.ours / whole.bare - 1),
    )
  }
  if (only === undefined || only === 'data') {
    const folder = await mkdtemp(join(tmpdir(), 'vq-loop-'))
    try {
      await drawImages(folder)
      const cases = [
        { text: 'as imageFolder opens them', prefetch: 4, options: {} },
        { text: 'decoded at each use', prefetch: 4, options: { cacheBytes: 0 } },
        { text: 'decoded at each use, prefetch 8', prefetch: 8, options: { cacheBytes: 0 } },
      ]
      for (const c of cases) {
        const { dataWait, perStep } = await waiting(folder, c, 2 * (wanted + 3))
        const what = `vqvae, batch ${batch}, JPEG files of about ${edge}×${edge} ${c.text}`
        row(what, ms(perStep), '', `${percent(dataWait)} waiting for data`)
      }
    } finally {
      await rm(folder, { recursive: true, force: true })
    }
  }
  const notes = [
    `- ${threads} threads. Waiting is what a step spends until its batch is there, turns of the event loop included; the queue is full then.`,
  ]
  return {
    text: [table(['work', 'per step', 'beside', 'cost'], rows), '', ...notes].join('\n'),
    versions: {},
  }
}
