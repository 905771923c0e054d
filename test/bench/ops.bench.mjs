// Single ops, forward and backward, beside PyTorch's.
import { availableParallelism } from 'node:os'
import {
  adamStep,
  batchNormTrain,
  device,
  gelu,
  layerNorm,
  lstm,
  Random,
  scaledDotProductAttention,
  softmax,
  tf,
} from '../../packages/core/dist/index.js'
import { block, copyBandwidth, fmaLimit, measure, ms, table } from './harness.mjs'
import { startPeer } from './peer.mjs'

export const title = 'Ops'

const random = new Random(0)
const normal = shape => {
  const values = new Float32Array(tf.util.sizeFromShape(shape))
  for (let i = 0; i < values.length; i++) values[i] = random.normal()
  return tf.tensor(values, shape)
}

// Forward and backward from an upstream gradient.
const throughAndBack = (f, xs, dy) => {
  const back = tf.grads(f)
  return () => tf.dispose(back(xs, dy))
}

// 64 MB, rows of 1024.
const rowwise = make => () => {
  const x = normal([16, 1024, 1024])
  const g = normal([16, 1024, 1024])
  const gamma = tf.ones([1024])
  const beta = tf.zeros([1024])
  return { call: make(x, g, gamma, beta), tensors: [x, g, gamma, beta] }
}

const mega = 16 * 1024 * 1024 * 4
// bytes: what must be read and written, forward and backward. flops: of the products alone.
const cases = [
  {
    name: 'matmul',
    text: 'matmul 2048³',
    flops: 2 * 2048 ** 3,
    make: () => {
      const tensors = [normal([2048, 2048]), normal([2048, 2048])]
      return { call: () => tf.dispose(tf.matMul(...tensors)), tensors }
    },
  },
  {
    name: 'attention',
    text: 'attention, causal, 8×8×512×64',
    flops: 7 * 2 * 64 * 512 * 512 * 64 * 0.5,
    make: () => {
      const tensors = [0, 1, 2].map(() => normal([8, 8, 512, 64]))
      const f = (q, k, v) => tf.sum(scaledDotProductAttention(q, k, v, { causal: true }))
      return { call: throughAndBack(f, tensors), tensors }
    },
  },
  {
    name: 'layernorm',
    text: 'layer norm, 64 MB',
    bytes: 5 * mega,
    make: rowwise((x, g, gamma, beta) => throughAndBack((...a) => layerNorm(...a), [x, gamma, beta], g)),
  },
  {
    name: 'softmax',
    text: 'softmax, 64 MB',
    bytes: 5 * mega,
    make: rowwise((x, g) => throughAndBack(a => softmax(a), [x], g)),
  },
  {
    name: 'gelu',
    text: 'GELU, 64 MB',
    bytes: 5 * mega,
    make: rowwise((x, g) => throughAndBack(a => gelu(a), [x], g)),
  },
  {
    name: 'batchnorm',
    text: 'batch norm, 64 MB',
    bytes: 8 * mega,
    make: rowwise((x, g, gamma, beta) =>
      throughAndBack((...a) => batchNormTrain(...a).output, [x, gamma, beta], g),
    ),
  },
  {
    name: 'lstm',
    text: 'LSTM 256 → 256, 32 × 128 steps',
    flops: 3 * 2 * 32 * 128 * 512 * 1024,
    make: () => {
      const tensors = [
        normal([32, 128, 256]),
        tf.mul(0.06, normal([256, 1024])),
        tf.mul(0.06, normal([256, 1024])),
        tf.zeros([1024]),
      ]
      const [x, ...weights] = tensors
      const f = (kernel, recurrentKernel, bias) =>
        tf.mean(tf.square(lstm(x, { kernel, recurrentKernel, bias }).output))
      return { call: throughAndBack(f, weights), tensors }
    },
  },
  {
    name: 'adam',
    text: 'Adam step, 100 parameters of 64',
    make: () => {
      const variables = Array.from({ length: 300 }, () => tf.variable(tf.zeros([64])))
      const gradients = Array.from({ length: 100 }, () => normal([64]))
      const [parameters, m, v] = [0, 100, 200].map(i => variables.slice(i, i + 100))
      let step = 0
      return {
        call: () => adamStep(parameters, gradients, { m, v }, { learningRate: 1e-3, step: ++step }),
        tensors: [...variables, ...gradients],
      }
    },
  },
]

export async function run({ only, say, wanted }) {
  const peer = await startPeer('ops.py')
  const rows = []
  const notes = []
  const threads = Math.min(2, availableParallelism())
  const bandwidth = copyBandwidth(threads)
  device.threads = threads
  try {
    for (const c of cases.filter(c => only === undefined || c.name.includes(only))) {
      const ready = await peer?.ask({ do: 'prepare', name: c.name, threads })
      if (peer !== undefined && ready?.ready !== true)
        notes.push(`${c.name}: no figure of PyTorch (${ready?.error ?? 'it ended'})`)
      const asks = ready?.ready ? [async () => (await peer.ask({ do: 'time', ...block })).seconds] : []
      const { call, tensors } = c.make()
      const m = await measure(call, asks, { threads, wanted, patience: 30_000 })
      tf.dispose(tensors)
      const share =
        c.bytes !== undefined
          ? [
              `${(c.bytes / m.ours / 1e9).toFixed(1)} GB/s`,
              `${((100 * c.bytes) / m.ours / 1e9 / bandwidth).toFixed(0)}% of copies`,
            ]
          : c.flops !== undefined
            ? [
                `${(c.flops / m.ours / 1e9).toFixed(0)} GFLOP/s`,
                `${((100 * c.flops) / m.ours / 1e9 / fmaLimit(threads)).toFixed(0)}% of FMA`,
              ]
            : ['', '']
      const row = [
        c.text,
        threads,
        ms(m.ours) + (m.steady ? '' : ' (noisy)'),
        ...share,
        m.peers.length ? ms(m.peers[0]) : '',
        m.peers.length ? (m.ours / m.peers[0]).toFixed(2) : '',
      ]
      rows.push(row)
      say(row.join('  '))
    }
    if (only === undefined || only === 'add') {
      const row = ['add, 1 element', 1, `${(1e6 * oneAdd()).toFixed(2)} µs`, '', '', '', '']
      rows.push(row)
      say(row.join('  '))
    }
  } finally {
    peer?.stop()
    device.threads = availableParallelism()
  }
  notes.push(
    'Bytes are those that must be read and written once, forward and backward; batch norm reads its input twice each way, for the statistics and for what follows from them.',
    '1-element add: mean of a million, a hundred to a tidy (tfjs-node 4.22 takes 5.6 µs on such a machine).',
  )
  const head = ['work', 'threads', 'VQ', 'rate', 'share', 'PyTorch', "of PyTorch's time"]
  return {
    text: [table(head, rows), '', ...notes.map(n => `- ${n}`)].join('\n'),
    versions: peer?.versions ?? {},
  }
}

function oneAdd() {
  const x = tf.tensor1d([1])
  const hundred = () =>
    tf.tidy(() => {
      for (let i = 0; i < 100; i++) tf.add(x, x)
    })
  for (let i = 0; i < 1000; i++) hundred()
  const start = performance.now()
  for (let i = 0; i < 10_000; i++) hundred()
  x.dispose()
  return (performance.now() - start) / 1e3 / 1e6
}
