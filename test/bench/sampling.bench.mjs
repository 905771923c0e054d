// Sampling from the transformer over image and text tokens beside PyTorch's: a whole context from one token on, at temperature 1.
import { mkdtempSync, rmSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { device, Random, tf } from '../../packages/core/dist/index.js'
import { saveSafetensors } from '../../packages/core/dist/io/index.js'
import { IGPT, sampleTokens } from '../../packages/igpt/dist/index.js'
import { block, fmaLimit, measure, table } from './harness.mjs'
import { startPeer } from './peer.mjs'

const [vocabulary, tokens, width, layers] = [148, 58, 128, 4]
const weightsRead = layers * 12 * width * width + width * vocabulary
// Of one token: the products of the weights, and attention to half of the context on average.
const flops = 2 * (weightsRead + layers * 2 * width * ((tokens + 1) / 2))

export const title = 'Sampling'

export async function run({ only, say, wanted }) {
  const rows = []
  const notes = []
  if (only !== undefined && only !== 'igpt-sample') return { text: '', versions: {} }
  const folder = mkdtempSync(join(tmpdir(), 'vq-bench-'))
  const peer = await startPeer('sampling.py')
  const model = new IGPT({ vocabSize: vocabulary, contextLength: tokens, random: new Random(0) }).eval()
  try {
    const weights = join(folder, 'igpt.safetensors')
    await saveSafetensors(weights, model.stateDict())
    for (const batch of [1, 64]) {
      const start = tf.zeros([batch, 1], 'int32')
      for (const threads of availableParallelism() > 1 ? [2, 1] : [1]) {
        device.threads = threads
        const ready = await peer?.ask({ do: 'prepare', batch, threads, weights })
        if (peer !== undefined && ready?.ready !== true)
          notes.push(`batch ${batch}: no figure of PyTorch (${ready?.error ?? 'it ended'})`)
        const asks = ready?.ready ? [async () => (await peer.ask({ do: 'time', ...block })).seconds] : []
        const ours = () => sampleTokens(model, start, tokens, { seed: 1 }).dispose()
        const m = await measure(ours, asks, { threads, wanted, patience: 60_000 })
        const rate = seconds => (batch * tokens) / seconds
        const gflops = (rate(m.ours) * flops) / 1e9
        const count = value => Math.round(value).toLocaleString('en-US')
        const row = [
          `iGPT (4 layers, 128 wide), ${tokens} tokens, batch ${batch}`,
          threads,
          count(rate(m.ours)) + (m.steady ? '' : ' (noisy)'),
          `${((1e6 * m.ours) / tokens).toFixed(0)} µs`,
          `${((4 * weightsRead * tokens) / m.ours / 1e9).toFixed(0)} GB/s`,
          `${((100 * gflops) / fmaLimit(threads)).toFixed(0)}%`,
          m.peers.length ? count(rate(m.peers[0])) : '',
          m.peers.length ? (m.peers[0] / m.ours).toFixed(1) : '',
        ]
        rows.push(row)
        say(row.join('  '))
      }
      start.dispose()
    }
  } finally {
    peer?.stop()
    model.dispose()
    device.threads = availableParallelism()
    rmSync(folder, { recursive: true, force: true })
  }
  if (peer === undefined) notes.push('Python with PyTorch was not found (VQ_PYTHON names one): ours alone.')
  notes.push(
    `Each token reads all weights, ${((4 * weightsRead) / 1e6).toFixed(1)} MB, which the last cache holds: at batch 1 its bandwidth is the limit, at batch 64 that of the multiply-adds.`,
  )
  const head = ['work', 'threads', 'tokens/s', 'a step', 'weights', 'of FMA limit', "PyTorch's tokens/s", 'times its rate'] // biome-ignore format: one line
  return {
    text: [table(head, rows), '', ...notes.map(n => `- ${n}`)].join('\n'),
    versions: peer?.versions ?? {},
  }
}
