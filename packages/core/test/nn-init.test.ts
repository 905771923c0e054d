import { Random, tf, VqConfigError, VqShapeError } from '@vq/core'
import {
  Conv1d,
  Conv2d,
  Conv3d,
  ConvTranspose2d,
  ConvTranspose3d,
  Embedding,
  init,
  type Layer,
  Linear,
  LSTM,
  type Module,
  MultiHeadAttention,
  TransformerBlock,
} from '@vq/core/nn'
import fc from 'fast-check'
import { beforeEach, describe, expect, it } from 'vitest'

const values = (make: () => tf.Tensor): Float32Array => tf.tidy(() => make().dataSync<'float32'>())
const spread = (x: Float32Array): number => x.reduce((s, v) => s + v * v, 0) / x.length
const largest = (x: Float32Array): number => x.reduce((m, v) => Math.max(m, Math.abs(v)), 0)
const seeded = (): { random: Random } => ({ random: new Random(5) })

beforeEach(() => expect(tf.getBackend()).toBe('vq-cpu'))

/** Uniform in ±bound: nothing outside, and the variance bound²/3 within five standard errors. */
function expectUniform(x: Float32Array, bound: number): void {
  expect(largest(x)).toBeLessThanOrEqual(Math.fround(bound) * (1 + 2 ** -23))
  // The variance of u² is 4/45 for u in ±1.
  const error = 5 * Math.sqrt(4 / 45 / x.length)
  expect(Math.abs(spread(x) / bound ** 2 - 1 / 3)).toBeLessThan(error)
}

function parametersOf(module: Module): Record<string, Float32Array> {
  const found = module.namedParameters().map(({ name, variable }) => [name, variable.dataSync<'float32'>()])
  module.dispose()
  return Object.fromEntries(found)
}

