import {
  adamStep,
  batchNormInfer,
  batchNormTrain,
  conv2d,
  conv2dTranspose,
  detach,
  globalNorm,
  tf,
} from '@vq/core'
import { expect, test } from 'vitest'
import { backends, use } from '../../../test/contract/backends.js'

// Fused ops: values, and gradients by central differences in float64 of the same formula, on both backends.

let state = 7
const noise = (n: number): number[] =>
  Array.from({ length: n }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state / 2 ** 31 - 1
  })

interface Case {
  name: string
  shapes: number[][]
  op: (...x: tf.Tensor[]) => tf.Tensor
  oracle: (...x: number[][]) => number[]
}

/** Plain-loop convolution in float64. x [B,H,W,I], w [kh,kw,I,O], b [O]. */
function conv(
  x: number[],
  [B, H, W, I]: number[],
  w: number[],
  [kh, kw, , O]: number[],
  b: number[],
  stride: number,
  pad: number,
): number[] {
  const oh = Math.floor((H + 2 * pad - kh) / stride) + 1
  const ow = Math.floor((W + 2 * pad - kw) / stride) + 1
  const y: number[] = []
  for (let n = 0; n < B; n++)
    for (let r = 0; r < oh; r++)
      for (let c = 0; c < ow; c++)
        for (let o = 0; o < O; o++) {
          let s = b[o]
          for (let i = 0; i < kh; i++)
            for (let j = 0; j < kw; j++) {
              const [u, v] = [r * stride + i - pad, c * stride + j - pad]
              if (u < 0 || v < 0 || u >= H || v >= W) continue
              for (let k = 0; k < I; k++)
                s += x[((n * H + u) * W + v) * I + k] * w[((i * kw + j) * I + k) * O + o]
            }
          y.push(s)
        }
  return y
}

/** Plain-loop transposed convolution in float64. x [B,H,W,I], w [kh,kw,O,I], b [O]. */
function convTranspose(
  x: number[],
  [B, H, W, I]: number[],
  w: number[],
  [kh, kw, O]: number[],
  b: number[],
  stride: number,
  pad: number,
): number[] {
  const [oh, ow] = [(H - 1) * stride - 2 * pad + kh, (W - 1) * stride - 2 * pad + kw]
  const y = Array.from({ length: B * oh * ow * O }, (_, i) => b[i % O])
  for (let n = 0; n < B; n++)
    for (let r = 0; r < H; r++)
      for (let c = 0; c < W; c++)
        for (let i = 0; i < kh; i++)
          for (let j = 0; j < kw; j++) {
            const [u, v] = [r * stride + i - pad, c * stride + j - pad]
            if (u < 0 || v < 0 || u >= oh || v >= ow) continue
            for (let o = 0; o < O; o++)
              for (let k = 0; k < I; k++)
                y[((n * oh + u) * ow + v) * O + o] +=
                  x[((n * H + r) * W + c) * I + k] * w[((i * kw + j) * O + o) * I + k]
          }
  return y
}

function batchNorm(x: number[], gamma: number[], beta: number[], relu: boolean): number[] {
  const c = gamma.length
  const n = x.length / c
  const mean = gamma.map((_, k) => x.reduce((s, v, i) => (i % c === k ? s + v : s), 0) / n)
  const variance = gamma.map(
    (_, k) => x.reduce((s, v, i) => (i % c === k ? s + (v - mean[k]) ** 2 : s), 0) / n,
  )
  return x.map((v, i) => {
    const y = ((v - mean[i % c]) / Math.sqrt(variance[i % c] + 1e-5)) * gamma[i % c] + beta[i % c]
    return relu ? Math.max(0, y) : y
  })
}

