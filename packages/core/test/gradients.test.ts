import { tf } from '@vq/core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { backends, use } from '../../../test/contract/backends.js'
import { draw } from './draw.js'

// Gradients that tfjs lacks, by central differences. Each op is linear in every single element, at least within the
// step, so that the differences are exact but for rounding, and a large step keeps that small.
type T = tf.Tensor
interface Case {
  name: string
  shapes: number[][]
  op: (...x: T[]) => T
  /** Values in place of drawn ones. */
  values?: number[][]
  /** What a backend of tfjs lacks or gets wrong. */
  notOn?: Record<string, string>
}

const step = 0.125
const cases: Case[] = [
  { name: 'einsum ij,jk->ik', shapes: [[3, 5], [5, 2]], op: (a, b) => tf.einsum('ij,jk->ik', a, b) },
  { name: 'einsum bij,bkj->bik', shapes: [[2, 3, 5], [2, 4, 5]], op: (a, b) => tf.einsum('bij,bkj->bik', a, b) },
  { name: 'einsum with an axis summed alone', shapes: [[3, 5], [5, 2]], op: (a, b) => tf.einsum('ij,jk->k', a, b), notOn: { cpu: 'it keeps an axis that stands in the first term alone' } },
  { name: 'einsum of one', shapes: [[3, 2, 4]], op: a => tf.einsum('ijk->ki', a) },
  { name: 'einsum to a scalar', shapes: [[7], [7]], op: (a, b) => tf.einsum('i,i->', a, b) },
  { name: 'einsum outer', shapes: [[3], [1]], op: (a, b) => tf.einsum('i,j->ji', a, b) },
  { name: 'einsum bhqd,bhkd->bhqk', shapes: [[2, 1, 3, 4], [2, 1, 5, 4]], op: (a, b) => tf.einsum('bhqd,bhkd->bhqk', a, b) },
  { name: 'stridedSlice', shapes: [[7, 5]], op: x => tf.stridedSlice(x, [1, 0], [7, 5], [2, 3]) },
  { name: 'stridedSlice backwards', shapes: [[7, 5]], op: x => tf.stridedSlice(x, [6, 3], [0, 0], [-2, -1]) },
  { name: 'stridedSlice of one element', shapes: [[4, 3]], op: x => tf.stridedSlice(x, [2, 0], [3, 3], [1, 1], 0, 0, 0, 0, 1) },
  { name: 'stridedSlice with masks', shapes: [[3, 5, 2]], op: x => tf.stridedSlice(x, [0, 1, 0], [0, 4, 0], [1, 2, 1], 5, 5) },
  { name: 'stridedSlice of nothing', shapes: [[3, 5]], op: x => tf.stridedSlice(x, [2, 0], [2, 5], [1, 1]) },
  { name: 'topk', shapes: [[2, 6]], op: x => tf.topk(x, 3).values, values: [[4, -1, 2, 9, 0, 7, 1, 8, -3, 5, 6, 3]] },
  { name: 'topk of a vector', shapes: [[5]], op: x => tf.topk(x, 1).values, values: [[1, 5, -2, 3, 0]] },
  { name: 'depthToSpace', shapes: [[2, 3, 1, 12]], op: x => tf.depthToSpace(x as tf.Tensor4D, 2) },
  { name: 'depthToSpace NCHW', shapes: [[2, 18, 1, 2]], op: x => tf.depthToSpace(x as tf.Tensor4D, 3, 'NCHW'), notOn: { cpu: 'NHWC alone', tensorflow: 'NHWC alone' } },
  { name: 'gatherND of rows', shapes: [[4, 3]], op: x => tf.gatherND(x, tf.tensor2d([[2], [0], [2]], [3, 1], 'int32')) },
  { name: 'gatherND of elements', shapes: [[4, 3, 2]], op: x => tf.gatherND(x, tf.tensor2d([[3, 2, 1], [0, 0, 0]], [2, 3], 'int32')) },
  { name: 'gather', shapes: [[3, 5, 2]], op: x => tf.gather(x, tf.tensor2d([[4, 0], [4, 1]], [2, 2], 'int32'), 1) },
  { name: 'gather with a batch axis', shapes: [[3, 4, 2]], op: x => tf.gather(x, tf.tensor2d([[3, 0], [1, 1], [2, 0]], [3, 2], 'int32'), 1, 1) },
  { name: 'gather with a batch axis, farther', shapes: [[2, 3, 4]], op: x => tf.gather(x, tf.tensor2d([[3, 0], [1, 1]], [2, 2], 'int32'), 2, 1) },
  { name: 'cumsum', shapes: [[3, 5]], op: x => tf.cumsum(x, 1) },
  { name: 'cumsum exclusive, reverse', shapes: [[5, 3]], op: x => tf.cumsum(x, 0, true, true) },
  ...[false, true].flatMap(exclusive => [false, true].flatMap(reverse => [
    { name: `cumprod ${exclusive} ${reverse}`, shapes: [[3, 5]], op: (x: T) => tf.cumprod(x, 1, exclusive, reverse) },
    {
      name: `cumprod ${exclusive} ${reverse} with zeros`, shapes: [[3, 5]], op: (x: T) => tf.cumprod(x, 1, exclusive, reverse),
      values: [[0, 2, -1, 3, 0.5, 1, 2, 0, 3, 1.5, 2, 0, 1, 0, -2]],
    },
  ])),
  { name: 'where by a comparison', shapes: [[6]], op: x => tf.where(tf.greater(x, 0), tf.mul(x, 3), tf.neg(x)), values: [[1, -1, 2, -2, 0.5, -0.5]] },
  {
    name: 'where by logic of comparisons', shapes: [[6], [6]], values: [[1, -1, 2, -2, 0.5, -0.5], [2, -2, 1, 1, 0.75, -1]],
    op: (a, b) => tf.where(tf.logicalOr(tf.logicalNot(tf.lessEqual(a, b)), tf.isNaN(a)), a, tf.mul(b, 2)),
  },
  {
    name: 'gather by argMin', shapes: [[5, 3]], values: [[5, 1, 4, 2, 3, 9, 8, 7, 6, -1, -2, -4, 0, 10, 11]],
    op: x => tf.gather(x, tf.argMin(x, 0)),
  },
  { name: 'a mask of a comparison', shapes: [[4]], values: [[1, 2, 3, 4]], op: x => tf.mul(x, tf.cast(tf.greater(x, 2.5), 'float32')) },
] // biome-ignore format: a table

