import {
  dropout,
  embedding,
  gelu,
  groupNorm,
  layerNorm,
  linear,
  logSoftmax,
  lstm,
  Random,
  scaledDotProductAttention,
  silu,
  softmax,
  softmaxCrossEntropy,
  tf,
} from '@vq/core'

/** A fused op on small tensors and the same formula in float64, as plain as can be. */
export interface Case {
  name: string
  /** Of the inputs that gradients are taken by. */
  shapes: number[][]
  op: (...x: tf.Tensor[]) => tf.Tensor
  oracle: (...x: number[][]) => number[]
  /** Multiplies the inputs, which are otherwise in [−1, 1). */
  scale?: number
}

const size = (shape: number[]): number => shape.reduce((a, b) => a * b, 1)
const total = (x: number[]): number => x.reduce((a, b) => a + b, 0)

/** Rows of length n. */
function rows(x: number[], n: number): number[][] {
  return n === 0 ? [] : Array.from({ length: x.length / n }, (_, r) => x.slice(r * n, (r + 1) * n))
}

/** The error function in float64: a Taylor series, which converges everywhere. */
export function erf(x: number): number {
  if (Math.abs(x) > 5.5) return Math.sign(x)
  let term = x
  let sum = x
  for (let n = 1; n < 200; n++) {
    term *= (-x * x) / n
    sum += term / (2 * n + 1)
  }
  return (2 / Math.sqrt(Math.PI)) * sum
}

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x))
export const activationOracle: Record<string, (x: number) => number> = {
  linear: x => x,
  relu: x => Math.max(0, x),
  gelu: x => (x * (1 + erf(x / Math.SQRT2))) / 2,
  gelu_tanh: x => (x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)))) / 2,
  silu: x => x * sigmoid(x),
  tanh: Math.tanh,
  sigmoid,
}

function layerNormOracle(
  x: number[],
  n: number,
  gamma?: number[],
  beta?: number[],
  epsilon = 1e-5,
): number[] {
  return rows(x, n).flatMap(row => {
    const mean = total(row) / n
    const variance = total(row.map(v => (v - mean) ** 2)) / n
    return row.map(
      (v, i) => ((v - mean) / Math.sqrt(variance + epsilon)) * (gamma?.[i] ?? 1) + (beta?.[i] ?? 0),
    )
  })
}

function logSoftmaxRow(row: number[]): number[] {
  const top = Math.max(...row)
  const lse = top + Math.log(total(row.map(v => Math.exp(v - top))))
  return row.map(v => v - lse)
}

function matMul(a: number[], m: number, k: number, b: number[], n: number): number[] {
  const c = new Array<number>(m * n).fill(0)
  for (let i = 0; i < m; i++)
    for (let j = 0; j < n; j++) for (let l = 0; l < k; l++) c[i * n + j] += a[i * k + l] * b[l * n + j]
  return c
}

const cases: Case[] = []
const T1 = (x: tf.Tensor): tf.Tensor1D => x as tf.Tensor1D

for (const shape of [[3, 5], [2, 3, 17], [1, 1], [4, 1], [70], [0, 4], [3, 64], [5, 100]]) // biome-ignore format: shapes
  cases.push({
    name: `layerNorm [${shape}]`,
    shapes: [shape, [shape[shape.length - 1]], [shape[shape.length - 1]]],
    op: (x, g, b) => layerNorm(x, T1(g), T1(b)),
    oracle: (x, g, b) => layerNormOracle(x, g.length, g, b),
  })
cases.push(
  {
    name: 'layerNorm without parameters',
    shapes: [[4, 9]],
    op: x => layerNorm(x, undefined, undefined, { epsilon: 1e-3 }),
    oracle: x => layerNormOracle(x, 9, undefined, undefined, 1e-3),
  },
  {
    name: 'layerNorm with beta alone',
    shapes: [[4, 9], [9]],
    op: (x, b) => layerNorm(x, undefined, T1(b)),
    oracle: (x, b) => layerNormOracle(x, 9, undefined, b),
  },
  {
    name: 'layerNorm with gamma alone',
    shapes: [[4, 9], [9]],
    op: (x, g) => layerNorm(x, T1(g)),
    oracle: (x, g) => layerNormOracle(x, 9, g),
  },
)