const cases: Case[] = []
for (const [stride, padding, size, kernel] of [
  [1, 1, 5, 3],
  [2, 1, 6, 4],
  [1, 0, 4, 1],
  [3, 2, 7, 5],
] as const) {
  const [xs, ws, ts] = [[2, size, size, 3], [kernel, kernel, 3, 4], [kernel, kernel, 4, 3]] // biome-ignore format: shapes
  cases.push({
    name: `conv2d ${kernel}/${stride}/${padding}`,
    shapes: [xs, ws, [4]],
    op: (x, w, b) => conv2d(x as tf.Tensor4D, w as tf.Tensor4D, b as tf.Tensor1D, { stride, padding }),
    oracle: (x, w, b) => conv(x, xs, w, ws, b, stride, padding),
  })
  cases.push({
    name: `conv2dTranspose ${kernel}/${stride}/${padding}`,
    shapes: [xs, ts, [4]],
    op: (x, w, b) =>
      conv2dTranspose(x as tf.Tensor4D, w as tf.Tensor4D, b as tf.Tensor1D, { stride, padding }),
    oracle: (x, w, b) => convTranspose(x, xs, w, ts, b, stride, padding),
  })
}
for (const relu of [false, true])
  for (const shape of [[9, 5], [2, 3, 4, 17], [130, 3]]) // biome-ignore format: shapes
    cases.push({
      name: `batchNormTrain [${shape}] relu ${relu}`,
      shapes: [shape, [shape[shape.length - 1]], [shape[shape.length - 1]]],
      op: (x, g, b) => batchNormTrain(x, g as tf.Tensor1D, b as tf.Tensor1D, { relu }).output,
      oracle: (x, g, b) => batchNorm(x, g, b, relu),
    })
for (const relu of [false, true])
  cases.push({
    name: `batchNormInfer relu ${relu}`,
    shapes: [[7, 3], [3], [3]],
    op: (x, g, b) =>
      batchNormInfer(
        x,
        g as tf.Tensor1D,
        b as tf.Tensor1D,
        tf.tensor1d([0.1, 0.2, 0.3]),
        tf.tensor1d([1, 2, 3]),
        { relu },
      ),
    oracle: (x, g, b) =>
      x.map((v, i) => {
        const y = ((v - [0.1, 0.2, 0.3][i % 3]) / Math.sqrt([1, 2, 3][i % 3] + 1e-5)) * g[i % 3] + b[i % 3]
        return relu ? Math.max(0, y) : y
      }),
  })

for (const relu of [false, true]) {
  const [mean, variance] = [[0.1, 0.2, 0.3], [1, 2, 3]] // biome-ignore format: statistics
  cases.push(
    {
      name: `batchNormTrain and something added, relu ${relu}`,
      shapes: [[2, 3, 4, 17], [17], [17], [2, 3, 4, 17]], // biome-ignore format: shapes
      op: (x, g, b, added) => batchNormTrain(x, g as tf.Tensor1D, b as tf.Tensor1D, { relu, added }).output,
      oracle: (x, g, b, added) => {
        const y = batchNorm(x, g, b, false).map((v, i) => v + added[i])
        return relu ? y.map(v => Math.max(0, v)) : y
      },
    },
    {
      name: `batchNormInfer and something added, relu ${relu}`,
      shapes: [[7, 3], [3], [3], [7, 3]], // biome-ignore format: shapes
      op: (x, g, b, added) =>
        batchNormInfer(x, g as tf.Tensor1D, b as tf.Tensor1D, tf.tensor1d(mean), tf.tensor1d(variance), {
          relu,
          added,
        }),
      oracle: (x, g, b, added) =>
        x.map((v, i) => {
          const c = i % 3
          const y = ((v - mean[c]) / Math.sqrt(variance[c] + 1e-5)) * g[c] + b[c] + added[i]
          return relu ? Math.max(0, y) : y
        }),
    },
  )
}

