import { tf } from '@vq/core'
import { expect, test } from 'vitest'
import { backends, use } from '../../../test/contract/backends.js'
import { drawn } from './agreement.js'

// Gradients that tfjs lacks, by central differences of the plain backend's forward op; on vq-cpu and composed on cpu.

interface Case {
  name: string
  shapes: number[][]
  op: (...x: tf.Tensor[]) => tf.Tensor
  /** What the backend `tensorflow` says it lacks. */
  notOnTensorflow?: string | undefined
}
type T4 = tf.Tensor4D
type T5 = tf.Tensor5D
const cases: Case[] = []
for (const [rate, pad] of [
  [2, 'same'],
  [2, 'valid'],
  [3, 1],
  [[1, 2], 'valid'],
] as [number | [number, number], 'same'][]) {
  cases.push({
    name: `conv2d, dilations ${rate}, padding ${pad}`,
    shapes: [
      [2, 7, 8, 2],
      [3, 2, 2, 3],
    ],
    op: (x, w) => tf.conv2d(x as T4, w as T4, 1, pad, 'NHWC', rate),
    notOnTensorflow: typeof pad === 'number' ? 'padding in numbers' : undefined,
  })
  cases.push({
    name: `depthwiseConv2d, dilations ${rate}, padding ${pad}`,
    shapes: [
      [2, 7, 8, 3],
      [3, 2, 3, 2],
    ],
    op: (x, w) => tf.depthwiseConv2d(x as T4, w as T4, 1, pad, 'NHWC', rate),
    notOnTensorflow: typeof pad === 'number' ? 'padding in numbers' : undefined,
  })
}
for (const pad of ['same', 'valid'] as const)
  cases.push({
    name: `conv3d, dilations 2, padding ${pad}`,
    shapes: [
      [1, 4, 5, 4, 2],
      [2, 2, 2, 2, 2],
    ],
    op: (x, w) => tf.conv3d(x as T5, w as T5, 1, pad, 'NDHWC', [2, 2, 2]),
    notOnTensorflow: 'dilated volumes',
  })
for (const [stride, pad] of [
  [1, 'same'],
  [2, 'same'],
  [2, 'valid'],
] as [number, 'same' | 'valid'][]) {
  const size = pad === 'same' ? 3 * stride : 2 * stride + 2
  cases.push({
    name: `conv3dTranspose, stride ${stride}, padding ${pad}`,
    shapes: [
      [2, 3, 3, 3, 2],
      [2, 2, 2, 3, 2],
    ],
    op: (x, w) => tf.conv3dTranspose(x as T5, w as T5, [2, size, size, size, 3], stride, pad),
  })
  cases.push({
    name: `conv2dTranspose, stride ${stride}, padding ${pad}`,
    shapes: [
      [2, 3, 3, 2],
      [2, 2, 3, 2],
    ],
    op: (x, w) => tf.conv2dTranspose(x as T4, w as T4, [2, size, size, 3], stride, pad),
  })
}
cases.push({
  name: 'conv2d, NCHW',
  shapes: [
    [2, 2, 5, 6],
    [3, 2, 2, 3],
  ],
  op: (x, w) => tf.conv2d(x as T4, w as T4, 2, 'same', 'NCHW'),
  notOnTensorflow: 'channels first on a processor',
})
cases.push({
  name: 'conv2d, rounding up',
  shapes: [
    [1, 6, 6, 2],
    [3, 3, 2, 2],
  ],
  op: (x, w) => tf.conv2d(x as T4, w as T4, 2, 0, 'NHWC', 1, 'ceil'),
  notOnTensorflow: 'rounding up',
})

for (const backend of backends)
  test.each(cases.filter(c => backend !== 'tensorflow' || c.notOnTensorflow === undefined))(
    `$name: gradients on ${backend}`,
    async ({ shapes, op }) => {
      const values = shapes.map((s, i) => drawn(s, i + 3))
      // The forward op is linear in each argument, so a difference over 1 is exact but for rounding.
      const loss = (data: number[][], weights: Float32Array): number =>
        tf.tidy(() => {
          const y = op(...data.map((d, i) => tf.tensor(d, shapes[i]))).dataSync() as Float32Array
          return y.reduce((s, v, i) => s + v * weights[i], 0)
        })
      tf.setBackend('cpu')
      const y = tf.tidy(() => op(...values.map(v => tf.tensor(v.data, v.shape))).shape)
      const weights = Float32Array.from(drawn(y, 9).data)
      const expected = values.map((v, k) =>
        v.data.map((_, i) => {
          const at = (delta: number): number =>
            loss(
              values.map((u, j) => (j === k ? u.data.map((w, l) => (l === i ? w + delta : w)) : u.data)),
              weights,
            )
          return (at(1) - at(-1)) / 2
        }),
      )
      await use(backend)
      tf.tidy(() => {
        const tensors = values.map(v => tf.tensor(v.data, v.shape))
        const grads = tf.grads((...x: tf.Tensor[]) => op(...x))(tensors, tf.tensor(weights, y))
        for (const [k, g] of grads.entries()) {
          expect(g.shape).toEqual(shapes[k])
          const got = g.dataSync()
          for (const [i, e] of expected[k].entries())
            if (!(Math.abs(got[i] - e) < 2e-4 * Math.max(1, Math.abs(e))))
              expect(got[i], `input ${k}, element ${i}`).toBe(e)
        }
      })
    },
  )

test('gradients of gradients pass through transposed convolution', async () => {
  for (const backend of backends) {
    await use(backend)
    tf.tidy(() => {
      const x = tf.tensor(drawn([1, 4, 4, 4, 1], 1).data, [1, 4, 4, 4, 1]) as T5
      const w = tf.tensor(drawn([2, 2, 2, 1, 1], 2).data, [2, 2, 2, 1, 1]) as T5
      const inner = (dy: tf.Tensor): tf.Tensor => tf.grad(x => tf.conv3d(x as T5, w, 1, 'valid'))(x, dy)
      const dy = tf.ones([1, 3, 3, 3, 1])
      // ⟨v, Wᵀ·dy⟩ differentiated by dy is W·v: the forward convolution of v.
      const v = tf.tensor(drawn([1, 4, 4, 4, 1], 3).data, [1, 4, 4, 4, 1]) as T5
      const got = tf
        .grad(dy => inner(dy))(dy, v)
        .dataSync()
      const expected = tf.conv3d(v, w, 1, 'valid').dataSync()
      for (const [i, e] of expected.entries()) expect(got[i]).toBeCloseTo(e, 4)
    })
  }
})
