import {
  DeviceArray,
  device,
  type Estimator,
  estimatorGradient,
  estimatorGradientTensors,
  tf,
  VqConfigError,
  VqShapeError,
} from '@vq/core'
import { describe, expect, it, test } from 'vitest'
import { onBackends } from '../../../test/contract/backends.js'
import { useDeviceLibrary } from './cuda-library.js'
import { draw } from './draw.js'

const dim = 19
const n = 40
const z = draw(n * dim, 1)
const q = draw(n * dim, 2)
const g = draw(n * dim, 3)
z.fill(0, 0, dim) // rows without a direction: nothing, the code itself, its opposite
q.set(z.subarray(dim, 2 * dim), dim)
q.set(
  z.subarray(2 * dim, 3 * dim).map(x => -x),
  2 * dim,
)

const dot = (a: number[], b: number[]): number => a.reduce((s, x, i) => s + x * b[i], 0)
const length = (a: number[]): number => Math.sqrt(dot(a, a))

// The published formulas in float64, row by row.
const oracles: Record<Estimator, (z: number[], q: number[], g: number[]) => number[]> = {
  ste: (_z, _q, g) => g,
  rotation: (z, q, g) => {
    const [a, b] = [length(z), length(q)]
    if (a < 1e-6 || b < 1e-6) return g
    const [e, u] = [z.map(x => x / a), q.map(x => x / b)]
    const m = e.map((x, i) => x + u[i])
    if (length(m) < 1e-6) return g
    const r = m.map(x => x / length(m))
    return g.map((x, i) => (b / a) * (x - 2 * r[i] * dot(r, g) + 2 * e[i] * dot(u, g)))
  },
  projection: (z, q, g) => {
    const d = q.map((x, i) => x - z[i])
    if (length(d) < 1e-6) return g
    const u = d.map(x => x / length(d))
    return u.map(x => dot(u, g) * x)
  },
}
const names = Object.keys(oracles) as Estimator[]
const row = (x: Float32Array, i: number): number[] => [...x.subarray(i * dim, (i + 1) * dim)]

function expectOracle(estimator: Estimator, found: ArrayLike<number>): void {
  const want = Array.from({ length: n }, (_, i) => oracles[estimator](row(z, i), row(q, i), row(g, i))).flat()
  expect(found.length).toBe(want.length)
  for (let i = 0; i < want.length; i++)
    expect(Math.abs(found[i] - want[i]), `${estimator} at ${i}`).toBeLessThan(2e-5 * (1 + Math.abs(want[i])))
}

describe('typed arrays', () => {
  useDeviceLibrary()

  it('follow the published formulas, with the same bits on the device and with more threads', () => {
    for (const estimator of names) {
      const want = estimatorGradient([z, q, g], { dim, estimator, threads: 1 })
      expectOracle(estimator, want)
      expect(estimatorGradient([z, q, g], { dim, estimator, threads: 2 })).toEqual(want)
      expect(estimatorGradient([z, q, g], { dim, estimator, device: 'cuda' })).toEqual(want)
      const resident = DeviceArray.upload(z)
      const found = estimatorGradient([resident, q, g], { dim, estimator })
      expect(found.read()).toEqual(want)
      resident.dispose()
      found.dispose()
    }
    expect(device.memory().cuda!.buffers).toBe(0)
  })

  it('are refused where they do not fit', () => {
    const call = (rows: unknown, options: unknown) => () => estimatorGradient(rows as never, options as never)
    expect(call([z, q, g], { dim, estimator: 'magic' })).toThrow(VqConfigError)
    expect(call([z, q, g.subarray(1)], { dim, estimator: 'ste' })).toThrow(VqShapeError)
    expect(call([z, q], { dim, estimator: 'ste' })).toThrow(VqShapeError)
    expect(call([z, q, [1]], { dim, estimator: 'ste' })).toThrow(VqConfigError)
    expect(call([z, q, g], { dim: dim - 1, estimator: 'rotation' })).toThrow(VqShapeError)
  })
})

onBackends(() => {
  it.each(names)(
    'the tensor form of %s follows the published formula, at first and second order',
    estimator => {
      tf.tidy(() => {
        const shape: [number, number, number] = [4, n / 4, dim]
        const [a, b, c] = [z, q, g].map(x => tf.tensor3d(x.slice(), shape))
        const found = estimatorGradientTensors(estimator, a, b, c)
        expect(found.shape).toEqual(shape)
        expectOracle(estimator, found.dataSync())
        // It is linear in g: its gradient along v is its transpose times v, so that v·E(g) = E*(v)·g.
        const v = tf.tensor3d(draw(n * dim, 9), shape)
        const back = tf.grad(x => tf.sum(tf.mul(v, estimatorGradientTensors(estimator, a, b, x as never))))(c)
        const [left] = tf.sum(tf.mul(v, found)).dataSync()
        const [right] = tf.sum(tf.mul(back, c)).dataSync()
        expect(Math.abs(left - right)).toBeLessThan(1e-4 * Math.max(1, Math.abs(left)))
        // z and q are held constant, whatever computes it.
        const through = (x: tf.Tensor): tf.Tensor =>
          tf.sum(tf.mul(v, estimatorGradientTensors(estimator, x as never, b, c)))
        expect(tf.max(tf.abs(tf.grad(x => tf.add(through(x), tf.mul(0, tf.sum(x))))(a))).dataSync()[0]).toBe(
          0,
        )
      })
    },
  )
})

test('on vq-cpu it is one kernel with the bits of the typed-array form', async () => {
  await tf.setBackend('vq-cpu')
  expect(tf.getBackend()).toBe('vq-cpu')
  for (const estimator of ['rotation', 'projection'] as const)
    tf.tidy(() => {
      const [a, b, c] = [z, q, g].map(x => tf.tensor2d(x.slice(), [n, dim]))
      const before = tf.memory().numTensors
      const found = estimatorGradientTensors(estimator, a, b, c)
      expect(tf.memory().numTensors - before).toBe(1)
      expect(found.dataSync()).toEqual(estimatorGradient([z, q, g], { dim, estimator }))
    })
})
