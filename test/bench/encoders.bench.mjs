// Encoders of images beside torchvision's and BERT beside transformers', from the same weights on the same batch, forward and with backward.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { device, Random, tf } from '../../packages/core/dist/index.js'
import { fromPretrained } from '../../packages/encoders/dist/index.js'
import { batch, cases, inputDim, inputOf, trainingPass } from './encoder-cases.mjs'
import { block, measure, ms, table } from './harness.mjs'
import { startPeer } from './peer.mjs'

export const title = 'Encoders'

const floats = path => new Float32Array(readFileSync(path).buffer.slice(0))

/** The peer's batch. */
const given = ({ tokens }, path) =>
  tokens === undefined
    ? tf.tensor4d(floats(`${path}.f32`), [batch, ...inputDim])
    : tf.tensor2d(new Int32Array(readFileSync(`${path}.i32`).buffer.slice(0)), [batch, tokens], 'int32')

/** What a training pass takes, in a process of its own. */
function memoryOf({ name }) {
  const program = fileURLToPath(new URL('encoder-memory.mjs', import.meta.url))
  return JSON.parse(execFileSync(process.execPath, [program, name]))
}

export async function run({ only, say, wanted }) {
  const folder = mkdtempSync(join(tmpdir(), 'vq-bench-'))
  const peer = await startPeer('encoders.py')
  const threads = Math.min(2, availableParallelism())
  const rows = []
  const notes = []
  device.threads = threads
  try {
    for (const c of cases.filter(c => only === undefined || c.name === only)) {
      const ready = await peer?.ask({ do: 'prepare', name: c.name, batch, threads, folder })
      if (peer !== undefined && ready?.ready !== true)
        notes.push(`${c.name}: no figure of PyTorch (${ready?.error ?? 'it ended'})`)
      const path = join(folder, c.name)
      const encoder = ready?.ready
        ? await fromPretrained(c.tokens ? path : `${path}.pth`)
        : c.make(new Random(0))
      const x = ready?.ready ? given(c, path) : inputOf(c)
      if (ready?.ready) {
        const mine = tf.tidy(() => encoder.forward(x).embedding.dataSync())
        const theirs = floats(`${path}.out.f32`)
        const most = theirs.reduce((m, v) => Math.max(m, Math.abs(v)), 0)
        const apart = mine.reduce((m, v, i) => Math.max(m, Math.abs(v - theirs[i])), 0) / most
        notes.push(
          `${c.name} from the same weights: embeddings differ by ${apart.toExponential(1)} of the largest`,
        )
      }
      const forward = () => {
        encoder.eval()
        tf.tidy(() => encoder.forward(x).embedding.dataSync())
      }
      const both = () => {
        trainingPass(c, encoder, x)
      }
      for (const [what, call] of Object.entries({ forward, 'with backward': both })) {
        const train = call === both
        const asks = ready?.ready
          ? [async () => (await peer.ask({ do: 'time', train, ...block })).seconds]
          : []
        const m = await measure(call, asks, { threads, wanted, patience: 60_000 })
        const row = [
          `${c.text}, batch ${batch}, ${what}`,
          threads,
          ms(m.ours) + (m.steady ? '' : ' (noisy)'),
          m.peers.length ? 'PyTorch' : '',
          m.peers.length ? ms(m.peers[0]) : '',
          m.peers.length ? (m.ours / m.peers[0]).toFixed(2) : '',
          c.bar,
        ]
        rows.push(row)
        say(row.join('  '))
      }
      encoder.dispose()
      x.dispose()
      const { grown, needed } = memoryOf(c)
      const memory = [
        `${c.text}, batch ${batch}, memory of training / weights, gradients and activations`,
        threads,
        `${Math.round(grown)} / ${Math.round(needed)} MiB`,
        ...['', '', (grown / needed).toFixed(2), 1.3],
      ]
      rows.push(memory)
      say(memory.join('  '))
    }
  } finally {
    peer?.stop()
    device.threads = availableParallelism()
    rmSync(folder, { recursive: true, force: true })
  }
  if (peer === undefined)
    notes.push('Python with torchvision was not found (VQ_PYTHON names one): ours alone.')
  const head = ['work', 'threads', 'VQ', 'peer', "peer's time", "of peer's time", 'bar']
  return {
    text: [table(head, rows), '', ...notes.map(n => `- ${n}`)].join('\n'),
    versions: peer?.versions ?? {},
  }
}
