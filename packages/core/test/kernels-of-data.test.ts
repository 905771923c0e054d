import '@tensorflow/tfjs-backend-cpu'
import { tf, VqShapeError, VqValueError } from '@vq/core'
import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { draw } from './draw.js'

// Kernels that count, order, scatter and transform: against tfjs's plain backend, a closed form, or a property.

let seed = 0
const float = (shape: number[]): tf.Tensor => tf.tensor(draw(tf.util.sizeFromShape(shape), ++seed), shape)
const int = (shape: number[], low: number, high: number): tf.Tensor =>
  tf.cast(tf.add(tf.mul(tf.sigmoid(float(shape)), high - low), low), 'int32')
const flatten = (out: tf.Tensor | tf.Tensor[] | Record<string, tf.Tensor>): tf.Tensor[] =>
  out instanceof tf.Tensor ? [out] : Object.values(out)

const cases: Record<string, () => tf.Tensor | tf.Tensor[] | Record<string, tf.Tensor>> = {
  ...Object.fromEntries(
    (['tan', 'asin', 'acos', 'atan', 'sinh', 'cosh', 'asinh', 'erf', 'selu'] as const).flatMap(name =>
      [[7], [0, 2], [3, 1, 5], [70, 1030]].map(s => [`${name} [${s}]`, () => tf[name](tf.mul(tf.tanh(float(s)), 0.9))]),
    ),
  ),
  acosh: () => tf.acosh(tf.add(tf.exp(float([33])), 1)),
  atanh: () => tf.atanh(tf.mul(tf.tanh(float([33])), 0.9)),
  atan2: () => tf.atan2(float([5, 3]), float([3])),
  'prelu, broadcast': () => tf.prelu(float([5, 4, 3]), float([4, 1])),
  'gradient of elu': () => tf.grad(x => tf.elu(x))(float([9])),
  bitwiseAnd: () => tf.bitwiseAnd(int([9], -50, 50), int([9], -50, 50)),
  'matMul of integers': () => tf.matMul(int([3, 5, 7], -9, 9), int([1, 7, 2], -9, 9)),
  'matMul of an integer and a float': () => tf.matMul(int([3, 5], -9, 9), float([5, 2])),
  ...Object.fromEntries(
    [false, true].flatMap(exclusive => [false, true].flatMap(reverse => [0, 1, 2].flatMap(axis => [
      [`cumsum ${exclusive} ${reverse} ${axis}`, () => tf.cumsum(float([3, 5, 130]), axis, exclusive, reverse)],
      [`cumprod ${exclusive} ${reverse} ${axis}`, () => tf.cumprod(float([2, 3, 5]), axis, exclusive, reverse)],
    ]))),
  ),
  'cumsum of integers': () => tf.cumsum(int([7, 3], -9, 9), 0),
  topk: () => tf.topk(float([3, 50]), 7),
  'topk of equals': () => tf.topk(int([4, 20], 0, 3), 9),
  unique: () => tf.unique(int([30], 0, 6)),
  'unique slices': () => tf.unique(int([9, 2], 0, 2), 0),
  'unique columns': () => tf.unique(int([2, 9], 0, 2), 1),
  lowerBound: () => tf.lowerBound(tf.tensor2d([[1, 2, 2, 5], [0, 1, 1, 1]]), tf.tensor2d([[2, 0, 9], [1, 0, 5]])),
  upperBound: () => tf.upperBound(tf.tensor2d([[1, 2, 2, 5], [0, 1, 1, 1]]), tf.tensor2d([[2, 0, 9], [1, 0, 5]])),
  bincount: () => tf.bincount(int([50], 0, 9) as tf.Tensor1D, float([50]) as tf.Tensor1D, 7),
  denseBincount: () => tf.denseBincount(int([3, 20], 0, 9) as tf.Tensor2D, tf.tensor2d([], [0, 0]), 12),
  'denseBincount, binary': () => tf.denseBincount(int([3, 20], 0, 9) as tf.Tensor2D, tf.tensor2d([], [0, 0]), 12, true),
  'gather with a batch axis': () => tf.gather(float([3, 4, 5]), int([3, 2], 0, 4), 1, 1),
  'gather with batch axes, farther': () => tf.gather(float([2, 3, 4, 5]), int([2, 3, 2], 0, 5), 3, 2),
  gatherND: () => tf.gatherND(float([3, 4, 5]), tf.tensor3d([[[0, 1], [2, 3]]], [1, 2, 2], 'int32')),
  'scatterND adds duplicates': () => tf.scatterND(tf.tensor2d([[1], [3], [1]], [3, 1], 'int32'), float([3, 4]), [5, 4]),
  tensorScatterUpdate: () => tf.tensorScatterUpdate(float([5, 4]), tf.tensor2d([[1, 2], [3, 0]], [2, 2], 'int32'), float([2])),
  sparseToDense: () => tf.sparseToDense(tf.tensor1d([1, 4], 'int32'), tf.scalar(3), [6], tf.scalar(-1)),
  'mirrorPad reflect': () => tf.mirrorPad(float([3, 4]), [[2, 1], [0, 3]], 'reflect'),
  'mirrorPad symmetric': () => tf.mirrorPad(float([3, 4]), [[3, 1], [0, 4]], 'symmetric'),
  spaceToBatchND: () => tf.spaceToBatchND(float([2, 3, 5, 2]), [2, 3], [[1, 0], [1, 0]]),
  batchToSpaceND: () => tf.batchToSpaceND(float([12, 2, 2, 3]), [2, 3], [[1, 0], [1, 2]]),
  depthToSpace: () => tf.depthToSpace(float([2, 3, 1, 12]) as tf.Tensor4D, 2),
  diag: () => tf.diag(float([3, 2])),
  linspace: () => tf.linspace(-3, 5, 7),
  'einsum bij,bkj->bik': () => tf.einsum('bij,bkj->bik', float([2, 3, 5]), float([2, 4, 5])),
  'einsum ij->ji': () => tf.einsum('ij->ji', float([3, 5])),
  'einsum of integers': () => tf.einsum('ij,jk->ki', int([3, 5], -9, 9), int([5, 2], -9, 9)),
  'complex product': () => tf.mul(tf.complex(float([3, 2]), float([3, 2])), tf.complex(float([3, 2]), float([3, 2]))),
  'complex difference with a real': () => tf.sub(tf.complex(float([3]), float([3])), float([3])),
  'length of complex numbers': () => tf.abs(tf.complex(float([9]), float([9]))),
  fft: () => tf.spectral.fft(tf.complex(float([3, 12]), float([3, 12]))),
  rfft: () => tf.spectral.rfft(float([2, 9])),
  stft: () => tf.signal.stft(float([40]) as tf.Tensor1D, 8, 3),
  'sparse segments': () => tf.sparse.sparseSegmentMean(float([5, 3]), tf.tensor1d([0, 4, 2], 'int32'), tf.tensor1d([0, 0, 2], 'int32')),
  'ragged to dense': () => tf.raggedTensorToTensor([3, 4], float([6]), tf.scalar(-7), [tf.tensor1d([0, 2, 2, 6], 'int32')], ['ROW_SPLITS']),
} // biome-ignore format: a table

