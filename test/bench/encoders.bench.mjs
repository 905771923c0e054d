// Encoders of images beside torchvision's and BERT beside transformers', from the same weights on the same batch, forward and with backward.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { device, Random, tf } from '../../packages/core/dist/index.js'
import {
  BertEncoder,
  fromPretrained,
  ResNetEncoder,
  VisionTransformerEncoder,
} from '../../packages/encoders/dist/index.js'
import { block, measure, ms, table } from './harness.mjs'
import { startPeer } from './peer.mjs'

export const title = 'Encoders'

const batch = 8
const inputDim = [224, 224, 3]
// bar: at most this share of the peer's time.
const cases = [
  {
    name: 'vit-b16',
    text: 'ViT-B/16 at 224',
    bar: 0.6,
    make: random =>
      new VisionTransformerEncoder({
        inputDim,
        hiddenDim: 768,
        numLayers: 12,
        numHeads: 12,
        dropout: 0,
        random,
      }),
  },
  {
    name: 'resnet50',
    text: 'ResNet-50 at 224',
    bar: 0.9,
    make: random => new ResNetEncoder({ inputDim, depth: 50, random }),
  },
  {
    name: 'bert-base',
    text: 'BERT base, T 128',
    bar: 0.6,
    tokens: 128,
    make: random => new BertEncoder({ vocabSize: 30_522, random }),
  },
]

/** The peer's batch, or one of our own. */
function batchOf({ tokens }, path) {
  if (tokens !== undefined) {
    const random = new Random(1)
    const ids = path
      ? new Int32Array(readFileSync(`${path}.i32`).buffer.slice(0))
      : Int32Array.from({ length: batch * tokens }, () => random.integer(30_000))
    return tf.tensor2d(ids, [batch, tokens], 'int32')
  }
  const pixels = path
    ? floats(`${path}.f32`)
    : new Random(1).fillNormal(new Float32Array(batch * 224 * 224 * 3))
  return tf.tensor4d(pixels, [batch, ...inputDim])
}

const floats = path => new Float32Array(readFileSync(path).buffer.slice(0))

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
      const x = batchOf(c, ready?.ready ? path : undefined)
      if (ready?.ready) {
        const mine = tf.tidy(() => encoder.forward(x).embedding.dataSync())
        const theirs = floats(`${path}.out.f32`)
        const most = theirs.reduce((m, v) => Math.max(m, Math.abs(v)), 0)
        const apart = mine.reduce((m, v, i) => Math.max(m, Math.abs(v - theirs[i])), 0) / most
        notes.push(
          `${c.name} from the same weights: embeddings differ by ${apart.toExponential(1)} of the largest`,
        )
      }
      const variables = encoder.namedParameters().map(({ variable }) => variable)
      const forward = () => {
        encoder.eval()
        tf.tidy(() => encoder.forward(x).embedding.dataSync())
      }
      const both = () => {
        encoder.train()
        tf.tidy(() => {
          const seen = output => (c.tokens ? output.sequence : output.embedding)
          const loss = () => tf.mean(tf.square(seen(encoder.forward(x))))
          tf.variableGrads(loss, variables).value.dataSync()
        })
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
