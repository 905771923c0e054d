import type { Call, Fuzz, FuzzTable } from './call.js'
import { type Rng, sizeOf, type Values } from './rng.js'

/** Our own fused kernels. Their answers are compared elsewhere; here no call of them may do harm. */

const alone =
  'fused-ops.test.ts compares it with its composition and a float64 oracle; random-ops.test.ts the draws'
const fuzz = (call: (r: Rng) => Call): Fuzz => ({ call, alone })

const blocks = (r: Rng) => ({ seed: [r.int(0, 9), 0], stream: [0, 0], block: [r.int(0, 99), 0] })
const activation = (r: Rng) => ({ activation: r.pick(['relu', 'gelu', 'gelu_tanh', 'linear']) })

function attention(r: Rng): { call: Call; q: number[]; k: number[] } {
  const [b, h, tq, tk, d] = [r.int(0, 2), r.int(1, 3), r.size(), r.size(), r.int(1, 9)]
  const [q, k] = [[b, h, tq, d], [b, h, tk, d]] // biome-ignore format: a pair
  const full = [b, h, tq, tk].map(n => (r.chance(0.3) ? 1 : n))
  const mask = r.pick([undefined, r.tensor(full, 'bool'), r.tensor(full)])
  const attrs = { causal: r.chance(0.5), scale: 0.5, dropout: r.pick([0, 0, 0.3]), blocks: blocks(r) }
  return { call: { inputs: { q: r.tensor(q), k: r.tensor(k), v: r.tensor(k), mask }, attrs }, q, k }
}

interface Sequence {
  batch: number
  steps: number
  hidden: number
  inputs: Call['inputs']
  reverse: boolean
}
function sequence(r: Rng): Sequence {
  const [batch, steps, inputs, hidden] = [r.int(0, 4), r.int(0, 5), r.int(1, 5), r.int(1, 9)]
  return {
    batch,
    steps,
    hidden,
    inputs: {
      x: r.tensor([batch, steps, inputs]),
      kernel: r.tensor([inputs, 4 * hidden]),
      recurrentKernel: r.tensor([hidden, 4 * hidden]),
      lengths: r.chance(0.5) ? r.ints([batch], 0, steps) : undefined,
    },
    reverse: r.chance(0.5),
  }
}

const labels = (r: Rng) => {
  const lead = r.shape(1, 3)
  const classes = r.int(1, 9)
  return { lead, logits: r.tensor([...lead, classes]), labels: r.ints(lead, 0, classes - 1) }
}
const entropy = (r: Rng) => ({
  labelSmoothing: r.pick([0, 0.1]),
  ignoreIndex: r.pick([-100, 0]),
  reduction: r.pick(['mean', 'sum', 'none']),
})