const read = (x: tf.Tensor): number[] => Array.from(x.dataSync() as Float32Array)
function on(backend: string, make: () => ReturnType<(typeof cases)[string]>) {
  tf.setBackend(backend)
  expect(tf.getBackend()).toBe(backend)
  seed = 0
  return tf.tidy(() => flatten(make()).map(t => ({ shape: t.shape, dtype: t.dtype, data: read(t) })))
}

beforeAll(async () => {
  await tf.setBackend('cpu')
})
afterEach(() => {
  tf.setBackend('vq-cpu')
})

test.each(Object.entries(cases))('%s agrees with the plain backend', (_, make) => {
  const expected = on('cpu', make)
  const before = tf.memory().numDataBuffers
  const out = on('vq-cpu', make)
  expect(tf.memory().numDataBuffers).toBe(before)
  expect(out.map(o => [o.shape, o.dtype])).toEqual(expected.map(o => [o.shape, o.dtype]))
  for (const [i, { data }] of out.entries())
    for (const [j, v] of data.entries()) {
      const e = expected[i].data[j]
      const near = Math.abs(v - e) <= 3e-5 * Math.max(1, Math.abs(e))
      if (!near) expect(v, `output ${i}, element ${j}`).toBe(e)
    }
})

describe('on vq-cpu alone', () => {
  beforeEach(() => {
    tf.setBackend('vq-cpu')
    expect(tf.getBackend()).toBe('vq-cpu')
  })

  test.each([1, 2, 3, 7, 16, 97, 100, 1009, 4096])(
    'the Fourier transform of %i values is the sum that defines it',
    n => {
      const [re, im] = [draw(n, 1), draw(n, 2)]
      const x = tf.complex(tf.tensor1d(re), tf.tensor1d(im))
      const out = tf.spectral.fft(x).dataSync()
      // a few frequencies, the sum in float64
      for (const f of new Set([0, 1 % n, n >> 1, n - 1])) {
        let [a, b] = [0, 0]
        for (let k = 0; k < n; k++) {
          const angle = (-2 * Math.PI * ((f * k) % n)) / n
          a += re[k] * Math.cos(angle) - im[k] * Math.sin(angle)
          b += re[k] * Math.sin(angle) + im[k] * Math.cos(angle)
        }
        const tolerance = 3e-7 * Math.sqrt(n) * 8
        expect(Math.abs(out[2 * f] - a)).toBeLessThan(tolerance)
        expect(Math.abs(out[2 * f + 1] - b)).toBeLessThan(tolerance)
      }
      const back = tf.spectral.ifft(tf.spectral.fft(x)).dataSync()
      for (let k = 0; k < n; k++) expect(Math.abs(back[2 * k] - re[k])).toBeLessThan(1e-6)
    },
  )

  test('integer products are exact where float32 is not', () => {
    const a = tf.tensor2d([[16777217, 3]], [1, 2], 'int32')
    const b = tf.tensor2d([[1], [7]], [2, 1], 'int32')
    expect(Array.from(tf.matMul(a, b).dataSync())).toEqual([16777238])
    expect(Array.from(tf.einsum('ij,jk->ik', a, b).dataSync())).toEqual([16777238])
  })

  test('strings move as numbers do', () => {
    const x = tf.tensor2d([['a', 'bc'], ['', 'ä']]) // biome-ignore format: rows
    const read = (t: tf.Tensor) => Array.from(t.dataSync() as unknown as string[])
    expect(read(tf.tile(x, [1, 2]))).toEqual(['a', 'bc', 'a', 'bc', '', 'ä', '', 'ä'])
    expect(read(tf.concat([x, tf.slice(x, [1, 0], [1, 2])]))).toEqual(['a', 'bc', '', 'ä', '', 'ä'])
    expect(read(tf.unique(tf.tensor1d(['b', 'a', 'b'])).values)).toEqual(['b', 'a'])
    expect(Array.from(tf.equal(x, tf.tensor1d(['a', 'ä'])).dataSync())).toEqual([1, 0, 0, 1])
  })

  test('topk puts NaN first and equals in their order', () => {
    const { values, indices } = tf.topk(tf.tensor1d([1, Number.NaN, 3, 3]), 3)
    expect(Array.from(values.dataSync())).toEqual([Number.NaN, 3, 3])
    expect(Array.from(indices.dataSync())).toEqual([1, 2, 3])
  })

  test('multinomial repeats itself by its seed and draws by the probabilities', () => {
    const draws = (s: number) =>
      tf.multinomial(tf.tensor2d([[0.1, 0, 0.9], [1, 0, 0]]), 4000, s, true).dataSync() // biome-ignore format: rows
    expect(draws(3)).toEqual(draws(3))
    expect(draws(3)).not.toEqual(draws(4))
    const drawn = draws(3)
    const share = drawn.slice(0, 4000).filter(i => i === 0).length / 4000
    expect(Math.abs(share - 0.1)).toBeLessThan(5 * Math.sqrt((0.1 * 0.9) / 4000))
    expect(new Set(drawn.slice(0, 4000))).toEqual(new Set([0, 2]))
    expect(new Set(drawn.slice(4000))).toEqual(new Set([0]))
  })

  test('a complex tensor survives the death of its parts, and comes over from another backend', () => {
    const before = tf.memory().numDataBuffers
    const [re, im] = [tf.tensor1d([1, 2]), tf.tensor1d([3, 4])]
    const x = tf.complex(re, im)
    tf.dispose([re, im])
    tf.setBackend('cpu')
    const parts = [tf.tensor1d([10, 20]), tf.tensor1d([30, 40])]
    const other = tf.complex(parts[0], parts[1])
    tf.setBackend('vq-cpu')
    const sum = tf.add(x, other)
    const part = tf.imag(sum)
    expect(Array.from(sum.dataSync())).toEqual([11, 33, 22, 44])
    expect(Array.from(part.dataSync())).toEqual([33, 44])
    tf.dispose([x, other, sum, part, parts])
    expect(tf.memory().numDataBuffers).toBe(before)
  })

  test('complex numbers move, broadcast and sum by their parts', () => {
    const x = tf.complex(tf.tensor2d([[1, 2], [3, 4]]), tf.tensor2d([[5, 6], [7, 8]])) // biome-ignore format: rows
    const parts = (t: tf.Tensor) => [tf.real(t), tf.imag(t)].map(p => Array.from(p.dataSync()))
    expect(parts(tf.transpose(x))).toEqual([[1, 3, 2, 4], [5, 7, 6, 8]]) // biome-ignore format: parts
    expect(parts(tf.slice(x, [1, 0], [1, 2]))).toEqual([[3, 4], [7, 8]]) // biome-ignore format: parts
    expect(parts(tf.sum(x, 0))).toEqual([[4, 6], [12, 14]]) // biome-ignore format: parts
    // (1 + 5i)·i = −5 + i
    const i = tf.complex(tf.tensor1d([0]), tf.tensor1d([1]))
    expect(parts(tf.mul(x, i))).toEqual([[-5, -6, -7, -8], [1, 2, 3, 4]]) // biome-ignore format: parts
  })

  test('batches of matrix products broadcast on several axes', () => {
    const [a, b] = [float([2, 1, 3, 4]), float([1, 5, 4, 2])]
    const whole = tf.matMul(tf.tile(a, [1, 5, 1, 1]), tf.tile(b, [2, 1, 1, 1]))
    const out = tf.matMul(a, b)
    expect(out.shape).toEqual([2, 5, 3, 2])
    expect(out.dataSync()).toEqual(whole.dataSync())
    // one element by hand
    const [va, vb] = [a.dataSync(), b.dataSync()]
    let sum = 0
    for (let k = 0; k < 4; k++) sum += va[12 + 2 * 4 + k] * vb[4 * 8 + k * 2 + 1]
    expect(out.dataSync()[(5 + 4) * 6 + 2 * 2 + 1]).toBeCloseTo(sum, 5)
  })

  test('coordinates outside are a typed error, and nothing is left behind', () => {
    const before = tf.memory().numDataBuffers
    tf.tidy(() => {
      const x = tf.ones([3, 4])
      const far = tf.tensor2d([[0, 4]], [1, 2], 'int32')
      expect(() => tf.gatherND(x, far)).toThrow(VqValueError)
      expect(() => tf.scatterND(far, tf.ones([1]), [3, 4])).toThrow(VqValueError)
      expect(() => tf.tensorScatterUpdate(x, tf.tensor2d([[-1]], [1, 1], 'int32'), tf.ones([1, 4]))).toThrow(
        VqValueError,
      )
      expect(() => tf.gather(x, tf.tensor1d([3], 'int32'))).toThrow('the index value 3 is not in [0, 2]')
      expect(() => tf.concat([x, tf.ones([3, 5])], 0)).toThrow(VqShapeError)
      expect(() => tf.bincount(tf.tensor1d([-1], 'int32'), tf.tensor1d([]), 3)).toThrow(VqValueError)
      expect(() => tf.multinomial(tf.tensor2d([[0, 0]]), 3, 1, true)).toThrow(VqValueError)
      expect(() => tf.div(tf.complex(x, x), x)).toThrow(VqValueError)
    })
    expect(tf.memory().numDataBuffers).toBe(before)
  })
})

test('a ragged tensor that claims two thousand million rows is a typed error or costs nothing', () => {
  const call = (partition: number[], types: string[], shape: number[]): number[] =>
    tf.tidy(() => {
      const tensors = [tf.tensor1d(partition.slice(0, 1), 'int32'), tf.tensor1d(partition.slice(1), 'int32')]
      const values = tf.tensor1d([7, 8, 9], 'int32')
      const out = tf.raggedTensorToTensor(
        tf.tensor1d(shape, 'int32'),
        values,
        tf.scalar(0, 'int32'),
        tensors,
        types,
      )
      return Array.from(out.dataSync())
    })
  const types = ['FIRST_DIM_SIZE', 'VALUE_ROWIDS']
  expect(call([2147483647, 0, 0, 1], types, [2, 2])).toEqual([7, 8, 9, 0])
  expect(() => call([2147483647, 0, 0, -6], types, [2, 2])).toThrow(VqValueError)
  expect(() => call([1, 0, 2147483647], ['FIRST_DIM_SIZE', 'ROW_SPLITS'], [2, 2])).toThrow(VqValueError)
})