describe('initial parameters are PyTorch’s', () => {
  it('of linear and convolution layers: uniform in ±1/√fan-in, biases too', () => {
    const sizes = { inChannels: 12, outChannels: 24, kernelSize: 3 }
    const cases: [Module, number][] = [
      [new Linear({ inFeatures: 40, outFeatures: 50, ...seeded() }), 40],
      [new Conv1d({ ...sizes, ...seeded() }), 12 * 3],
      [new Conv2d({ ...sizes, groups: 3, ...seeded() }), 4 * 9],
      [new Conv3d({ ...sizes, ...seeded() }), 12 * 27],
      // PyTorch takes axis 1 of [in, out/groups, …]: the outputs.
      [new ConvTranspose2d({ ...sizes, groups: 2, ...seeded() }), 12 * 9],
      [new ConvTranspose3d({ ...sizes, ...seeded() }), 24 * 27],
    ]
    for (const [module, fanIn] of cases) {
      const { weight, bias } = parametersOf(module)
      expectUniform(weight, 1 / Math.sqrt(fanIn))
      expectUniform(bias, 1 / Math.sqrt(fanIn))
    }
  })

  it('of attention: Xavier’s uniform over all three projections, biases zero', () => {
    const sizes = { embedDim: 16, numHeads: 2 }
    const { in_proj_weight, in_proj_bias, ...out } = parametersOf(
      new MultiHeadAttention({ ...sizes, ...seeded() }),
    )
    expectUniform(in_proj_weight, Math.sqrt(6 / (16 + 48)))
    expectUniform(out['out_proj.weight'], 1 / 4)
    for (const bias of [in_proj_bias, out['out_proj.bias']]) expect(largest(bias)).toBe(0)
    const apart = parametersOf(new MultiHeadAttention({ ...sizes, kdim: 20, vdim: 30, ...seeded() }))
    expectUniform(apart.q_proj_weight, Math.sqrt(6 / 32))
    expectUniform(apart.k_proj_weight, Math.sqrt(6 / 36))
    expectUniform(apart.v_proj_weight, Math.sqrt(6 / 46))
  })

  it('of a transformer block: those of its parts, normalisations one and zero', () => {
    const block = new TransformerBlock({ embedDim: 16, numHeads: 2, feedForwardDim: 64, ...seeded() })
    const p = parametersOf(block)
    expectUniform(p['self_attn.in_proj_weight'], Math.sqrt(6 / 64))
    expectUniform(p['linear1.weight'], 1 / 4)
    expectUniform(p['linear1.bias'], 1 / 4)
    expectUniform(p['linear2.weight'], 1 / 8)
    for (const norm of ['norm1', 'norm2']) {
      expect(new Set(p[`${norm}.weight`])).toEqual(new Set([1]))
      expect(new Set(p[`${norm}.bias`])).toEqual(new Set([0]))
    }
    expect(p['self_attn.out_proj.bias'].every(b => b === 0)).toBe(true)
  })

  it('of an LSTM: uniform in ±1/√hidden', () => {
    const p = parametersOf(
      new LSTM({ inputSize: 6, hiddenSize: 25, numLayers: 2, bidirectional: true, ...seeded() }),
    )
    expect(Object.keys(p)).toHaveLength(16)
    expect(Object.keys(p).slice(0, 5)).toEqual([
      'weight_ih_l0',
      'weight_hh_l0',
      'bias_ih_l0',
      'bias_hh_l0',
      'weight_ih_l0_reverse',
    ])
    for (const x of Object.values(p)) expectUniform(x, 1 / 5)
  })

  it('of an embedding: N(0, 1), the padding row zeros', () => {
    const table = new Embedding({ numEmbeddings: 50, embeddingDim: 40, paddingIdx: -1, ...seeded() })
    const { weight } = parametersOf(table)
    const rows = weight.subarray(0, 49 * 40)
    expect(Math.abs(rows.reduce((a, b) => a + b) / rows.length)).toBeLessThan(5 / Math.sqrt(rows.length))
    expect(Math.abs(spread(rows) - 1)).toBeLessThan(5 * Math.sqrt(2 / rows.length))
    expect(largest(weight.subarray(49 * 40))).toBe(0)
  })

  it('repeat with the seed, and differ with another', () => {
    const makers: ((random: Random) => Module)[] = [
      random => new Conv2d({ inChannels: 2, outChannels: 3, kernelSize: 3, random }),
      random => new Linear({ inFeatures: 3, outFeatures: 2, random }),
      random => new LSTM({ inputSize: 2, hiddenSize: 3, random }),
      random => new Embedding({ numEmbeddings: 3, embeddingDim: 2, random }),
      random =>
        new TransformerBlock({ embedDim: 4, numHeads: 2, feedForwardDim: 8, crossAttention: true, random }),
    ]
    for (const make of makers) {
      const [a, b, c] = [1, 1, 2].map(seed => parametersOf(make(new Random(seed))))
      expect(a).toEqual(b)
      expect(a).not.toEqual(c)
    }
  })
})

