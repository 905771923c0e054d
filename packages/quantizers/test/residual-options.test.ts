// What residual VQ has in common with vector quantization: one level of it is that, several are the mean of it.
import { Random, tf } from '@vq/core'
import { valueAndGradients } from '@vq/core/optim'
import {
  GroupedResidualVQ,
  ResidualVQ,
  type ResidualVQOptions,
  VectorQuantizer,
  type VectorQuantizerOptions,
} from '@vq/quantizers'
import { describe, expect, it } from 'vitest'
import { onBackends } from '../../../test/contract/backends.js'

const normal = (n: number, seed: number): Float32Array => new Random(seed).fillNormal(new Float32Array(n))
const [N, K, D, Q] = [24, 6, 4, 3]
const zs = normal(N * D, 1)
const ws = normal(N * D, 2)
const books = Array.from({ length: Q }, (_, l) => normal(K * D, 10 + l).map(x => x / (l + 1)))
const numbers = (t: tf.Tensor): number[] => Array.from(t.dataSync())

type Shared = Partial<ResidualVQOptions> & Partial<VectorQuantizerOptions>
const options = { numEmbeddings: K, embeddingDim: D } as const

/** Levels that start from `books`; the generator is at the same place whatever their number. */
function residual(own: Partial<ResidualVQOptions>, levels = Q): ResidualVQ {
  let level = 0
  const initCodebook = (): Float32Array => books[level++]
  return new ResidualVQ({ ...options, numQuantizers: levels, initCodebook, random: new Random(5), ...own })
}

function single(own: Partial<VectorQuantizerOptions>, level = 0): VectorQuantizer {
  return new VectorQuantizer({ ...options, initCodebook: books[level], random: new Random(5), ...own })
}

interface Step {
  indices: number[]
  quantized: number[]
  losses: Record<string, number>
  value: number
  z: number[]
  parameters: number[][]
}

/** One training step: sum(w·quantized) + loss, its parts and its gradients. */
function step(q: ResidualVQ | VectorQuantizer, rows: Float32Array, weight = 1): Step {
  const z = tf.tidy(() => tf.variable(tf.tensor2d(rows.slice(), [rows.length / D, D])))
  const weights = rows.map((_, i) => weight * ws[i % ws.length])
  const w = tf.tensor2d(weights, [rows.length / D, D])
  const seen: Pick<Step, 'indices' | 'quantized' | 'losses'> = { indices: [], quantized: [], losses: {} }
  const variables = [z, ...q.namedParameters().map(p => p.variable)]
  const { value, gradients } = valueAndGradients(() => {
    const { quantized, indices, loss, losses } = q.forward(z)
    seen.indices = numbers(indices)
    seen.quantized = numbers(quantized)
    for (const [name, t] of Object.entries(losses)) seen.losses[name] = t.dataSync()[0]
    return tf.add(tf.sum(tf.mul(quantized, w)), loss)
  }, variables)
  const [gz, ...rest] = gradients.map(g => (g === null ? [] : numbers(g)))
  const out = { ...seen, value: value.dataSync()[0], z: gz, parameters: rest }
  tf.dispose([value, z, w, ...gradients.filter(g => g !== null)])
  return out
}

function close(actual: readonly number[], expected: readonly number[], what: string, tolerance = 1e-5): void {
  expect(actual.length, what).toBe(expected.length)
  const scale = expected.reduce((most, v) => Math.max(most, Math.abs(v)), 1e-12)
  const worst = expected.reduce((most, v, i) => Math.max(most, Math.abs(actual[i] - v)), 0)
  expect(worst / scale, what).toBeLessThan(tolerance)
}

const gradient = { codebookUpdate: 'gradient' } as const
const orthogonal = { ...gradient, orthogonalWeight: 2 }
const cases: Record<string, Shared> = {
  sampleTemperature: { sampleTemperature: 1.5 },
  'sampleTemperature, dead codes': { sampleTemperature: 0.5, deadCodeThreshold: 0.9, decay: 0.5 },
  'sampleTemperature, rotation': { ...gradient, sampleTemperature: 3, estimator: 'rotation' },
  'cross-entropy': { commitment: 'cross-entropy', commitmentCost: 0.7 },
  'cross-entropy, learnable': { codebookUpdate: 'learnable', commitment: 'cross-entropy' },
  diversity: { ...gradient, diversityWeight: 0.3, diversityTemperature: 0.5 },
  'diversity, averages': { diversityWeight: 0.3 },
  orthogonal,
  'orthogonal, those chosen': { ...orthogonal, orthogonalActiveOnly: true },
  'orthogonal, some': { ...orthogonal, orthogonalMaxCodes: 3 },
  all: {
    ...orthogonal,
    codebookUpdate: 'learnable',
    orthogonalMaxCodes: 4,
    sampleTemperature: 1,
    commitment: 'cross-entropy',
    diversityWeight: 0.2,
    deadCodeThreshold: 0.9,
    decay: 0.5,
  },
}

