// Fitting RQ-K-means: to a million rows that come in blocks, and to a sample beside FAISS's residual quantizer.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { device, Random, randomNormal, tf } from '../../packages/core/dist/index.js'
import { RQKMeans } from '../../packages/quantizers/dist/index.js'
import { median, table } from './harness.mjs'
import { startPeer } from './peer.mjs'

export const title = 'RQ-K-means'

const [count, dim, blockRows, sampleRows] = [1_000_000, 64, 50_000, 65_536]
const settings = { nClusters: 256, nStages: 4, dim }
// The rows are drawn again for every run: normal, of 16 deviations from 0.25 to 4 in a rotated base.
function* blocks() {
  const generator = new Random(5)
  const mix = tf.tidy(() => {
    const scales = tf.pow(2, tf.linspace(-2, 2, 16))
    return tf.mul(randomNormal([16, dim], 0, 0.125, { generator }), tf.reshape(scales, [16, 1]))
  })
  for (let at = 0; at < count; at += blockRows) {
    const rows = tf.tidy(() => {
      const own = randomNormal([blockRows, dim], 0, 0.25, { generator })
      return tf.add(tf.matMul(randomNormal([blockRows, 16], 0, 1, { generator }), mix), own)
    })
    const values = rows.dataSync()
    rows.dispose()
    yield values
  }
  mix.dispose()
}

const seconds = async run => {
  const begun = performance.now()
  await run()
  return (performance.now() - begun) / 1000
}

export async function run({ only, say, wanted }) {
  if (only !== undefined && only !== 'rq-kmeans') return { text: '', versions: {} }
  const folder = mkdtempSync(join(tmpdir(), 'vq-bench-'))
  const peer = await startPeer('quantize.py')
  const threads = availableParallelism() > 1 ? 2 : 1
  device.threads = threads
  const rows = []
  const notes = []
  const add = (...row) => {
    rows.push(row)
    say(row.join('  '))
  }
  const s = value => `${value.toPrecision(3)} s`
  try {
    const drawing = await seconds(() => {
      for (const _ of blocks());
    })
    let most = 0
    const before = process.memoryUsage().rss
    const watch = () => {
      most = Math.max(most, process.memoryUsage().rss)
    }
    const whole = new RQKMeans({ ...settings, maxIter: 25, tol: 0, memoryLimit: 2 ** 28 })
    const fit = await seconds(() => whole.fit(blocks(), { onProgress: watch }))
    add(`fit ${count} × ${dim}, 4 × 256, 25 iterations, every row`, s(fit), '', '', '')
    notes.push(
      `Of the ${s(fit)}, ${s(drawing)} are the drawing of the rows; the process grew by ${((most - before) / 2 ** 20).toFixed(0)} MB, of which rows ${(count * dim * 4) / 2 ** 20 < 256 ? 'all' : 'up to 256 MB'}.`,
    )

    const all = new Float32Array(count * dim)
    let at = 0
    for (const values of blocks()) {
      all.set(values, at)
      at += values.length
    }
    const sample = all.slice(0, sampleRows * dim)
    const ours = new RQKMeans({ ...settings, maxIter: 6 })
    const files = { x: join(folder, 'sample.bin'), all: join(folder, 'all.bin') }
    let ready
    if (peer !== undefined) {
      writeFileSync(files.x, sample)
      writeFileSync(files.all, all)
      const ask = { do: 'prepare', work: 'residual_fit', peer: 'FAISS', threads, warm: false }
      ready = await peer.ask({ ...ask, files, dim, levels: 4, bits: 8 })
    }
    const times = [[], []]
    for (let round = 0; round < Math.min(wanted, 3); round++) {
      times[0].push(await seconds(() => ours.fit(sample)))
      if (ready?.ready === true)
        times[1].push(
          (await peer.ask({ do: 'time', warm: false, calls: 1, seconds: 0, enough: 1e-9 })).seconds,
        )
    }
    const mine = median(times[0])
    const name = `fit a sample of ${sampleRows} rows, 6 iterations`
    if (ready?.ready !== true) {
      notes.push(`${name}: no figure of FAISS (${ready?.error ?? ready?.missing ?? 'it was not found'})`)
      add(name, s(mine), '', '', '')
    } else {
      const theirs = median(times[1])
      add(name, s(mine), 'FAISS, beam 1', s(theirs), (mine / theirs).toFixed(2))
      const error = ours.calculateReconstructionError(all)
      const { error_of_rows: other } = await peer.ask({ do: 'error', files: { x: files.all }, dim })
      notes.push(
        `Mean squared error per element of all ${count} rows, fitted to the sample: ours ${error.toPrecision(6)}, FAISS ${other.toPrecision(6)}.`,
      )
    }
  } finally {
    peer?.stop()
    rmSync(folder, { recursive: true, force: true })
    device.threads = availableParallelism()
  }
  const head = ['work', 'VQ', 'peer', "peer's time", "of peer's time"]
  return {
    text: [table(head, rows), '', ...notes.map(n => `- ${n}`)].join('\n'),
    versions: peer?.versions ?? {},
  }
}
