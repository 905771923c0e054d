// What a training loop costs beside its steps: the Trainer against bare steps on the same batch, and the share of the time
// that it waits for data when every image is decoded from JPEG each time it is used.
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { device, Random, tf } from '../../packages/core/dist/index.js'
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

/** Seconds per step of the Trainer and of bare steps, and their ratio, block by block in turn; the median of the ratios. */
async function overhead(rounds, steps = 8) {
  const values = new Random(1).fillUniform(new Float32Array(batch * edge * edge * 3))
  const data = new ArrayDataset(values, [edge, edge, 3])
  const loader = new DataLoader(data, { batchSize: batch, shuffle: false })
  const [bare, trained] = [model(), model()]
  const optimizer = new Adam(bare, { learningRate: 1e-3 })
  const step = () => {
    const x = tf.tensor(values, [batch, edge, edge, 3])
    trainStep(optimizer, () => bare.forward(x), { clipNorm: 1 })
    x.dispose()
  }
  // Within one run, so that both sides have warm caches; the first steps do not count.
  const sides = { bare: [], ours: [] }
  let from = performance.now()
  await new Trainer({
    steps: rounds * steps + 2,
    progress: false,
    onStep: ({ step: n }) => {
      if (n > 2 && (n - 2) % steps === 0) {
        sides.ours.push((performance.now() - from) / 1000 / steps)
        const begun = performance.now()
        for (let i = 0; i < steps; i++) step()
        sides.bare.push((performance.now() - begun) / 1000 / steps)
      }
      if (n < 2) step()
      if (n >= 2 && (n - 2) % steps === 0) from = performance.now()
    },
  }).fit(trained, loader)
  optimizer.dispose()
  for (const m of [bare, trained]) m.dispose()
  const ratio = median(sides.ours.map((s, i) => s / sides.bare[i]))
  return { bare: median(sides.bare), ours: median(sides.ours), ratio }
}

/** The share of the time spent waiting, without a cache of decoded images. */
async function waiting(folder, prefetch, steps) {
  const images = await imageFolder(folder, { size: edge, cacheBytes: 0 })
  const m = model()
  const loader = new DataLoader(images, { batchSize: batch, prefetch })
  const { dataWait, seconds } = await new Trainer({ steps, progress: false }).fit(m, loader)
  m.dispose()
  return { dataWait, perStep: seconds / steps }
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
    const { bare, ours, ratio } = await overhead(wanted + 3)
    row(
      `vqvae, batch ${batch}: Trainer beside bare steps`,
      ms(ours),
      `${ms(bare)} bare`,
      `${percent(ratio - 1)} more`,
    )
  }
  if (only === undefined || only === 'data') {
    const folder = await mkdtemp(join(tmpdir(), 'vq-loop-'))
    try {
      await drawImages(folder)
      for (const prefetch of [0, 2, 4]) {
        const { dataWait, perStep } = await waiting(folder, prefetch, 4 * (wanted + 3))
        const what = `vqvae, batch ${batch}, JPEG files of about ${edge}×${edge} decoded at each use, prefetch ${prefetch}`
        row(what, ms(perStep), '', `${percent(dataWait)} waiting for data`)
      }
    } finally {
      await rm(folder, { recursive: true, force: true })
    }
  }
  const notes = [
    `- ${threads} threads. Waiting is what a step spends until its batch is there, turns of the event loop included.`,
  ]
  return {
    text: [table(['work', 'per step', 'beside', 'cost'], rows), '', ...notes].join('\n'),
    versions: {},
  }
}