function close(actual: ArrayLike<number>, expected: number[], tolerance: number): void {
  expect(actual.length).toBe(expected.length)
  const scale = Math.max(
    1e-3,
    Math.sqrt(expected.reduce((s, v) => s + v * v, 0) / Math.max(1, expected.length)),
  )
  for (let i = 0; i < expected.length; i++)
    if (!(Math.abs(actual[i] - expected[i]) <= tolerance * scale))
      expect(actual[i], `element ${i}`).toBe(expected[i])
}

for (const backend of backends)
  test.each(cases)(`$name: values and gradients on ${backend}`, async ({ shapes, op, oracle }) => {
    await use(backend)
    const data = shapes.map(s => noise(s.reduce((a, b) => a * b, 1)).map(v => Math.fround(v)))
    const y = oracle(...data)
    const weights = noise(y.length).map(v => Math.fround(v))
    const loss = (values: number[][]): number => oracle(...values).reduce((s, v, i) => s + v * weights[i], 0)
    const expected = data.map((d, k) =>
      d.map((_, i) => {
        const at = (delta: number): number =>
          loss(data.map((v, j) => (j === k ? v.map((w, l) => (l === i ? w + delta : w)) : v)))
        return (at(1e-5) - at(-1e-5)) / 2e-5
      }),
    )
    tf.tidy(() => {
      const tensors = data.map((d, i) => tf.tensor(d, shapes[i]))
      close(op(...tensors).dataSync(), y, 2e-5)
      const grads = tf.grads((...x: tf.Tensor[]) => {
        const out = op(...x)
        return tf.sum(tf.mul(out, tf.tensor(weights, out.shape)))
      })(tensors)
      for (const [i, g] of grads.entries()) {
        expect(g.shape).toEqual(shapes[i])
        close(g.dataSync(), expected[i], 2e-4)
      }
    })
  })

/** Gradient of Σ dy·conv(x, w) by x in float64. dy [B,oh,ow,O], w [kh,kw,I,O], the image's shape. */
function inputGradient(
  dy: number[],
  [B, oh, ow, O]: number[],
  w: number[],
  [kh, kw, I]: number[],
  [, H, W]: number[],
  stride: number,
  pad: number,
): number[] {
  const dx = new Array<number>(B * H * W * I).fill(0)
  for (let n = 0; n < B; n++)
    for (let r = 0; r < oh; r++)
      for (let c = 0; c < ow; c++)
        for (let i = 0; i < kh; i++)
          for (let j = 0; j < kw; j++) {
            const [u, v] = [r * stride + i - pad, c * stride + j - pad]
            if (u < 0 || v < 0 || u >= H || v >= W) continue
            for (let k = 0; k < I; k++)
              for (let o = 0; o < O; o++)
                dx[((n * H + u) * W + v) * I + k] +=
                  dy[((n * oh + r) * ow + c) * O + o] * w[((i * kw + j) * I + k) * O + o]
          }
  return dx
}

/** Gradient of Σ dy·conv(x, w) by w in float64. x [B,H,W,I], dy [B,oh,ow,O]. */
function filterGradient(
  x: number[],
  [B, H, W, I]: number[],
  dy: number[],
  [, oh, ow, O]: number[],
  kernel: number,
  stride: number,
  pad: number,
): number[] {
  const dw = new Array<number>(kernel * kernel * I * O).fill(0)
  for (let n = 0; n < B; n++)
    for (let r = 0; r < oh; r++)
      for (let c = 0; c < ow; c++)
        for (let i = 0; i < kernel; i++)
          for (let j = 0; j < kernel; j++) {
            const [u, v] = [r * stride + i - pad, c * stride + j - pad]
            if (u < 0 || v < 0 || u >= H || v >= W) continue
            for (let k = 0; k < I; k++)
              for (let o = 0; o < O; o++)
                dw[((i * kernel + j) * I + k) * O + o] +=
                  x[((n * H + u) * W + v) * I + k] * dy[((n * oh + r) * ow + c) * O + o]
          }
  return dw
}