for (const shape of [[37], [2, 3], [0], []])
  for (const scale of [1, 6]) {
    cases.push(
      {
        name: `gelu [${shape}] in ±${scale}`,
        shapes: [shape],
        scale,
        op: x => gelu(x),
        oracle: x => x.map(activationOracle.gelu),
      },
      {
        name: `gelu tanh [${shape}] in ±${scale}`,
        shapes: [shape],
        scale,
        op: x => gelu(x, { approximate: 'tanh' }),
        oracle: x => x.map(activationOracle.gelu_tanh),
      },
      {
        name: `silu [${shape}] in ±${scale}`,
        shapes: [shape],
        scale,
        op: x => silu(x),
        oracle: x => x.map(activationOracle.silu),
      },
    )
  }

for (const [shape, axis] of [
  [[3, 5], -1],
  [[2, 3, 40], 2],
  [[4, 1], -1],
  [[19], 0],
  [[3, 4, 2], 0],
  [[2, 7, 3], 1],
  [[0, 3], -1],
  [[2, 66], -1],
] as const) {
  // biome-ignore format: shapes
  const along = (f: (row: number[]) => number[]) => (x: number[]): number[] => {
    const at = axis < 0 ? shape.length - 1 : axis
    const [n, inner] = [shape[at], size(shape.slice(at + 1) as unknown as number[])]
    const out = x.slice()
    for (let o = 0; o < x.length / (n * inner); o++)
      for (let i = 0; i < inner; i++) {
        const index = Array.from({ length: n }, (_, k) => (o * n + k) * inner + i)
        for (const [k, v] of f(index.map(j => x[j])).entries()) out[index[k]] = v
      }
    return out
  }
  cases.push(
    {
      name: `softmax [${shape}] axis ${axis}`,
      shapes: [[...shape]],
      scale: 4,
      op: x => softmax(x, axis),
      oracle: along(row => logSoftmaxRow(row).map(Math.exp)),
    },
    {
      name: `logSoftmax [${shape}] axis ${axis}`,
      shapes: [[...shape]],
      scale: 4,
      op: x => logSoftmax(x, axis),
      oracle: along(logSoftmaxRow),
    },
  )
}

for (const reduction of ['mean', 'sum', 'none'] as const)
  for (const labelSmoothing of [0, 0.1])
    for (const [shape, labels, ignoreIndex] of [
      [[5, 7], [0, 6, -1, 3, 3], -1],
      [[2, 2, 1], [0, 0, 0, -100], -100],
      [[3, 40], [39, 17, 2], 2],
      [[1, 3], [1], -1],
    ] as const) {
      const classes = shape[shape.length - 1]
      cases.push({
        name: `softmaxCrossEntropy [${shape}] ${reduction} smoothing ${labelSmoothing} ignoring ${ignoreIndex}`,
        shapes: [[...shape]],
        scale: 3,
        op: x =>
          softmaxCrossEntropy(x, tf.tensor([...labels], [...shape.slice(0, -1)], 'int32'), {
            reduction,
            labelSmoothing,
            ignoreIndex,
          }),
        oracle: x => {
          const loss = rows(x, classes).map((row, r) => {
            const label: number = labels[r]
            if (label === ignoreIndex) return 0
            const logs = logSoftmaxRow(row)
            const target = row.map(
              (_, k) => labelSmoothing / classes + (k === label ? 1 - labelSmoothing : 0),
            )
            return -total(logs.map((v, k) => v * target[k]))
          })
          if (reduction === 'none') return loss
          const counted = labels.filter(l => l !== ignoreIndex).length
          return [total(loss) / (reduction === 'mean' ? counted : 1)]
        },
      })
    }

for (const activation of ['linear', 'relu', 'gelu', 'gelu_tanh', 'silu', 'tanh', 'sigmoid'] as const)
  for (const [shape, out] of [
    [[3, 5], 4],
    [[2, 2, 3], 19],
    [[1], 1],
    [[0, 3], 2],
    [[2, 0], 3],
  ] as const) {
    // biome-ignore format: shapes
    const inputs = shape[shape.length - 1]
    const product = (x: number[], w: number[], b?: number[]): number[] =>
      matMul(x, size(shape.slice(0, -1) as unknown as number[]), inputs, w, out)
        .map((v, i) => v + (b?.[i % out] ?? 0))
        .map(activationOracle[activation])
    cases.push({
      name: `linear [${shape}] to ${out}, ${activation}`,
      shapes: [[...shape], [inputs, out], [out]],
      op: (x, w, b) => linear(x, w as tf.Tensor2D, T1(b), activation),
      oracle: product,
    })
    if (out === 19)
      cases.push({
        name: `linear [${shape}] to ${out}, ${activation}, without bias`,
        shapes: [[...shape], [inputs, out]],
        op: (x, w) => linear(x, w as tf.Tensor2D, undefined, activation),
        oracle: product,
      })
  }

