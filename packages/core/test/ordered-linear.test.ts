import { orderedLinear, tf, VqShapeError } from '@vq/core'
import { afterEach, expect, test } from 'vitest'
import { backends, use } from '../../../test/contract/backends.js'
import { draw } from './draw.js'

afterEach(async () => {
  await tf.setBackend('vq-cpu')
})

const [n, inputs, outputs] = [37, 900, 21]
const x = draw(n * inputs, 1)
const w = draw(inputs * outputs, 2)
const b = draw(outputs, 3)

test('a row gives the same bits alone and among others, on every backend', async () => {
  let first: ArrayLike<number> | undefined
  for (const backend of backends) {
    await use(backend)
    const [rows, weight, bias] = [
      tf.tensor(x, [1, n, inputs]),
      tf.tensor2d(w, [inputs, outputs]),
      tf.tensor1d(b),
    ]
    const all = orderedLinear(rows, weight, bias)
    expect(all.shape).toEqual([1, n, outputs])
    const values = Array.from(all.dataSync())
    const alone = Array.from({ length: n }, (_, i) =>
      Array.from(orderedLinear(tf.tensor1d(x.slice(i * inputs, (i + 1) * inputs)), weight, bias).dataSync()),
    )
    expect(alone.flat()).toEqual(values)
    first ??= values
    expect(values).toEqual(first)
    for (let i = 0; i < n; i++)
      for (let o = 0; o < outputs; o++) {
        let sum = b[o]
        for (let d = 0; d < inputs; d++) sum += x[i * inputs + d] * w[d * outputs + o]
        expect(Math.abs(values[i * outputs + o] - sum)).toBeLessThan(1e-4)
      }
  }
})

test('gradients are those of a linear layer', async () => {
  const small = draw(5 * 4, 4)
  const weights = draw(4 * 3, 5)
  const up = draw(5 * 3, 6)
  for (const backend of backends) {
    await use(backend)
    const [dx, dw, db] = tf.grads((a: tf.Tensor, c: tf.Tensor, d: tf.Tensor) =>
      tf.sum(tf.mul(orderedLinear(a, c as tf.Tensor2D, d as tf.Tensor1D), tf.tensor2d(up, [5, 3]))),
    )([tf.tensor2d(small, [5, 4]), tf.tensor2d(weights, [4, 3]), tf.zeros([3])])
    const close = (found: tf.Tensor, want: (i: number, j: number) => number, width: number): void =>
      found.dataSync().forEach((v, at) => {
        expect(v).toBeCloseTo(want(Math.floor(at / width), at % width), 5)
      })
    const sum = (length: number, f: (i: number) => number): number =>
      Array.from({ length }, (_, i) => f(i)).reduce((a, c) => a + c, 0)
    close(dx, (i, d) => sum(3, o => up[i * 3 + o] * weights[d * 3 + o]), 4)
    close(dw, (d, o) => sum(5, i => small[i * 4 + d] * up[i * 3 + o]), 3)
    close(db, (_, o) => sum(5, i => up[i * 3 + o]), 3)
  }
})

test('sizes that do not fit are typed errors', () => {
  expect(() => orderedLinear(tf.zeros([2, 3]), tf.zeros([4, 2]))).toThrow(VqShapeError)
  expect(() => orderedLinear(tf.zeros([2, 3]), tf.zeros([3, 2]), tf.zeros([3]))).toThrow(VqShapeError)
  expect(() => orderedLinear(tf.zeros([2, 3], 'int32'), tf.zeros([3, 2]))).toThrow('float32')
})
