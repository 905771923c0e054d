// Training forward and backward of quantizers, and the moves of their codebooks, beside PyTorch's.
import { availableParallelism } from 'node:os'
import { device, native, Random, tf } from '../../packages/core/dist/index.js'
import { valueAndGradients } from '../../packages/core/dist/optim/index.js'
import {
  FSQ,
  GumbelQuantizer,
  LatentQuantizer,
  LFQ,
  ResidualLFQ,
  ResidualVQ,
  VectorQuantizer,
} from '../../packages/quantizers/dist/index.js'
import { block, measure, ms, table } from './harness.mjs'
import { startPeer } from './peer.mjs'

export const title = 'Training steps of quantizers'

const dim = 64
const vectors = [32, 1024, dim]
const random = () => new Random(0)
// `peer` names the program of peers/quantizers.py.
const codes = { numEmbeddings: 1024, embeddingDim: dim }
const cases = [
  {
    name: 'vq',
    text: 'VQ, 1,024 codes, EMA',
    make: () => new VectorQuantizer({ ...codes, random: random() }),
    peer: 'vq',
  },
  {
    name: 'residual-vq',
    text: 'residual VQ, 8 levels of 1,024 codes, EMA',
    make: () => new ResidualVQ({ ...codes, numQuantizers: 8, random: random() }),
    peer: 'residual-vq',
  },
  {
    name: 'lfq10',
    text: 'LFQ, 1,024 codes',
    make: () => new LFQ({ codebookSize: 1024, dim, commitmentCost: 0, random: random() }),
    peer: 'lfq10',
  },
  {
    name: 'lfq10-spherical',
    text: 'LFQ, 1,024 codes, spherical, with commitment',
    make: () => new LFQ({ codebookSize: 1024, dim, spherical: true, random: random() }),
  },
  {
    name: 'lfq14',
    text: 'LFQ, 16,384 codes',
    make: () => new LFQ({ codebookSize: 2 ** 14, dim, commitmentCost: 0, random: random() }),
  },
  {
    name: 'lfq18',
    text: 'LFQ, 262,144 codes',
    make: () => new LFQ({ codebookSize: 2 ** 18, dim, commitmentCost: 0, random: random() }),
  },
  {
    name: 'residual-lfq',
    text: 'residual LFQ, 4 levels of 256 codes',
    make: () => new ResidualLFQ({ codebookSize: 256, numQuantizers: 4, dim, random: random() }),
  },
  {
    name: 'fsq',
    text: 'FSQ, 8 × 5 × 5 × 5',
    make: () => new FSQ({ levels: [8, 5, 5, 5], dim, random: random() }),
    peer: 'fsq',
  },
  {
    name: 'latent',
    text: 'latent quantization, 8 × 5 × 5 × 5',
    make: () => new LatentQuantizer({ levels: [8, 5, 5, 5], dim, random: random() }),
  },
  {
    name: 'gumbel',
    text: 'Gumbel softmax, 1,024 codes',
    make: () => new GumbelQuantizer({ numEmbeddings: 1024, embeddingDim: dim, random: random() }),
  },
]

function stepper(quantizer) {
  const values = random().fillNormal(new Float32Array(tf.util.sizeFromShape(vectors)))
  const z = tf.tidy(() => tf.variable(tf.tensor(values, vectors)))
  const moved = [z, ...quantizer.namedParameters().map(p => p.variable)]
  const step = () => {
    const { value, gradients } = valueAndGradients(() => {
      const { quantized, loss } = quantizer.forward(z)
      return tf.add(tf.sum(quantized), loss)
    }, moved)
    value.dataSync()
    tf.dispose([value, ...gradients.filter(g => g !== null)])
  }
  const dispose = () => {
    z.dispose()
    quantizer.dispose()
  }
  return { step, dispose }
}

/** Bytes that a step needs beside its input: the most in tensors and in scratch memory. */
function memoryOf(step) {
  const core = native()
  step()
  core.trim()
  core.scratchBytes()
  const before = core.memory().bytesInUse
  step()
  return core.memory().bytesPeak - before + core.scratchBytes().peak
}

export async function run({ only, say, wanted }) {
  const peer = await startPeer('quantizers.py')
  const rows = []
  const notes = []
  try {
    for (const c of cases.filter(c => only === undefined || c.name === only))
      for (const threads of availableParallelism() > 1 ? [2, 1] : [1]) {
        device.threads = threads
        let asks = []
        if (c.peer !== undefined && peer !== undefined) {
          const ready = await peer.ask({ do: 'prepare', name: c.peer, threads })
          if (ready?.ready) asks = [async () => (await peer.ask({ do: 'time', ...block })).seconds]
          else notes.push(`${c.text}: no figure of PyTorch (${ready?.error ?? ready?.missing ?? 'it ended'})`)
        }
        const ours = stepper(c.make())
        const m = await measure(ours.step, asks, { threads, wanted, patience: 20_000 })
        const bytes = memoryOf(ours.step)
        ours.dispose()
        const row = [
          c.text,
          threads,
          ms(m.ours) + (m.steady ? '' : ' (noisy)'),
          `${(bytes / 2 ** 20).toFixed(0)} MB`,
          m.peers.length ? 'PyTorch' : '',
          m.peers.length ? ms(m.peers[0]) : '',
          m.peers.length ? (m.ours / m.peers[0]).toFixed(2) : '',
        ]
        rows.push(row)
        say(row.join('  '))
      }
  } finally {
    peer?.stop()
    device.threads = availableParallelism()
  }
  if (peer === undefined) notes.push('Python with PyTorch was not found (VQ_PYTHON names one): ours alone.')
  notes.push(
    "32 × 1,024 vectors of 64, forward and backward, the codebook's move or the linear layers to the codes and back included. Memory is the most that tensors and scratch hold during the process so far, without what they held before the step.",
  )
  const head = ['work', 'threads', 'VQ', 'memory', 'peer', "peer's time", "of peer's time"]
  return {
    text: [table(head, rows), '', ...notes.map(n => `- ${n}`)].join('\n'),
    versions: peer?.versions ?? {},
  }
}