interface AttentionCase {
  sizes: [b: number, h: number, tq: number, tk: number, d: number]
  causal?: boolean
  padding?: number[]
  bias?: [shape: number[], values: number[]]
  allowed?: [shape: number[], values: number[]]
  dropout?: number
}

// Element of a tensor that broadcasts to [B, H, Tq, Tk].
function broadcastAt([shape, values]: [number[], number[]], at: number[]): number {
  let index = 0
  for (const [i, n] of shape.entries()) index = index * n + (n === 1 ? 0 : at[4 - shape.length + i])
  return values[index]
}

function attentionOracle(c: AttentionCase, scale: number, q: number[], k: number[], v: number[]): number[] {
  const [b, h, tq, tk, d] = c.sizes
  const out = new Array<number>(b * h * tq * d).fill(0)
  const drawn = new Random(77)
  const width = Math.ceil(tk / 4) * 4
  for (let n = 0; n < b * h; n++)
    for (let i = 0; i < tq; i++) {
      const factors = Array.from({ length: width }, () =>
        c.dropout && (drawn.bits() >>> 8) * 2 ** -24 < c.dropout ? 0 : 1 / (1 - (c.dropout ?? 0)),
      )
      const scores = Array.from({ length: tk }, (_, j) => {
        let s = 0
        for (let e = 0; e < d; e++) s += q[(n * tq + i) * d + e] * k[(n * tk + j) * d + e]
        const at = [Math.floor(n / h), n % h, i, j]
        const seen =
          (!c.causal || j <= i + tk - tq) &&
          (c.padding === undefined || c.padding[at[0] * tk + j] !== 0) &&
          (c.allowed === undefined || broadcastAt(c.allowed, at) !== 0)
        return seen ? s * scale + (c.bias ? broadcastAt(c.bias, at) : 0) : Number.NEGATIVE_INFINITY
      })
      const top = Math.max(...scores)
      if (top === Number.NEGATIVE_INFINITY) continue
      const weights = scores.map(s => Math.exp(s - top))
      const sum = total(weights)
      for (let j = 0; j < tk; j++)
        for (let e = 0; e < d; e++)
          out[(n * tq + i) * d + e] += ((weights[j] * factors[j]) / sum) * v[(n * tk + j) * d + e]
    }
  return out
}

const bits = (n: number): number[] =>
  Array.from({ length: n }, (_, i) => Number((i * 7 + (i >> 2)) % 3 !== 0))
const ramp = (n: number): number[] => Array.from({ length: n }, (_, i) => Math.sin(i * 1.7))
const attentionCases: [name: string, c: AttentionCase][] = [
  ['plain', { sizes: [2, 2, 3, 5, 4] }],
  ['causal', { sizes: [1, 2, 5, 5, 3], causal: true }],
  ['causal with earlier keys', { sizes: [1, 1, 2, 7, 3], causal: true }],
  ['causal with fewer keys than queries', { sizes: [1, 2, 5, 3, 2], causal: true }],
  ['one query, one key', { sizes: [1, 1, 1, 1, 1] }],
  ['no keys', { sizes: [1, 2, 2, 0, 3] }],
  ['no queries', { sizes: [1, 2, 0, 2, 3] }],
  ['no batch', { sizes: [0, 2, 2, 2, 3] }],
  ['padding', { sizes: [2, 2, 3, 4, 3], padding: [1, 1, 0, 1, 0, 0, 1, 0] }],
  ['padding of everything', { sizes: [2, 1, 2, 3, 2], padding: [1, 0, 1, 0, 0, 0], causal: true }],
  ['bias per head', { sizes: [2, 2, 3, 4, 2], bias: [[2, 1, 4], ramp(8)] }],
  ['bias everywhere', { sizes: [1, 2, 3, 20, 2], bias: [[1, 2, 3, 20], ramp(120)] }],
  ['allowed per query', { sizes: [2, 2, 3, 4, 2], allowed: [[3, 4], bits(12)] }],
  ['allowed per batch', { sizes: [2, 1, 3, 4, 2], allowed: [[2, 1, 3, 1], bits(6)], causal: true }],
  ['dropout', { sizes: [2, 2, 3, 7, 3], dropout: 0.4 }],
  [
    'dropout, causal, padding',
    { sizes: [1, 2, 4, 4, 3], dropout: 0.25, causal: true, padding: [1, 0, 1, 1] },
  ],
]
for (const [name, c] of attentionCases)
  for (const scale of [undefined, 0.9]) {
    const [b, h, tq, tk, d] = c.sizes
    cases.push({
      name: `attention, ${name}, scale ${scale}`,
      shapes: [[b, h, tq, d], [b, h, tk, d], [b, h, tk, d]], // biome-ignore format: shapes
      scale: 2,
      op: (q, k, v) => {
        const masks = [
          c.padding && tf.tensor(c.padding, [b, tk], 'bool'),
          c.bias && tf.tensor(c.bias[1], c.bias[0]),
          c.allowed && tf.tensor(c.allowed[1], c.allowed[0], 'int32'),
        ]
        const mask = masks.find(m => m !== undefined)
        return scaledDotProductAttention(q as tf.Tensor4D, k as tf.Tensor4D, v as tf.Tensor4D, {
          causal: c.causal ?? false,
          ...(mask && { mask }),
          ...(scale && { scale }),
          ...(c.dropout && { dropout: c.dropout, generator: new Random(77) }),
        })
      },
      oracle: (q, k, v) => attentionOracle(c, scale ?? 1 / Math.sqrt(d), q, k, v),
    })
  }