// Channel counts that reach our own kernel, with tails in both; several images a pass; images wider than a pass.
test.each([
  [1, 1, [9, 4, 4, 17], 19, 3],
  [2, 1, [3, 10, 10, 16], 64, 4],
  [1, 0, [5, 3, 3, 40], 33, 1],
  [3, 2, [2, 14, 7, 31], 70, 5],
  [1, 1, [1, 3, 150, 16], 16, 3],
  [2, 0, [2, 9, 9, 18], 20, 1],
])(
  'filter gradients of wide layers, stride %i padding %i image %j to %i by %i',
  async (stride, padding, shape, out, kernel) => {
    await tf.setBackend('vq-cpu')
    tf.tidy(() => {
      const data = noise(shape.reduce((a, b) => a * b, 1)).map(Math.fround)
      const x = tf.tensor4d(data, shape as [number, number, number, number])
      const w = tf.tensor4d(noise(kernel * kernel * shape[3] * out), [kernel, kernel, shape[3], out])
      const y = conv2d(x, w, undefined, { stride, padding })
      const weights = noise(y.size).map(Math.fround)
      const dw = tf.grad(w =>
        tf.sum(
          tf.mul(conv2d(x, w as tf.Tensor4D, undefined, { stride, padding }), tf.tensor(weights, y.shape)),
        ),
      )(w)
      close(dw.dataSync(), filterGradient(data, shape, weights, y.shape, kernel, stride, padding), 1e-5)
    })
  },
)

// Shapes that the native core computes by Winograd's algorithm: whole tiles, cut tiles, every padding, odd images. Its
// largest errors are some ten times a direct sum's.
test.each([
  [3, 1, 1, [16, 8, 8, 32], 48],
  [3, 1, 1, [23, 7, 6, 48], 32],
  [3, 1, 0, [12, 9, 13, 32], 32],
  [3, 1, 2, [9, 10, 10, 32], 64],
  [4, 2, 1, [16, 16, 16, 32], 32],
  [4, 2, 0, [21, 14, 17, 32], 48],
  [4, 2, 2, [18, 13, 14, 48], 32],
  [4, 2, 3, [17, 11, 12, 32], 32],
])(
  'layers with filters of edge %i, stride %i, padding %i, image %j to %i',
  async (kernel, stride, padding, shape, out) => {
    await tf.setBackend('vq-cpu')
    tf.tidy(() => {
      const data = noise(shape.reduce((a, b) => a * b, 1)).map(Math.fround)
      const filter = noise(kernel * kernel * shape[3] * out).map(Math.fround)
      const bias = noise(out).map(Math.fround)
      const x = tf.tensor4d(data, shape as [number, number, number, number])
      const w = tf.tensor4d(filter, [kernel, kernel, shape[3], out])
      const layer = (x: tf.Tensor, w: tf.Tensor) =>
        conv2d(x as tf.Tensor4D, w as tf.Tensor4D, tf.tensor1d(bias), { stride, padding })
      const y = layer(x, w)
      close(y.dataSync(), conv(data, shape, filter, w.shape, bias, stride, padding), 5e-5)
      const weights = noise(y.size).map(Math.fround)
      const [dx, dw] = tf.grads((x, w) => tf.sum(tf.mul(layer(x, w), tf.tensor(weights, y.shape))))([x, w])
      close(dw.dataSync(), filterGradient(data, shape, weights, y.shape, kernel, stride, padding), 5e-5)
      close(dx.dataSync(), inputGradient(weights, y.shape, filter, w.shape, shape, stride, padding), 5e-5)
    })
  },
)

test.each(backends)(
  'batch statistics are the mean and biased variance, far from zero too, on %s',
  async backend => {
    await use(backend)
    tf.tidy(() => {
      const x = tf.tensor2d([[1000, 1], [1001, 2], [1002, 6]]) // biome-ignore format: a matrix
      const { mean, variance } = batchNormTrain(x, tf.ones([2]), tf.zeros([2]))
      close(mean.dataSync(), [1001, 3], 1e-6)
      close(variance.dataSync(), [2 / 3, 14 / 3], 1e-4)
    })
  },
)

