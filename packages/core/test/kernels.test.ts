import '@tensorflow/tfjs-backend-cpu'
import { tf } from '@vq/core'
import { beforeAll, expect, test } from 'vitest'

// Every kernel of vq-cpu against tfjs's plain JavaScript backend on the same inputs.

let seed = 1
function values(shape: number[], low = -2, high = 2): number[] {
  return Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0
    return low + ((high - low) * seed) / 2 ** 32
  })
}
const float = (shape: number[], low?: number, high?: number) => ({
  shape,
  dtype: 'float32' as const,
  data: values(shape, low, high),
})
const int = (shape: number[], low = -9, high = 9) => ({
  shape,
  dtype: 'int32' as const,
  data: values(shape, low, high).map(Math.trunc),
})
const bool = (shape: number[]) => ({
  shape,
  dtype: 'bool' as const,
  data: values(shape).map(v => Number(v > 0)),
})
type Input = ReturnType<typeof float> | ReturnType<typeof int> | ReturnType<typeof bool>
type Op = (...x: never[]) => tf.Tensor | tf.Tensor[]

const cases: [string, Op, Input[]][] = []
const add = (name: string, op: Op, ...inputs: Input[]) => cases.push([name, op, inputs])
type T = tf.Tensor

const shapes: [number[], number[]][] = [
  [[3, 5], [3, 5]],
  [[3, 5], [5]],
  [[3, 5], [3, 1]],
  [[2, 3, 4], [3, 1]],
  [[2, 1, 4], [1, 3, 1]],
  [[], [7]],
  [[0, 3], [3]],
  [[1], [1]],
  [[70, 33], [33]],
  [[2, 1, 3, 1, 2], [4, 1, 5, 1]],
] // biome-ignore format: pairs
const binaries = {
  add: tf.add,
  sub: tf.sub,
  mul: tf.mul,
  div: tf.div,
  maximum: tf.maximum,
  minimum: tf.minimum,
  squaredDifference: tf.squaredDifference,
  mod: tf.mod,
  floorDiv: tf.floorDiv,
}
const comparisons = {
  equal: tf.equal,
  notEqual: tf.notEqual,
  greater: tf.greater,
  greaterEqual: tf.greaterEqual,
  less: tf.less,
  lessEqual: tf.lessEqual,
}
for (const [a, b] of shapes) {
  for (const [name, op] of Object.entries({ ...binaries, ...comparisons }))
    add(`${name} [${a}] [${b}]`, op, float(a), float(b))
  for (const [name, op] of Object.entries(comparisons)) add(`${name} int [${a}] [${b}]`, op, int(a), int(b))
  for (const [name, op] of Object.entries({ logicalAnd: tf.logicalAnd, logicalOr: tf.logicalOr }))
    add(`${name} [${a}] [${b}]`, op, bool(a), bool(b))
  add(`pow [${a}] [${b}]`, tf.pow, float(a, 0.1, 3), float(b))
  if (a[0] === 0) continue // the plain backend gives [1, 3] where [0, 3] and [3] broadcast to [0, 3]
  add(
    `where [${a}] [${b}]`,
    (c: T, x: T, y: T) => tf.where(tf.cast(c, 'bool'), x, y),
    bool(a),
    float(b),
    float(a),
  )
}
for (const name of ['add', 'sub', 'mul', 'maximum', 'minimum', 'squaredDifference'] as const)
  add(`${name} int`, binaries[name], int([4, 6]), int([6]))
for (const name of ['floorDiv', 'mod', 'div'] as const)
  add(`${name} int`, binaries[name], int([4, 6]), int([6], 1, 9))
add('add float int', tf.add, float([4]), int([4]))

const unaries: Record<string, [(x: T) => T, number, number]> = {
  abs: [tf.abs, -2, 2], neg: [tf.neg, -2, 2], square: [tf.square, -2, 2], sqrt: [tf.sqrt, 0, 9], rsqrt: [tf.rsqrt, 0.1, 9],
  exp: [tf.exp, -9, 9], expm1: [tf.expm1, -1, 1], log: [tf.log, 0.01, 9], log1p: [tf.log1p, -0.5, 9], sigmoid: [tf.sigmoid, -9, 9],
  tanh: [tf.tanh, -3, 3], sin: [tf.sin, -3, 3], cos: [tf.cos, -3, 3], floor: [tf.floor, -9, 9], ceil: [tf.ceil, -9, 9],
  round: [tf.round, -9, 9], reciprocal: [tf.reciprocal, 0.5, 3], relu: [tf.relu, -2, 2], relu6: [tf.relu6, -9, 9],
  leakyRelu: [x => tf.leakyRelu(x, 0.3), -2, 2], elu: [tf.elu, -2, 2], softplus: [tf.softplus, -9, 9], sign: [tf.sign, -2, 2],
  step: [x => tf.step(x, 0.2), -2, 2], clip: [x => tf.clipByValue(x, -1, 0.5), -2, 2],
  softmax: [x => tf.softmax(x), -5, 5], logSoftmax: [x => tf.logSoftmax(x), -5, 5],
} // biome-ignore format: a table
for (const [name, [op, low, high]] of Object.entries(unaries))
  for (const shape of [[7], [0, 2], [3, 4, 5], [70, 1030]])
    add(`${name} [${shape}]`, op, float(shape, low, high))