for (const [shape, groups] of [
  [[2, 3, 3, 8], 2],
  [[1, 70, 2, 3], 3],
  [[3, 5, 20], 1],
  [[2, 2, 2, 2], 2],
  [[0, 4, 4], 2],
  [[2, 1, 1, 6], 3],
] as const) {
  // biome-ignore format: shapes
  const channels = shape[shape.length - 1]
  cases.push({
    name: `groupNorm [${shape}] in ${groups}`,
    shapes: [[...shape], [channels], [channels]],
    op: (x, g, b) => groupNorm(x, groups, T1(g), T1(b)),
    oracle: (x, gamma, beta) => {
      const y = x.slice()
      const image = size([...shape.slice(1)])
      for (let n = 0; n < shape[0]; n++)
        for (let g = 0; g < groups; g++) {
          const at = Array.from({ length: image }, (_, i) => n * image + i).filter(
            i => Math.floor((i % channels) / (channels / groups)) === g,
          )
          const mean = total(at.map(i => x[i])) / at.length
          const variance = total(at.map(i => (x[i] - mean) ** 2)) / at.length
          for (const i of at)
            y[i] = ((x[i] - mean) / Math.sqrt(variance + 1e-5)) * gamma[i % channels] + beta[i % channels]
        }
      return y
    },
  })
}
cases.push({
  name: 'groupNorm without parameters',
  shapes: [[2, 3, 4]],
  op: x => groupNorm(x, 4, undefined, undefined, { epsilon: 1e-2 }),
  oracle: x =>
    x.map((v, i) => {
      const own = [0, 1, 2].map(r => x[Math.floor(i / 12) * 12 + r * 4 + (i % 4)])
      const mean = total(own) / 3
      return (v - mean) / Math.sqrt(total(own.map(o => (o - mean) ** 2)) / 3 + 1e-2)
    }),
})

for (const [ids, table] of [
  [
    [2, 3],
    [4, 5],
  ],
  [[7], [3, 17]],
  [[], [2, 3]],
  [[0], [2, 3]],
  [
    [3, 1, 2],
    [5, 1],
  ],
]) {
  // biome-ignore format: shapes
  const numbers = Array.from({ length: size(ids) }, (_, i) => (i * 5 + 1) % table[0])
  cases.push({
    name: `embedding [${ids}] of [${table}]`,
    shapes: [table],
    op: t => embedding(tf.tensor(numbers, ids, 'int32'), t as tf.Tensor2D),
    oracle: t => numbers.flatMap(id => t.slice(id * table[1], (id + 1) * table[1])),
  })
}

for (const [shape, rate] of [[[3, 7], 0.3], [[130], 0.5], [[0, 2], 0.1], [[2, 2], 0], [[5], 1]] as const) // biome-ignore format: shapes
  cases.push({
    name: `dropout [${shape}] at ${rate}`,
    shapes: [[...shape]],
    op: x => dropout(x, rate, { seed: 9 }),
    oracle: x => {
      const drawn = new Random(9)
      return x.map(v => ((drawn.bits() >>> 8) * 2 ** -24 >= rate ? v / (1 - rate) : 0))
    },
  })

interface LstmCase {
  sizes: [batch: number, steps: number, inputs: number, hidden: number]
  both?: boolean
  lengths?: number[]
  state?: boolean
  bias?: boolean
}