test.each(backends)('adamStep follows the formula, coupled and decoupled decay, on %s', async backend => {
  await use(backend)
  for (const decoupled of [false, true]) {
    const shapes = [[3, 4], [], [70]] // biome-ignore format: shapes
    const p0 = shapes.map(s => noise(s.reduce((a, b) => a * b, 1)))
    const p = p0.map((d, i) => tf.variable(tf.tensor(d, shapes[i])))
    const zeros = () => shapes.map(s => tf.variable(tf.zeros(s)))
    const adam = { m: zeros(), v: zeros() }
    const clone = tf.clone(p[0])
    const expected = p0.map(d => d.slice())
    const [m, v] = [p0.map(d => d.map(() => 0)), p0.map(d => d.map(() => 0))]
    for (let step = 1; step <= 5; step++) {
      const g0 = shapes.map(s => noise(s.reduce((a, b) => a * b, 1)))
      const g = g0.map((d, i) => tf.tensor(d, shapes[i]))
      adamStep(p, [g[0], g[1], step === 3 ? null : g[2]], adam, {
        learningRate: 0.01,
        step,
        weightDecay: 0.1,
        decoupled,
        gradientScale: 0.5,
      })
      for (const [i, values] of expected.entries()) {
        if (step === 3 && i === 2) continue
        for (const [j, value] of values.entries()) {
          const grad = 0.5 * g0[i][j] + (decoupled ? 0 : 0.1 * value)
          m[i][j] = 0.9 * m[i][j] + 0.1 * grad
          v[i][j] = 0.999 * v[i][j] + 0.001 * grad * grad
          const [mh, vh] = [m[i][j] / (1 - 0.9 ** step), v[i][j] / (1 - 0.999 ** step)]
          values[j] = (decoupled ? value * (1 - 0.01 * 0.1) : value) - (0.01 * mh) / (Math.sqrt(vh) + 1e-8)
        }
      }
      tf.dispose(g)
    }
    for (const [i, values] of expected.entries()) close(p[i].dataSync(), values, 2e-5)
    close(clone.dataSync(), p0[0], 1e-6) // a clone made before the steps keeps the old values
    tf.dispose([...p, ...adam.m, ...adam.v, clone])
  }
})

test.each(backends)('globalNorm is the root of all squares on %s', async backend => {
  await use(backend)
  tf.tidy(() => {
    const data = [noise(40000), noise(3)]
    const expected = Math.sqrt(data.flat().reduce((s, v) => s + v * v, 0))
    expect(globalNorm([...data.map(d => tf.tensor(d)), null])).toBeCloseTo(expected, 4)
  })
})

test.each(backends)('detach shares the data and cuts the gradient on %s', async backend => {
  await use(backend)
  const x = tf.tensor1d([1, 2, 3])
  const buffers = tf.memory().numDataBuffers
  const d = detach(x)
  expect(tf.memory().numDataBuffers).toBe(buffers)
  const g = tf.grad(x => tf.sum(tf.mul(x, detach(x))))(x)
  expect(Array.from(g.dataSync())).toEqual([1, 2, 3])
  tf.dispose([x, d, g])
})

test('a wrong shape is named before anything runs', async () => {
  await tf.setBackend('vq-cpu')
  const [x, w] = [tf.zeros([1, 4, 4, 3]), tf.zeros([3, 3, 2, 5])] as [tf.Tensor4D, tf.Tensor4D]
  expect(() => conv2d(x, w)).toThrow(
    /conv2d: expected x \[B, H, W, I\].*received x \[1,4,4,3\], filter \[3,3,2,5\]/,
  )
  expect(() => batchNormTrain(x, tf.ones([2]), tf.ones([3]))).toThrow(
    /batchNormTrain.*parameters \[2\], \[3\]/,
  )
})