for (const name of ['abs', 'neg', 'square', 'relu', 'relu6', 'sign'])
  add(`${name} int`, unaries[name][0], int([3, 7]))
add('round halves', tf.round, { shape: [6], dtype: 'float32', data: [-2.5, -1.5, -0.5, 0.5, 1.5, 2.5] })
add('isNaN', tf.isNaN, { shape: [3], dtype: 'float32', data: [1, Number.NaN, Number.POSITIVE_INFINITY] })
add('logicalNot', tf.logicalNot, bool([9]))
add('addN', (a: T, b: T, c: T) => tf.addN([a, b, c]), float([3, 4]), float([3, 4]), float([3, 4]))
add('cast to int', (x: T) => tf.cast(x, 'int32'), float([30]))
add('cast to bool', (x: T) => tf.cast(x, 'bool'), int([30], -2, 2))

for (const [shape, axis] of [
  [[7], 0],
  [[3, 5], 0],
  [[3, 5], 1],
  [[3, 5], undefined],
  [
    [2, 3, 4],
    [0, 2],
  ],
  [[2, 3, 4], 1],
  [
    [2, 3, 4, 5],
    [1, 3],
  ],
  [[600, 3], 0],
  [[3, 40000], 1],
  [[5, 1], 1],
] as [number[], number | number[] | undefined][]) {
  for (const [name, op] of Object.entries({ sum: tf.sum, mean: tf.mean, max: tf.max, min: tf.min }))
    for (const keep of [false, true])
      add(`${name} [${shape}] over ${axis} ${keep}`, (x: T) => op(x, axis, keep), float(shape))
  add(`prod [${shape}] over ${axis}`, (x: T) => tf.prod(x, axis), float(shape, 0.9, 1.0999))
  add(`sum int [${shape}] over ${axis}`, (x: T) => tf.sum(x, axis), int(shape))
  add(`all [${shape}] over ${axis}`, (x: T) => tf.all(x, axis), bool(shape))
  add(`any [${shape}] over ${axis}`, (x: T) => tf.any(x, axis), bool(shape))
  if (typeof axis === 'number') {
    add(`argMax [${shape}] over ${axis}`, (x: T) => tf.argMax(x, axis), float(shape))
    add(`argMin int [${shape}] over ${axis}`, (x: T) => tf.argMin(x, axis), int(shape, -2, 2))
  }
}
add('mean of nothing', (x: T) => tf.sum(x, 1), float([3, 0]))

add('transpose', (x: T) => tf.transpose(x, [2, 0, 1]), float([3, 4, 5]))
add('transpose bool', (x: T) => tf.transpose(x), bool([3, 4]))
add('slice', (x: T) => tf.slice(x, [1, 0, 2], [2, -1, 3]), float([4, 3, 6]))
add('stridedSlice', (x: T) => tf.stridedSlice(x, [0, 5], [4, 1], [2, -2]), float([5, 6]))
add('reverse', (x: T) => tf.reverse(x, [0, 2]), float([3, 4, 5]))
add('concat', (a: T, b: T) => tf.concat([a, b], 1), float([2, 3, 4]), float([2, 5, 4]))
add('stack', (a: T, b: T) => tf.stack([a, b], 1), float([2, 3]), float([2, 3]))
add('unstack', (x: T) => tf.unstack(x, 1), float([2, 3, 4]))
add('split', (x: T) => tf.split(x, [1, 2, 4], -1), float([2, 7]))
add('tile', (x: T) => tf.tile(x, [2, 1, 3]), float([2, 3, 4]))
add('pad', (x: T) => tf.pad(x, [[1, 0], [2, 3]], 7), float([3, 4])) // biome-ignore format: pairs
add('gather', (x: T, i: T) => tf.gather(x, tf.cast(i, 'int32'), 1), float([3, 9, 2]), int([2, 4], 0, 9))
add(
  'unsortedSegmentSum',
  (x: T, i: T) => tf.unsortedSegmentSum(x, tf.cast(i, 'int32') as tf.Tensor1D, 5),
  float([9, 3]),
  int([9], 0, 5),
)
add('oneHot', (i: T) => tf.oneHot(tf.cast(i, 'int32'), 5), int([7], 0, 5))
add('range', () => tf.range(3, -8, -2.5))
add('expandDims', (x: T) => tf.expandDims(x, 1), float([3, 4]))
add('fill', () => tf.fill([3, 2], 4.5))