export const fused: FuzzTable = {
  VqActivation: fuzz(r => ({ inputs: { x: r.tensor(r.shape(), 'float32', 0.1) }, attrs: activation(r) })),
  VqActivationGrad: fuzz(r => {
    const shape = r.shape()
    return { inputs: { z: r.tensor(shape), dy: r.tensor(shape) }, attrs: activation(r) }
  }),
  VqLinear: fuzz(r => {
    const [inputs, outputs] = [r.size(), r.size()]
    return {
      inputs: {
        x: r.tensor([...r.shape(0, 3), inputs]),
        weight: r.tensor([inputs, outputs]),
        bias: r.chance(0.5) ? r.tensor([outputs]) : undefined,
      },
      attrs: activation(r),
    }
  }),
  VqLinearGrad: fuzz(r => {
    const [inputs, outputs, lead] = [r.size(), r.size(), r.shape(0, 3)]
    const y = [...lead, outputs]
    return {
      inputs: {
        x: r.tensor([...lead, inputs]),
        weight: r.tensor([inputs, outputs]),
        z: r.tensor(y),
        dy: r.tensor(y),
      },
      attrs: { ...activation(r), bias: r.chance(0.5) },
    }
  }),
  VqAttention: fuzz(r => attention(r).call),
  VqAttentionGrad: fuzz(r => {
    const { call, q } = attention(r)
    const more = { out: r.tensor(q), lse: r.tensor(q.slice(0, 3)), dout: r.tensor(q) }
    return { ...call, inputs: { ...call.inputs, ...more } }
  }),
  VqLayerNorm: fuzz(r => {
    const shape = r.shape(1)
    const c = shape.slice(-1)
    return {
      inputs: { x: r.tensor(shape), gamma: r.tensor(c), beta: r.tensor(c) },
      attrs: { epsilon: 1e-5 },
    }
  }),
  VqLayerNormGrad: fuzz(r => {
    const shape = r.shape(1)
    const rows = [sizeOf(shape.slice(0, -1))]
    return {
      inputs: {
        x: r.tensor(shape),
        gamma: r.tensor(shape.slice(-1)),
        mean: r.tensor(rows),
        inverse: r.tensor(rows),
        dy: r.tensor(shape),
      },
      attrs: { parameters: r.chance(0.5) },
    }
  }),
  VqGroupNorm: fuzz(r => {
    const groups = r.int(1, 3)
    const shape = [r.size(), ...r.shape(0, 2), groups * r.int(1, 3)]
    const c = shape.slice(-1)
    return {
      inputs: { x: r.tensor(shape), gamma: r.tensor(c), beta: r.tensor(c) },
      attrs: { groups, epsilon: 1e-5 },
    }
  }),
  VqGroupNormGrad: fuzz(r => {
    const groups = r.int(1, 3)
    const shape = [r.size(), ...r.shape(0, 2), groups * r.int(1, 3)]
    const [c, each] = [shape.slice(-1), [shape[0], shape[shape.length - 1]]]
    return {
      inputs: {
        x: r.tensor(shape),
        gamma: r.tensor(c),
        mean: r.tensor(each),
        inverse: r.tensor(each),
        dy: r.tensor(shape),
      },
      attrs: { groups },
    }
  }),
  VqLstm: fuzz(r => {
    const { batch, hidden, inputs, reverse } = sequence(r)
    const state = (): ReturnType<Rng['tensor']> | undefined =>
      r.chance(0.5) ? r.tensor([batch, hidden]) : undefined
    const bias = r.chance(0.5) ? r.tensor([4 * hidden]) : undefined
    return { inputs: { ...inputs, bias, h: state(), c: state() }, attrs: { reverse } }
  }),
  VqLstmGrad: fuzz(r => {
    const { batch, steps, hidden, inputs, reverse } = sequence(r)
    return {
      inputs: {
        ...inputs,
        gates: r.tensor([steps, batch, 4 * hidden]),
        states: r.tensor([steps + 1, batch, hidden]),
        cells: r.tensor([steps + 1, batch, hidden]),
        dy: r.tensor([batch, steps, hidden]),
        dhn: r.tensor([batch, hidden]),
        dcn: r.tensor([batch, hidden]),
      },
      attrs: { reverse, bias: r.chance(0.5) },
    }
  }),
  VqDecode: fuzz(r => {
    const [heads, layers, batch, tokens] = [r.int(1, 3), r.int(0, 2), r.size(), r.size()]
    const [width, hidden, rows, outputs, held] = [
      heads * r.int(1, 9),
      r.int(1, 9),
      r.int(1, 9),
      r.size(),
      r.int(0, 9),
    ]
    const room = Math.ceil((held + tokens) / 16) * 16
    const each = <T>(make: () => T): T[] => Array.from({ length: layers }, make)
    const [v, w] = [() => r.tensor([width]), (n: number) => r.tensor([width, n])]
    const layer = (): Values[] => [
      ...[v(), v(), w(3 * width), r.tensor([3 * width]), w(width), v(), v(), v()],
      ...[w(hidden), r.tensor([hidden]), r.tensor([hidden, width]), v()],
    ]
    return {
      inputs: {
        ids: r.ints([batch, tokens], 0, rows - 1),
        table: r.tensor([rows, width]),
        places: r.tensor([held + tokens + r.int(0, 3), width]),
        parameters: [...each(layer).flat(), v(), v(), w(outputs), r.tensor([outputs])],
        keys: each(() => r.tensor([batch, heads, room / 16, width / heads, 16])),
        values: each(() => r.tensor([batch, heads, room, width / heads])),
      },
      attrs: {
        ...{ heads, activation: r.pick(['gelu', 'relu']), held, room, last: tokens > 0 && r.chance(0.5) },
        epsilons: new Array<number>(2 * layers + 1).fill(1e-5),
      },
    }
  }),
  VqDrawTokens: fuzz(r => {
    const [rows, classes, others] = [r.size(), r.int(1, 9), r.int(0, 3)]
    const guidance = r.pick([1, 2.5])
    const first = r.int(0, classes - 1)
    return {
      inputs: { logits: r.tensor([guidance === 1 ? rows : 2 * rows, classes]) },
      attrs: {
        ...{
          guidance,
          temperature: r.pick([0, 0.5, 1]),
          topK: r.int(1, 9),
          topP: r.pick([0.5, 1]),
          copies: r.int(1, 2),
        },
        range: [first, r.int(first + 1, classes)],
        also: Array.from({ length: others }, () => r.int(0, classes - 1)),
        words: Int32Array.from({ length: 2 * rows }, () => r.int(0, 2 ** 31 - 1)),
      },
    }
  }),
  VqEmbedding: fuzz(r => {
    const rows = r.int(1, 9)
    return { inputs: { ids: r.ints(r.shape(0, 3), 0, rows - 1), table: r.tensor([rows, r.size()]) } }
  }),
  VqEmbeddingGrad: fuzz(r => {
    const [rows, dim, lead] = [r.int(1, 9), r.size(), r.shape(0, 3)]
    return { inputs: { ids: r.ints(lead, 0, rows - 1), dy: r.tensor([...lead, dim]) }, attrs: { rows } }
  }),
  VqSoftmaxGrad: fuzz(r => {
    const shape = r.shape(1)
    return { inputs: { y: r.tensor(shape), dy: r.tensor(shape) }, attrs: { logarithm: r.chance(0.5) } }
  }),
  VqCrossEntropy: fuzz(r => {
    const { logits, labels: l } = labels(r)
    return { inputs: { logits, labels: l }, attrs: entropy(r) }
  }),
  VqCrossEntropyGrad: fuzz(r => {
    const { lead, logits, labels: l } = labels(r)
    const attrs = entropy(r)
    const inputs = {
      logits,
      labels: l,
      lse: r.tensor([sizeOf(lead)]),
      dy: r.tensor(attrs.reduction === 'none' ? lead : []),
    }
    return { inputs, attrs }
  }),
  VqDropout: fuzz(r => ({
    inputs: { x: r.tensor(r.shape()) },
    attrs: { rate: r.pick([0.1, 0.5]), blocks: blocks(r) },
  })),
  VqRandom: fuzz(r => ({
    inputs: {},
    attrs: {
      shape: r.shape(),
      distribution: r.pick(['uniform', 'normal', 'truncated normal', 'bernoulli']),
      a: 0.3,
      b: 0.9,
      blocks: blocks(r),
    },
  })),
}