// Σ w · op(x), the weights drawn once per case.
function loss(op: Case['op'], weights: { values?: Float32Array }, inputs: T[]): T {
  const y = op(...inputs)
  weights.values ??= Float32Array.from(draw(tf.util.sizeFromShape(y.shape), 7))
  return tf.sum(tf.mul(y, tf.tensor(weights.values, y.shape)))
}

function differences(
  { op, shapes }: Case,
  values: number[][],
  weights: { values?: Float32Array },
): number[][] {
  const at = (given: number[][]): number =>
    tf.tidy(
      () =>
        loss(
          op,
          weights,
          given.map((v, i) => tf.tensor(v, shapes[i])),
        ).dataSync()[0],
    )
  return values.map((row, i) =>
    row.map((_, j) => {
      const moved = (by: number) => values.map((v, k) => v.map((e, l) => (k === i && l === j ? e + by : e)))
      return (at(moved(step)) - at(moved(-step))) / (2 * step)
    }),
  )
}

describe.each(backends)('on %s', backend => {
  beforeAll(async () => {
    await use(backend)
  })
  afterAll(async () => {
    await tf.setBackend('vq-cpu')
  })

  test.each(cases.filter(c => c.notOn?.[backend] === undefined))(
    'the gradient of $name is that of differences',
    given => {
      expect(tf.getBackend()).toBe(backend)
      const { shapes, op } = given
      const values = given.values ?? shapes.map((s, i) => Array.from(draw(tf.util.sizeFromShape(s), i + 1)))
      const weights: { values?: Float32Array } = {}
      const expected = differences(given, values, weights)
      const before = tf.memory().numTensors
      const gradients = tf.tidy(() =>
        tf
          .grads((...x) => loss(op, weights, x))(values.map((v, i) => tf.tensor(v, shapes[i])))
          .map(g => ({ shape: g.shape, values: Array.from(g.dataSync()) })),
      )
      expect(tf.memory().numTensors).toBe(before)
      expect(gradients.map(g => g.shape)).toEqual(shapes)
      for (const [i, { values: row }] of gradients.entries())
        for (const [j, v] of row.entries())
          expect(
            Math.abs(v - expected[i][j]),
            `input ${i}, element ${j}: ${v}, ${expected[i][j]}`,
          ).toBeLessThan(2e-4)
    },
  )
})