describe('init', () => {
  it('counts fans as PyTorch does, of weights as they lie in memory', () => {
    // torch.nn.init._calculate_fan_in_and_fan_out of [50, 40], of [24, 4, 3, 3] and of [12, 24, 3].
    expect(init.fans([40, 50])).toEqual({ fanIn: 40, fanOut: 50 })
    expect(init.fans([3, 3, 4, 24])).toEqual({ fanIn: 36, fanOut: 216 })
    expect(init.fans([3, 24, 12])).toEqual({ fanIn: 72, fanOut: 36 })
    expect(() => init.fans([3])).toThrow(VqShapeError)
  })

  it('has PyTorch’s gains', () => {
    // torch.nn.init.calculate_gain
    const expected = { linear: 1, convolution: 1, sigmoid: 1, tanh: 1.6666666, relu: Math.SQRT2, selu: 0.75 }
    for (const [name, gain] of Object.entries(expected))
      expect(init.gain(name as init.Nonlinearity)).toBeCloseTo(gain, 6)
    expect(init.gain('leakyRelu')).toBeCloseTo(1.4141428, 6)
    expect(init.gain('leakyRelu', 0.2)).toBeCloseTo(1.3867505, 6)
    expect(() => init.gain('swish' as never)).toThrow(VqConfigError)
  })

  it('spreads by fan and gain', () => {
    const shape: [number, number] = [60, 90]
    expectUniform(
      values(() => init.xavierUniform(shape, { gain: 2, ...seeded() })),
      2 * Math.sqrt(6 / 150),
    )
    expectUniform(
      values(() => init.kaimingUniform(shape, { nonlinearity: 'relu', ...seeded() })),
      Math.SQRT2 * Math.sqrt(3 / 60),
    )
    expectUniform(
      values(() => init.kaimingUniform(shape, { mode: 'fanOut', slope: Math.sqrt(5), ...seeded() })),
      1 / Math.sqrt(90),
    )
    const error = 5 * Math.sqrt(2 / 5400)
    const xavier = values(() => init.xavierNormal(shape, seeded()))
    expect(Math.abs(spread(xavier) / (2 / 150) - 1)).toBeLessThan(error)
    const kaiming = values(() => init.kaimingNormal(shape, { mode: 'fanOut', ...seeded() }))
    expect(Math.abs(spread(kaiming) / (2 / 90) - 1)).toBeLessThan(error)
  })

  it('cuts normal numbers at values, with the moments of the cut distribution', () => {
    // Means and variances by scipy.stats.truncnorm.
    const cases = [
      { options: {}, mean: 0, variance: 0.773741 },
      { options: { deviation: 0.02 }, mean: 0, variance: 0.0004 },
      { options: { low: 1, high: 3 }, mean: 1.51005, variance: 0.173453 },
      { options: { mean: 1, deviation: 2, low: -1.5, high: 0 }, mean: -0.670049, variance: 0.180245 },
      { options: { low: 6, high: 1000 }, mean: 6.158483, variance: 0.023988 },
    ]
    for (const { options, mean, variance } of cases) {
      const x = values(() => init.truncatedNormal([20000], { ...options, ...seeded() }))
      const { low = -2, high = 2 } = options as init.TruncatedNormalOptions
      expect(x.every(v => v >= low && v <= high)).toBe(true)
      const average = x.reduce((a, b) => a + b) / x.length
      expect(Math.abs(average - mean)).toBeLessThan(5 * Math.sqrt(variance / x.length))
      expect(Math.abs(spread(x) - average ** 2 - variance)).toBeLessThan(0.05 * variance)
    }
    expect(() => init.truncatedNormal([2], { low: 1, high: 1 })).toThrow(VqConfigError)
  })

  it('makes orthonormal rows or columns of any shape', () => {
    const size = fc.integer({ min: 1, max: 6 })
    fc.assert(
      fc.property(fc.array(size, { minLength: 2, maxLength: 4 }), fc.nat(), (shape, seed) => {
        const columns = shape[shape.length - 1]
        const rows = shape.slice(0, -1).reduce((a, b) => a * b)
        const worst = tf.tidy(() => {
          const w = tf.reshape(
            init.orthogonal(shape as [number, number], { gain: 3, random: new Random(seed) }),
            [rows, columns],
          )
          const gram = tf.matMul(w, w, rows > columns, rows <= columns)
          return tf.max(tf.abs(tf.sub(gram, tf.mul(tf.eye(Math.min(rows, columns)), 9)))).dataSync()[0]
        })
        return worst < 1e-5
      }),
      { numRuns: 40 },
    )
    // Rotations of the plane: every direction is as likely.
    const first = values(() =>
      tf.stack(
        Array.from({ length: 400 }, (_, seed) => init.orthogonal([2, 2], { random: new Random(seed) })),
      ),
    ).filter((_, i) => i % 4 === 0)
    expect(Math.abs(first.reduce((a, b) => a + b) / 400)).toBeLessThan(5 * Math.sqrt(0.5 / 400))
    expect(Math.abs(spread(first) - 0.5)).toBeLessThan(0.1)
  })

  it('fills with one value', () => {
    expect(values(() => init.constant([3], 0.5))).toEqual(Float32Array.of(0.5, 0.5, 0.5))
    expect(values(() => init.zeros([2]))).toEqual(Float32Array.of(0, 0))
    expect(values(() => init.ones([2]))).toEqual(Float32Array.of(1, 1))
    const layer: Layer & { weight: tf.Variable } = new Linear({ inFeatures: 2, outFeatures: 2 })
    tf.tidy(() => layer.weight.assign(init.constant(layer.weight.shape, 7)))
    expect(layer.weight.dataSync()).toEqual(Float32Array.of(7, 7, 7, 7))
    layer.dispose()
  })
})
