// The training step of a VQ-VAE beside PyTorch's, from the same initial weights on the same batch.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { device, Random, tf } from '../../packages/core/dist/index.js'
import { saveSafetensors } from '../../packages/core/dist/io/index.js'
import { Adam, trainStep } from '../../packages/core/dist/optim/index.js'
import { IGPT } from '../../packages/igpt/dist/index.js'
import { RQVAE, VQVAE } from '../../packages/models/dist/index.js'
import { block, fmaLimit, measure, ms, table } from './harness.mjs'
import { startPeer } from './peer.mjs'

const vocabulary = 148
const tokens = 58

export const title = 'Training steps'

// flops: multiply-adds of the convolutions, twice, forward and backward (which has no input gradient in the first layer).
const cases = [
  {
    name: 'igpt-vqvae',
    text: 'igpt-vqvae (256 wide, K 128, 32×32×3), batch 128',
    batch: 128,
    make: random => VQVAE.igpt({ random }),
    data: images,
    flops: 3 * 2 * 128 * (2 * 256 * 48 * 256 + 2 * 64 * 4096 * 256 + 4 * 64 * (2304 + 256) * 256),
  },
  {
    name: 'vqvae',
    text: 'vqvae (128-256 wide, K 512, EMA, 32×32×3), batch 64',
    batch: 64,
    make: random => new VQVAE({ random }),
    data: images,
    flops:
      3 *
      2 *
      64 *
      (2 * 256 * 48 * 128 + 2 * 64 * 2048 * 256 + 4 * 64 * (2304 * 32 + 32 * 256) + 2 * 64 * 256 * 64),
  },
  {
    name: 'rqvae',
    text: 'rqvae (as vqvae, 4 levels), batch 64',
    batch: 64,
    // The peer passes the gradient straight through every level.
    make: random => new RQVAE({ random, estimatorScope: 'level' }),
    data: images,
    flops:
      3 *
      2 *
      64 *
      (2 * 256 * 48 * 128 + 2 * 64 * 2048 * 256 + 4 * 64 * (2304 * 32 + 32 * 256) + 2 * 64 * 256 * 64),
  },
  {
    name: 'igpt',
    text: 'iGPT (4 layers, 128 wide, 58 tokens), batch 128',
    batch: 128,
    make: (random, dropout = 0.1) =>
      new IGPT({ vocabSize: vocabulary, contextLength: tokens, dropout, random }),
    data: batch =>
      tf.tensor2d(
        Int32Array.from({ length: batch * (tokens + 1) }, (_, i) => (i * i * 31 + 7 * i) % vocabulary),
        [batch, tokens + 1],
      ),
    // The linear layers' products and those of attention, half of which lie above the diagonal.
    flops: 3 * 2 * 128 * tokens * (4 * (12 * 128 * 128 + tokens * 128) + 128 * vocabulary),
  },
]
const rate = 1e-3

function images(batch) {
  const values = new Random(1).fillUniform(new Float32Array(batch * 32 * 32 * 3), -1, 1)
  return tf.tensor4d(values, [batch, 32, 32, 3])
}

export async function run({ only, say, wanted }) {
  const folder = mkdtempSync(join(tmpdir(), 'vq-bench-'))
  const peer = await startPeer('training.py')
  const rows = []
  const notes = []
  try {
    for (const c of cases.filter(c => only === undefined || c.name === only)) {
      const x = c.data(c.batch)
      const weights = join(folder, `${c.name}.safetensors`)
      const data = join(folder, `${c.name}.f32`)
      const first = c.make(new Random(0))
      await saveSafetensors(weights, first.stateDict())
      writeFileSync(data, x.dataSync())
      first.dispose()
      // Losses are compared without dropout: the two sides drop different elements.
      const stepper = dropout => {
        const model = c.make(new Random(0), dropout) // the same seed gives the weights that were saved
        const optimizer = new Adam(model, { learningRate: rate })
        return {
          step: () => trainStep(optimizer, () => model.forward(x), { clipNorm: 1 }).loss,
          dispose: () => {
            optimizer.dispose()
            model.dispose()
          },
        }
      }
      for (const threads of availableParallelism() > 1 ? [2, 1] : [1]) {
        device.threads = threads
        const ready = await peer?.ask({
          do: 'prepare',
          name: c.name,
          batch: c.batch,
          threads,
          weights,
          data,
          shape: x.shape,
          rate,
        })
        if (peer !== undefined && ready?.ready !== true)
          notes.push(`${c.name}: no figure of PyTorch (${ready?.error ?? 'it ended'})`)
        const asks = ready?.ready ? [async () => (await peer.ask({ do: 'time', ...block })).seconds] : []
        const ours = stepper()
        const m = await measure(ours.step, asks, { threads, wanted, patience: 60_000 })
        ours.dispose()
        const gflops = c.flops / m.ours / 1e9
        const row = [
          c.text,
          threads,
          ms(m.ours) + (m.steady ? '' : ' (noisy)'),
          gflops.toFixed(0),
          `${((100 * gflops) / fmaLimit(threads)).toFixed(0)}%`,
          m.peers.length ? 'PyTorch' : '',
          m.peers.length ? ms(m.peers[0]) : '',
          m.peers.length ? (m.ours / m.peers[0]).toFixed(2) : '',
        ]
        rows.push(row)
        say(row.join('  '))
        if (asks.length && threads === 1) {
          const again = stepper(0)
          const mine = Array.from({ length: 10 }, () => again.step())
          again.dispose()
          const { losses } = await peer.ask({ do: 'losses', steps: 10 })
          const apart = mine.map((l, i) => Math.abs(l - losses[i]) / losses[i])
          notes.push(
            `${c.name} from the same weights, relative difference of the loss at steps 1, 2, 5, 10: ${[0, 1, 4, 9].map(i => apart[i].toExponential(1)).join(', ')}`,
          )
        }
      }
      x.dispose()
    }
  } finally {
    peer?.stop()
    device.threads = availableParallelism()
    rmSync(folder, { recursive: true, force: true })
  }
  if (peer === undefined) notes.push('Python with PyTorch was not found (VQ_PYTHON names one): ours alone.')
  notes.push(
    'GFLOP/s count the multiplications and additions of direct convolution. Most of ours are computed by Winograd, with 2.6 to 4 times fewer multiplications, so the share of the FMA limit may pass 100%.',
  )
  const head = ['work', 'threads', 'VQ', 'GFLOP/s', 'of FMA limit', 'peer', "peer's time", "of peer's time"]
  return {
    text: [table(head, rows), '', ...notes.map(n => `- ${n}`)].join('\n'),
    versions: peer?.versions ?? {},
  }
}