for (const [ta, tb] of [
  [false, false],
  [true, false],
  [false, true],
  [true, true],
]) {
  add(
    `matMul ${ta} ${tb}`,
    (a: T, b: T) => tf.matMul(a, b, ta, tb),
    float(ta ? [5, 7] : [7, 5]),
    float(tb ? [9, 5] : [5, 9]),
  )
  add(
    `matMul batch ${ta} ${tb}`,
    (a: T, b: T) => tf.matMul(a, b, ta, tb),
    float(ta ? [3, 5, 7] : [3, 7, 5]),
    float(tb ? [3, 9, 5] : [3, 5, 9]),
  )
  add(
    `matMul broadcast ${ta} ${tb}`,
    (a: T, b: T) => tf.matMul(a, b, ta, tb),
    float(ta ? [3, 5, 7] : [3, 7, 5]),
    float(tb ? [1, 9, 5] : [1, 5, 9]),
  )
}
add(
  'fused matMul',
  (a: T, b: T, c: T) => tf.fused.matMul({ a, b: b as tf.Tensor2D, bias: c, activation: 'relu' }),
  float([3, 4]),
  float([4, 5]),
  float([5]),
)
for (const [stride, pad] of [
  [1, 'same'],
  [2, 'same'],
  [1, 'valid'],
  [2, 1],
  [3, 'valid'],
] as [number, 'same' | 'valid' | number][]) {
  const [x, w] = [float([2, 9, 7, 3]), float([4, 3, 3, 5])]
  add(`conv2d ${stride} ${pad}`, (x: tf.Tensor4D, w: tf.Tensor4D) => tf.conv2d(x, w, stride, pad), x, w)
  add(
    `fused conv2d ${stride} ${pad}`,
    (x: tf.Tensor4D, filter: tf.Tensor4D, bias: T) =>
      tf.fused.conv2d({ x, filter, strides: stride, pad, bias, activation: 'relu' }),
    x,
    w,
    float([5]),
  )
  add(
    `conv2d gradients ${stride} ${pad}`,
    (x: tf.Tensor4D, w: tf.Tensor4D) =>
      tf.grads((x, w) => tf.sum(tf.square(tf.conv2d(x as tf.Tensor4D, w as tf.Tensor4D, stride, pad))))([
        x,
        w,
      ]),
    x,
    w,
  )
}
add(
  'conv2d dilated',
  (x: tf.Tensor4D, w: tf.Tensor4D) => tf.conv2d(x, w, 1, 'same', 'NHWC', 2),
  float([1, 8, 8, 4]),
  float([3, 3, 4, 6]),
)
add(
  'conv2dTranspose',
  (x: tf.Tensor4D, w: tf.Tensor4D) => tf.conv2dTranspose(x, w, [2, 8, 8, 3], 2, 1),
  float([2, 4, 4, 5]),
  float([4, 4, 3, 5]),
)
add(
  'batchNorm',
  (x: tf.Tensor2D, m: tf.Tensor1D, v: tf.Tensor1D, o: tf.Tensor1D) => tf.batchNorm2d(x, m, v, o),
  float([9, 4]),
  float([4]),
  float([4], 0.5, 2),
  float([4]),
)

beforeAll(async () => {
  await tf.setBackend('cpu')
  await tf.setBackend('vq-cpu')
})

function run(backend: string, op: Op, inputs: Input[]) {
  tf.setBackend(backend)
  expect(tf.getBackend()).toBe(backend)
  const tensors = inputs.map(i => tf.tensor(i.data, i.shape, i.dtype))
  const before = tf.memory().numTensors
  const results = [op(...(tensors as never[]))].flat()
  const out = results.map(r => ({ shape: r.shape, dtype: r.dtype, data: Array.from(r.dataSync()) }))
  tf.dispose(results)
  const leaked = tf.memory().numTensors - before
  tf.dispose(tensors)
  return { out, leaked }
}

test.each(cases)('%s agrees with the plain backend', (_, op, inputs) => {
  const expected = tf.tidy(() => run('cpu', op, inputs)).out
  const { out } = tf.tidy(() => run('vq-cpu', op, inputs))
  expect(out.map(o => [o.shape, o.dtype])).toEqual(expected.map(o => [o.shape, o.dtype]))
  for (const [i, o] of out.entries())
    for (const [j, v] of o.data.entries()) {
      const e = expected[i].data[j]
      if (Math.abs(v - e) > 2e-5 * Math.max(1, Math.abs(e))) expect(v, `element ${j}`).toBe(e)
    }
})

test('no kernel leaves a native buffer behind', () => {
  tf.setBackend('vq-cpu')
  const before = tf.memory().numDataBuffers
  for (const [, op, inputs] of cases) tf.tidy(() => run('vq-cpu', op, inputs))
  expect(tf.memory().numDataBuffers).toBe(before)
})
