import {
  bernoulli,
  clipByGlobalNorm,
  dropout,
  embedding,
  Random,
  random,
  randomNormal,
  randomUniform,
  sgdStep,
  tf,
  truncatedNormal,
  VqValueError,
} from '@vq/core'
import { expect, test } from 'vitest'
import { backends, use } from '../../../test/contract/backends.js'
import { draw } from './draw.js'

function values(make: () => tf.Tensor): Float32Array {
  return tf.tidy(() => make().dataSync() as Float32Array)
}
const mean = (x: ArrayLike<number>): number => Array.from(x).reduce((a, b) => a + b, 0) / x.length
const moment = (x: ArrayLike<number>, k: number): number => mean(Array.from(x, v => v ** k))

test.each(backends)(
  'uniform numbers are those of the generator, and it goes on behind them, on %s',
  async backend => {
    await use(backend)
    const [mine, theirs] = [new Random(5, 2), new Random(5, 2)]
    for (const n of [1, 4, 70, 5003]) {
      const expected = theirs.fillUniform(new Float32Array(n), -1, 3)
      for (let i = n; i % 4 !== 0; i++) theirs.bits()
      const got = values(() => randomUniform([n], -1, 3, { generator: mine }))
      expect(Math.max(...got.map((v, i) => Math.abs(v - expected[i])))).toBeLessThanOrEqual(2.4e-7)
    }
    expect(mine.state).toEqual(theirs.state)
  },
)

test.each(backends)('normal numbers follow Box and Muller from the words, on %s', async backend => {
  await use(backend)
  const words = new Random(11)
  const expected: number[] = []
  for (let i = 0; i < 5000; i++) {
    const radius = Math.sqrt(-2 * Math.log(((words.bits() >>> 8) + 1) / 2 ** 24))
    const angle = (2 * Math.PI * (words.bits() >>> 8)) / 2 ** 24
    expected.push(1 + 2 * radius * Math.cos(angle), 1 + 2 * radius * Math.sin(angle))
  }
  const got = values(() => randomNormal([100, 100], 1, 2, { generator: new Random(11) }))
  for (const [i, v] of got.entries()) expect(Math.abs(v - expected[i])).toBeLessThan(4e-6)
})

test.each(backends)('moments of the distributions on %s', async backend => {
  await use(backend)
  const generator = new Random(1)
  const n = 40000
  const normal = values(() => randomNormal([n], 0, 1, { generator }))
  for (const [k, expected, tolerance] of [[1, 0, 0.02], [2, 1, 0.03], [3, 0, 0.08], [4, 3, 0.2]]) // biome-ignore format: a table
    expect(Math.abs(moment(normal, k) - expected)).toBeLessThan(tolerance)
  // Cut at ±2: variance 1 − 4φ(2)/(Φ(2) − Φ(−2)).
  const cut = values(() => truncatedNormal([n], 0, 1, { generator }))
  expect(Math.max(...cut)).toBeLessThanOrEqual(2)
  expect(Math.min(...cut)).toBeGreaterThanOrEqual(-2)
  expect(Math.abs(moment(cut, 1))).toBeLessThan(0.02)
  expect(Math.abs(moment(cut, 2) - 0.77374)).toBeLessThan(0.02)
  const ones = values(() => bernoulli([n], 0.3, { generator }))
  expect(new Set(ones)).toEqual(new Set([0, 1]))
  expect(Math.abs(mean(ones) - 0.3)).toBeLessThan(0.01)
  expect(mean(values(() => bernoulli([100], 1)))).toBe(1)
  expect(mean(values(() => bernoulli([100], 0)))).toBe(0)
})

test('all backends draw the same numbers', async () => {
  const draws: Float32Array[][] = []
  for (const backend of new Set(['vq-cpu', ...backends])) {
    await use(backend)
    const generator = new Random(2 ** 40 + 7, 3)
    draws.push([
      values(() => randomUniform([1001], 0, 1, { generator })),
      values(() => bernoulli([1001], 0.25, { generator })),
      values(() => dropout(tf.ones([1001]), 0.4, { generator })),
      values(() => truncatedNormal([1001], 0, 1, { generator })),
    ])
  }
  const [ours, ...others] = draws
  expect(others.length).toBeGreaterThan(0)
  for (const theirs of others) {
    for (const i of [0, 1, 2]) expect(theirs[i]).toEqual(ours[i])
    for (const [i, v] of ours[3].entries()) expect(Math.abs(v - theirs[3][i])).toBeLessThan(4e-6)
  }
})

