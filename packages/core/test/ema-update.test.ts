import {
  type EmaState,
  emaUpdate,
  emaUpdateTensors,
  initEmaState,
  native,
  nearest,
  tf,
  VqConfigError,
  VqShapeError,
  VqValueError,
} from '@vq/core'
import { afterEach, expect, test } from 'vitest'
import { backends, use } from '../../../test/contract/backends.js'
import { draw } from './draw.js'

afterEach(async () => {
  native().setIsa('auto')
  await tf.setBackend('vq-cpu')
})

const [n, k, dim] = [700, 13, 21]
const x = draw(n * dim, 1)
const codebook = draw(k * dim, 2)
// Code 5 is never used, and some rows do not count.
const indices = nearest(x, codebook, { dim }).indices.map((c, i) => (c === 5 || i % 11 === 0 ? -1 : c))

/** The update in float64. */
function oracle(
  state: EmaState,
  decay: number,
  epsilon: number,
): { codebook: number[]; counts: number[]; sums: number[] } {
  const counts = Array.from(state.counts, c => c * decay)
  const sums = Array.from(state.sums, s => s * decay)
  for (let i = 0; i < n; i++) {
    const c = indices[i]
    if (c < 0) continue
    counts[c] += 1 - decay
    for (let d = 0; d < dim; d++) sums[c * dim + d] += (1 - decay) * x[i * dim + d]
  }
  const total = counts.reduce((a, b) => a + b, 0)
  const smooth = counts.map(c => ((c + epsilon) / (total + k * epsilon)) * total)
  return { codebook: sums.map((s, i) => s / smooth[Math.floor(i / dim)]), counts, sums }
}

test('ten steps agree with float64 and move the codebook toward its rows', () => {
  const state = initEmaState(codebook, { dim })
  for (let step = 0; step < 10; step++) {
    const want = oracle(state, 0.9, 1e-5)
    emaUpdate(x, indices, state, { dim, decay: 0.9 })
    for (const name of ['codebook', 'counts', 'sums'] as const)
      for (const [i, v] of want[name].entries())
        expect(Math.abs(state[name][i] - v)).toBeLessThanOrEqual(1e-5 * (1 + Math.abs(v)))
  }
  const members = [...indices.keys()].filter(i => indices[i] === 0)
  const mean = members.reduce((a, i) => a + x[i * dim], 0) / members.length
  expect(Math.abs(state.codebook[0] - mean)).toBeLessThan(Math.abs(codebook[0] - mean))
})

test('an unused code stays where it is', () => {
  const state = initEmaState(codebook, { dim })
  for (let step = 0; step < 20; step++) emaUpdate(x, indices, state, { dim })
  for (let d = 5 * dim; d < 6 * dim; d++) expect(state.codebook[d]).toBeCloseTo(codebook[d], 3)
})

test('every instruction set and thread count gives the same bits', () => {
  const big = draw(5000 * 70, 3)
  const codes = draw(40 * 70, 4)
  const index = Int32Array.from({ length: 5000 }, (_, i) => (i * 7919) % 40)
  const run = (threads: number): EmaState => {
    const state = initEmaState(codes, { dim: 70 })
    emaUpdate(big, index, state, { dim: 70, threads })
    return state
  }
  native().setIsa('scalar')
  const want = run(1)
  for (const isa of native().isaList()) {
    native().setIsa(isa)
    for (const threads of [1, 2, 3]) expect(run(threads)).toEqual(want)
  }
})

test('no rows only let the counts decay', () => {
  const state = initEmaState(codebook, { dim })
  emaUpdate(new Float32Array(), new Int32Array(), state, { dim, decay: 0.5, epsilon: 0 })
  expect(state.counts).toEqual(new Float32Array(k).fill(0.5))
  expect(state.codebook).toEqual(codebook)
})

test('bad rows and indices leave the state unchanged', () => {
  const state = initEmaState(codebook, { dim })
  const broken = x.slice()
  broken[33 * dim + 1] = Number.NaN
  const counted = indices.slice().fill(2)
  expect(() => emaUpdate(broken, counted, state, { dim })).toThrow('row 33 holds a NaN at element 1')
  expect(() => emaUpdate(x.slice().fill(3e38), counted, state, { dim })).toThrow('overflows float32')
  for (const index of [k, -2, 2 ** 31 - 1]) {
    const wrong = indices.slice()
    wrong[8] = index
    expect(() => emaUpdate(x, wrong, state, { dim })).toThrow(
      `index ${index} of row 8 is outside the codebook`,
    )
  }
  expect(state).toEqual(initEmaState(codebook, { dim }))
  for (const name of ['counts', 'sums'] as const) {
    const spoilt = initEmaState(codebook, { dim })
    spoilt[name][1] = Number.NaN
    const before = structuredClone(spoilt)
    expect(() => emaUpdate(x, indices, spoilt, { dim })).toThrow('the moving averages of code')
    expect(spoilt).toEqual(before)
  }
  expect(() => initEmaState(broken.subarray(0, 40 * dim), { dim })).toThrow('row 33 holds NaN at element 1')
  // A NaN in a row that does not count is nobody's business.
  emaUpdate(broken, counted.fill(-1), state, { dim })
  expect(() => emaUpdate(x, indices.subarray(1), state, { dim })).toThrow(VqShapeError)
  expect(() => emaUpdate(x, indices, { ...state, counts: new Float32Array(1) }, { dim })).toThrow(
    VqShapeError,
  )
  expect(() => emaUpdate(x, Float32Array.from(indices) as never, state, { dim })).toThrow(VqConfigError)
  expect(() => emaUpdate(x, indices, null as never, { dim })).toThrow(VqConfigError)
  expect(() => emaUpdate(x, indices, state, { dim, decay: 1.1 })).toThrow(VqConfigError)
})

test('the tensor form gives the same bits on vq-cpu and on cpu, and clones keep their values', async () => {
  const want = initEmaState(codebook, { dim })
  emaUpdate(x, indices, want, { dim })
  for (const backend of backends) {
    await use(backend)
    const start = tf.tensor2d(codebook, [k, dim])
    const state = {
      codebook: tf.variable(start),
      counts: tf.variable(tf.ones([k])),
      sums: tf.variable(start),
    }
    const clone = tf.clone(state.codebook)
    const [vectors, index] = [tf.tensor(x, [7, 100, dim]), tf.tensor(indices, [7, 100], 'int32')]
    const before = tf.memory().numTensors
    emaUpdateTensors(vectors, index, state)
    expect(tf.memory().numTensors).toBe(before)
    for (const name of ['codebook', 'counts', 'sums'] as const)
      expect(state[name].dataSync()).toEqual(want[name])
    for (const t of [start, clone]) expect(t.dataSync()).toEqual(codebook)
    vectors.dispose()
    expect(() => emaUpdateTensors(tf.zeros([2, dim]), tf.zeros([3], 'int32'), state)).toThrow(VqShapeError)
    expect(() => emaUpdateTensors(tf.zeros([1, dim]), tf.tensor1d([k], 'int32'), state)).toThrow(VqValueError)
    tf.disposeVariables()
  }
})