onBackends(() => {
  it.each(Object.entries(cases))(
    '%s: one level is vector quantization: the same codes, draws, losses and gradients',
    (_, own) => {
      const [rvq, vq] = [residual(own, 1), single(own)]
      for (let i = 0; i < 4; i++) {
        const rows = normal(N * D, 20 + i)
        const [{ z, parameters, ...seen }, { z: gz, parameters: own, ...expected }] = [
          step(rvq, rows),
          step(vq, rows),
        ]
        expect(seen).toEqual(expected)
        // The parts of a gradient are added in another order.
        close(z, gz, 'z', 1e-6)
        expect(parameters.length).toBe(own.length)
        for (const [j, g] of parameters.entries()) close(g, own[j], 'codes', 1e-6)
      }
      const renamed = Object.entries(vq.stateDict()).map(([name, value]) => [`levels.0.${name}`, value])
      expect(rvq.stateDict()).toEqual(Object.fromEntries(renamed))
      expect(rvq.levels.modules[0].extraState() ?? rvq.extraState()).toEqual(vq.extraState())
      rvq.dispose()
      vq.dispose()
    },
  )

  it.each(
    Object.entries(cases).filter(
      ([, { sampleTemperature, orthogonalMaxCodes }]) => !(sampleTemperature || orthogonalMaxCodes),
    ),
  )('%s: losses and gradients of three levels are the means of those of each', (_, own) => {
    const rvq = residual(own)
    const all = step(rvq, zs)
    rvq.dispose()
    const gz = Array.from(ws) as number[]
    const losses: Record<string, number> = {}
    let rest = zs
    for (let l = 0; l < Q; l++) {
      const vq = single(
        { ...own, codebookUpdate: rvq.options.codebookUpdate === 'ema' ? 'ema' : 'gradient' },
        l,
      )
      // Without what comes from above: that of the losses alone.
      const part = step(vq, rest, 0)
      vq.dispose()
      expect(all.indices.filter((_, i) => i % Q === l)).toEqual(part.indices)
      for (const [name, value] of Object.entries(part.losses)) losses[name] = (losses[name] ?? 0) + value / Q
      for (const [i, g] of part.z.entries()) gz[i] += g / Q
      if (rvq.options.codebookUpdate !== 'ema') {
        const own = part.parameters[0].map(g => g / Q)
        if (rvq.options.codebookUpdate === 'learnable')
          for (let i = 0; i < N * D; i++) own[part.indices[Math.floor(i / D)] * D + (i % D)] += ws[i]
        close(all.parameters[l], own, `codes of level ${l}`)
      }
      rest = rest.map((x, i) => x - books[l][part.indices[Math.floor(i / D)] * D + (i % D)])
    }
    // A single step's straight-through gradient is w; each level's losses reach z as they are.
    close(all.z, gz, 'z')
    expect(Object.keys(all.losses)).toEqual(Object.keys(losses))
    close(Object.values(all.losses), Object.values(losses), 'losses')
  })

  it('cross-entropy, diversity and orthogonality are those of float64', () => {
    const rvq = residual({
      ...cases.all,
      sampleTemperature: 0,
      orthogonalMaxCodes: K,
      diversityTemperature: 0.8,
    })
    const { losses, indices } = step(rvq, zs)
    rvq.dispose()
    const expected = { commitment: 0, diversity: 0, orthogonal: 0 }
    const rest = Float64Array.from(zs)
    for (let l = 0; l < Q; l++) {
      const code = (k: number): number[] => Array.from(books[l].subarray(k * D, k * D + D))
      const softmax = (n: number, temperature: number): number[] => {
        const weights = Array.from({ length: K }, (_, k) =>
          Math.exp(-code(k).reduce((s, e, d) => s + (rest[n * D + d] - e) ** 2, 0) / temperature),
        )
        const total = weights.reduce((a, b) => a + b)
        return weights.map(w => w / total)
      }
      const mean = new Array<number>(K).fill(0)
      for (let n = 0; n < N; n++) {
        expected.commitment -= (0.25 * Math.log(softmax(n, 1)[indices[n * Q + l]])) / (N * Q)
        for (const [k, p] of softmax(n, 0.8).entries()) mean[k] += p / N
      }
      const entropy = -mean.reduce((s, p) => s + p * Math.log(p), 0)
      expected.diversity += (0.2 * (Math.log(K) - entropy)) / Q
      const norm = (e: number[]): number => Math.hypot(...e)
      for (let a = 0; a < K; a++)
        for (let b = 0; b < K; b++) {
          const cos = code(a).reduce((s, x, d) => s + x * code(b)[d], 0) / (norm(code(a)) * norm(code(b)))
          expected.orthogonal += (2 * (cos - Number(a === b)) ** 2) / (K * K * Q)
        }
      for (let i = 0; i < N * D; i++) rest[i] -= books[l][indices[Math.floor(i / D) * Q + l] * D + (i % D)]
    }
    for (const [name, value] of Object.entries(expected)) expect(losses[name], name).toBeCloseTo(value, 5)
  })

  it('a shared codebook has one term, over what all levels have left', () => {
    const own = { ...cases.all, sampleTemperature: 0, orthogonalMaxCodes: K, orthogonalActiveOnly: true }
    const rvq = residual({ ...own, codebookUpdate: 'gradient', deadCodeThreshold: 0, sharedCodebook: true })
    const all = step(rvq, zs, 0)
    rvq.dispose()
    const parts: number[] = []
    let rest = zs
    for (let l = 0; l < Q; l++) {
      parts.push(...rest)
      rest = rest.map((x, i) => x - books[0][all.indices[Math.floor(i / D) * Q + l] * D + (i % D)])
    }
    const vq = single({ ...own, codebookUpdate: 'gradient', deadCodeThreshold: 0 })
    const each = step(vq, Float32Array.from(parts), 0)
    vq.dispose()
    for (const [name, value] of Object.entries(each.losses)) close([all.losses[name]], [value], name)
    close(all.parameters[0], each.parameters[0], 'codes')
    const sums = Array.from(zs, (_, i) => each.z.filter((_, j) => j % (N * D) === i).reduce((a, b) => a + b))
    close(all.z, sums, 'z')
  })

  it('draws the code of each level with probability softmax(−‖r − e‖²/τ) of what the drawn codes left', () => {
    const [draws, temperature] = [20_000, 1.2]
    const rvq = residual({ ...gradient, sampleTemperature: temperature }, 2)
    const rows = Float32Array.from({ length: draws * D }, (_, i) => zs[i % D])
    const softmax = (r: ArrayLike<number>, book: Float32Array): number[] => {
      const weights = Array.from({ length: K }, (_, k) =>
        Math.exp(-Array.from(r).reduce((s, x, d) => s + (x - book[k * D + d]) ** 2, 0) / temperature),
      )
      const total = weights.reduce((a, b) => a + b)
      return weights.map(w => w / total)
    }
    tf.tidy(() => {
      const z = tf.tensor2d(rows, [draws, D])
      const { indices, quantized } = rvq.forward(z)
      expect(rvq.decode(indices).dataSync()).toEqual(quantized.dataSync())
      const seen = new Float64Array(K * K)
      const codes = indices.dataSync()
      for (let n = 0; n < draws; n++) seen[codes[2 * n] * K + codes[2 * n + 1]] += 1 / draws
      for (const [a, first] of softmax(zs.subarray(0, D), books[0]).entries()) {
        const left = Array.from(zs.subarray(0, D), (x, d) => x - books[0][a * D + d])
        for (const [b, second] of softmax(left, books[1]).entries()) {
          const p = first * second
          expect(Math.abs(seen[a * K + b] - p)).toBeLessThan(5 * Math.sqrt((p * (1 - p)) / draws) + 1e-6)
        }
      }
      // Neither `encode` nor a frozen quantizer nor evaluation draws.
      const nearest = residual({}, 2).eval()
      const one = tf.tensor2d(zs.slice(), [N, D])
      const expected = numbers(nearest.forward(one).indices)
      nearest.dispose()
      expect(numbers(rvq.encode(one))).toEqual(expected)
      expect(numbers(rvq.freeze().forward(one).indices)).toEqual(expected)
      expect(numbers(rvq.freeze(false).eval().forward(one).indices)).toEqual(expected)
    })
    rvq.dispose()
  })

  it('masked vectors are as if absent in training: the same draws, losses and gradients', () => {
    const own = { ...cases.all, quantizeDropout: 0.5 }
    const [whole, masked] = [residual(own), residual(own)]
    for (let i = 0; i < 3; i++) {
      const rows = normal(N * D, 30 + i)
      const [with_, without] = [masked, whole].map((q, at) => {
        // Every third row is masked, and NaN.
        const holes = at === 0
        const count = holes ? N : (N / 3) * 2
        const places = Array.from({ length: count }, (_, n) => (holes ? n : Math.floor(n / 2) * 3 + (n % 2)))
        const keep = places.map(n => n % 3 < 2)
        const values = places.flatMap((n, j) =>
          keep[j] ? Array.from(rows.subarray(n * D, n * D + D)) : new Array<number>(D).fill(Number.NaN),
        )
        const z = tf.tidy(() => tf.variable(tf.tensor2d(values, [count, D])))
        const mask = tf.tensor1d(keep, 'bool')
        let seen: unknown[] = []
        const { value, gradients } = valueAndGradients(() => {
          const { quantized, indices, loss, losses } = q.forward(z, { mask })
          const codes = numbers(indices).filter((_, j) => keep[Math.floor(j / Q)])
          seen = [codes, Object.entries(losses).map(([name, t]) => [name, t.dataSync()[0]])]
          return tf.add(tf.sum(tf.square(quantized)), loss)
        }, [z])
        const g = numbers(gradients[0] as tf.Tensor)
        expect(g.filter((x, j) => !keep[Math.floor(j / D)] && x !== 0)).toEqual([])
        tf.dispose([value, ...(gradients as tf.Tensor[]), z, mask])
        return [...seen, g.filter((_, j) => keep[Math.floor(j / D)])]
      })
      expect(with_).toEqual(without)
    }
    expect(masked.stateDict()).toEqual(whole.stateDict())
    whole.dispose()
    masked.dispose()
  })

  it('takes as many numbers from its generator whatever the batch, so that processes stay alike', () => {
    const states = [N, 5, 0].map(n => {
      const own = { ...cases.all, quantizeDropout: 0.5, orthogonalActiveOnly: true, deadCodeThreshold: 0 }
      const [rvq, vq] = [
        residual(own),
        single({ ...cases.all, orthogonalActiveOnly: true, deadCodeThreshold: 0 }),
      ]
      const mask = tf.tensor1d(
        Array.from({ length: N }, (_, i) => i < n),
        'bool',
      )
      const z = tf.tensor2d(zs.slice(), [N, D])
      const state = [rvq, vq].map(q => {
        tf.tidy(() => {
          for (let i = 0; i < 3; i++) q.forward(z, { mask })
        })
        const extra = q.extraState()
        q.dispose()
        return extra
      })
      tf.dispose([mask, z])
      return state
    })
    expect(states[0]).toEqual([{ random: expect.anything() }, { random: expect.anything() }])
    expect(states.slice(1)).toEqual([states[0], states[0]])
  })

  it('resumed training draws on where it was saved', () => {
    const own = { ...gradient, sampleTemperature: 2, orthogonalWeight: 1, orthogonalMaxCodes: 2 }
    const [first, second] = [residual(own), residual(own)]
    step(first, zs)
    const state = JSON.parse(JSON.stringify(first.extraState()))
    const steps = [0, 1].map(() => step(first, zs))
    step(second, normal(5 * D, 8)) // elsewhere in the stream
    second.loadStateDict(first.stateDict())
    second.loadExtraState(state)
    expect([0, 1].map(() => step(second, zs))).toEqual(steps)
    expect(steps[1].indices).not.toEqual(steps[0].indices)
    first.dispose()
    second.dispose()
  })
})

describe('GroupedResidualVQ', () => {
  it('has the means over its groups', () => {
    const own = {
      ...gradient,
      commitment: 'cross-entropy',
      diversityWeight: 0.3,
      orthogonalWeight: 2,
    } as const
    let at = 0
    const initCodebook = (): Float32Array => books[at++ % 2]
    const q = new GroupedResidualVQ({
      ...own,
      numEmbeddings: K,
      dim: 2 * D,
      groups: 2,
      numQuantizers: 1,
      initCodebook,
    })
    const rows = tf.tensor2d(zs.slice(), [N / 2, 2 * D])
    const { losses } = q.forward(rows)
    const parts = tf.split(rows, 2, 1).map((part, g) => step(single(own, g), part.dataSync() as Float32Array))
    expect(Object.keys(losses)).toEqual(['commitment', 'codebook', 'diversity', 'orthogonal'])
    for (const [name, t] of Object.entries(losses))
      expect(t.dataSync()[0], name).toBeCloseTo((parts[0].losses[name] + parts[1].losses[name]) / 2, 5)
    q.dispose()
  })
})