test('a run of blocks that crosses 2^32 carries into the upper word', async () => {
  await use('vq-cpu')
  const generator = new Random(8)
  generator.state = { ...generator.state, block: [2 ** 32 - 5, 6] }
  const twin = Random.at({ seed: [8, 0], stream: [0, 0], block: [2 ** 32 - 5, 6] })
  const expected = twin.fillUniform(new Float32Array(400))
  expect(values(() => randomUniform([400], 0, 1, { generator }))).toEqual(expected)
  expect(generator.state.block).toEqual([95, 7])
})

test('dropout takes new numbers at every call, and none when it does nothing', async () => {
  await use('vq-cpu')
  const before = random.state
  const x = tf.ones([64])
  expect(values(() => dropout(x, 0.5, { training: false }))).toEqual(x.dataSync())
  expect(values(() => dropout(x, 0))).toEqual(x.dataSync())
  expect(random.state).toEqual(before)
  expect(values(() => dropout(x, 0.5))).not.toEqual(values(() => dropout(x, 0.5)))
  expect(() => dropout(x, 1.5)).toThrow(/dropout: expected rate/)
  x.dispose()
})

test.each(backends)('an id that is no row is named, on %s', async backend => {
  await use(backend)
  tf.tidy(() => {
    const table = tf.zeros<tf.Rank.R2>([3, 2])
    expect(() => embedding(tf.tensor1d([0, 2, 3], 'int32'), table)).toThrow(VqValueError)
    expect(() => embedding(tf.tensor2d([[0, -1]], [1, 2], 'int32'), table)).toThrow(
      /embedding: expected ids from 0 to 2, received -1 at position 1/,
    )
  })
})

test.each(backends)('sgdStep follows the formula with every option on %s', async backend => {
  await use(backend)
  for (const [momentum, nesterov, weightDecay] of [
    [0, false, 0],
    [0, false, 0.1],
    [0.9, false, 0.1],
    [0.9, true, 0.05],
  ] as const) {
    // biome-ignore format: options
    const shapes = [[3, 5], [], [65]] // biome-ignore format: shapes
    const start = shapes.map((s, i) =>
      draw(
        s.reduce((a, b) => a * b, 1),
        i,
      ),
    )
    const p = start.map((d, i) => tf.variable(tf.tensor(d, shapes[i])))
    const v = momentum === 0 ? [] : shapes.map(s => tf.variable(tf.zeros(s)))
    const expected = start.map(d => Array.from(d))
    const velocity = start.map(d => new Array<number>(d.length).fill(0))
    for (let step = 0; step < 4; step++) {
      const g = start.map((d, i) => draw(d.length, 10 * step + i))
      const tensors = g.map((d, i) => (step === 2 && i === 1 ? null : tf.tensor(d, shapes[i])))
      sgdStep(p, tensors, v, { learningRate: 0.1, momentum, nesterov, weightDecay, gradientScale: 0.5 })
      tf.dispose(tensors.filter(t => t !== null))
      for (const [i, values] of expected.entries())
        for (const [j, value] of values.entries()) {
          if (tensors[i] === null) continue
          const gradient = 0.5 * g[i][j] + weightDecay * value
          velocity[i][j] = momentum * velocity[i][j] + gradient
          const move =
            momentum === 0 ? gradient : nesterov ? gradient + momentum * velocity[i][j] : velocity[i][j]
          values[j] = value - 0.1 * move
        }
    }
    for (const [i, values] of expected.entries()) {
      const got = p[i].dataSync()
      for (const [j, value] of values.entries()) expect(Math.abs(got[j] - value)).toBeLessThan(2e-6)
    }
    tf.dispose([...p, ...v])
  }
})

test.each(backends)('clipByGlobalNorm scales all by one factor, and only down, on %s', async backend => {
  await use(backend)
  tf.tidy(() => {
    const g = [tf.tensor1d([3, 0]), null, tf.tensor2d([[4]])]
    const { norm, gradients } = clipByGlobalNorm(g, 1)
    expect(norm).toBeCloseTo(5, 6)
    expect(gradients[1]).toBeNull()
    expect(gradients[0]?.dataSync()[0]).toBeCloseTo(0.6, 5)
    expect(gradients[2]?.dataSync()[0]).toBeCloseTo(0.8, 5)
    const same = clipByGlobalNorm(g, 10)
    expect(same.gradients[0]?.dataSync()).toEqual(g[0]?.dataSync())
  })
})