// Output, last h and last c of all directions, flat, by the equations.
function lstmOracle(c: LstmCase, values: number[][]): number[] {
  const [batch, steps, inputs, hidden] = c.sizes
  const rest = values.slice()
  const x = rest.shift() as number[]
  const directions = c.both ? 2 : 1
  const width = directions * hidden
  const output = new Array<number>(batch * steps * width).fill(0)
  const weights = Array.from({ length: directions }, () => ({
    kernel: rest.shift() as number[],
    recurrent: rest.shift() as number[],
    bias: c.bias ? (rest.shift() as number[]) : new Array<number>(4 * hidden).fill(0),
  }))
  const zeros = new Array<number>(directions * batch * hidden).fill(0)
  const h = (c.state ? rest[0] : zeros).slice()
  const cell = (c.state ? rest[1] : zeros).slice()
  for (let d = 0; d < directions; d++)
    for (let n = 0; n < batch; n++) {
      const length = c.lengths?.[n] ?? steps
      const at = (d * batch + n) * hidden
      for (let s = 0; s < length; s++) {
        const t = d === 1 ? length - 1 - s : s
        const { kernel, recurrent, bias } = weights[d]
        const z = bias.map((b, j) => {
          let sum = b
          for (let i = 0; i < inputs; i++) sum += x[(n * steps + t) * inputs + i] * kernel[i * 4 * hidden + j]
          for (let k = 0; k < hidden; k++) sum += h[at + k] * recurrent[k * 4 * hidden + j]
          return sum
        })
        for (let k = 0; k < hidden; k++) {
          const [i, f, g, o] = [0, 1, 2, 3].map(gate => z[gate * hidden + k])
          cell[at + k] = sigmoid(f) * cell[at + k] + sigmoid(i) * Math.tanh(g)
          h[at + k] = sigmoid(o) * Math.tanh(cell[at + k])
          output[(n * steps + t) * width + d * hidden + k] = h[at + k]
        }
      }
    }
  return [...output, ...h, ...cell]
}

const lstmCases: [name: string, c: LstmCase][] = [
  ['plain', { sizes: [2, 3, 4, 3], bias: true }],
  ['one of everything', { sizes: [1, 1, 1, 1] }],
  ['more rows than a tile', { sizes: [14, 2, 1, 2], bias: true }],
  ['more units than a vector', { sizes: [1, 2, 1, 19] }],
  ['initial state', { sizes: [2, 3, 2, 3], state: true }],
  ['lengths', { sizes: [4, 3, 2, 3], lengths: [3, 0, 1, 2], state: true, bias: true }],
  ['both directions', { sizes: [2, 3, 2, 3], both: true, bias: true }],
  ['both, lengths, state', { sizes: [3, 4, 2, 2], both: true, lengths: [2, 4, 1], state: true, bias: true }],
  ['no steps', { sizes: [2, 0, 3, 2], state: true }],
  ['no rows', { sizes: [0, 2, 3, 2] }],
  ['no inputs', { sizes: [2, 2, 0, 2], bias: true }],
]
for (const [name, c] of lstmCases) {
  const [batch, steps, inputs, hidden] = c.sizes
  const directions = c.both ? 2 : 1
  const perDirection = [[inputs, 4 * hidden], [hidden, 4 * hidden], ...(c.bias ? [[4 * hidden]] : [])] // biome-ignore format: shapes
  const state = [directions, batch, hidden]
  cases.push({
    name: `lstm, ${name}`,
    shapes: [
      [batch, steps, inputs],
      ...Array.from({ length: directions }, () => perDirection).flat(),
      ...(c.state ? [state, state] : []),
    ],
    op: (...all) => {
      const rest = all.slice(1)
      const weights = Array.from({ length: directions }, () => ({
        kernel: rest.shift() as tf.Tensor2D,
        recurrentKernel: rest.shift() as tf.Tensor2D,
        bias: c.bias ? (rest.shift() as tf.Tensor1D) : undefined,
      }))
      const [h, cell] = rest as tf.Tensor3D[]
      return tf.tidy(() => {
        const result = lstm(all[0] as tf.Tensor3D, c.both ? [weights[0], weights[1]] : weights[0], {
          ...(c.lengths && { lengths: c.lengths }),
          ...(c.state && { initialState: { h, c: cell } }),
        })
        return tf.concat([result.output, result.h, result.c].map(t => tf.reshape(t, [t.size])))
      })
    },
    oracle: (...values) => lstmOracle(c, values),
  })
}

export { cases }
