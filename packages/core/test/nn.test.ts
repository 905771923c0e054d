import { Random, tf, VqConfigError, VqFormatError, VqShapeError } from '@vq/core'
import {
  BatchNorm,
  Conv2d,
  ConvTranspose2d,
  convLayout,
  Dropout,
  Embedding,
  fromDisk,
  GELU,
  init,
  LayerNorm,
  Linear,
  LSTM,
  Module,
  MultiHeadAttention,
  ReLU,
  Sequential,
  Sigmoid,
  SiLU,
  Tanh,
  toDisk,
} from '@vq/core/nn'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { onBackends, use } from '../../../test/contract/backends.js'

const drawn = (shape: number[], seed = 1): Float32Array =>
  new Random(seed).fillNormal(new Float32Array(shape.reduce((a, b) => a * b, 1)))
const close = (actual: ArrayLike<number>, expected: ArrayLike<number>, tolerance = 1e-5): void => {
  expect(actual.length).toBe(expected.length)
  for (let i = 0; i < expected.length; i++)
    expect(Math.abs(actual[i] - expected[i]), `at ${i}`).toBeLessThan(
      tolerance * Math.max(1, Math.abs(expected[i])),
    )
}

describe('layouts', () => {
  it('come back, and put element [h, w, i, o] at [o, i, h, w]', () => {
    const size = fc.integer({ min: 1, max: 4 })
    fc.assert(
      fc.property(fc.tuple(size, size, size, size), shape => {
        const [H, W, I, O] = shape
        const memory = Float32Array.from({ length: H * W * I * O }, (_, i) => i)
        const disk = toDisk(memory, shape, convLayout)
        for (let h = 0; h < H; h++)
          for (let w = 0; w < W; w++)
            for (let i = 0; i < I; i++)
              for (let o = 0; o < O; o++)
                if (disk[((o * I + i) * H + h) * W + w] !== memory[((h * W + w) * I + i) * O + o])
                  return false
        return fromDisk(disk, shape, convLayout).every((x, i) => x === memory[i])
      }),
    )
  })
})

onBackends(() => {
  describe('layers', () => {
    it('Linear multiplies by its weight on disk, [out, in], and adds its bias', () => {
      const layer = new Linear({ inFeatures: 3, outFeatures: 2 })
      const { weight, bias } = layer.stateDict()
      expect(weight.shape).toEqual([2, 3])
      const x = drawn([4, 5, 3])
      const y = tf.tidy(() => {
        const out = layer.forward(tf.tensor3d(x, [4, 5, 3]))
        expect(out.shape).toEqual([4, 5, 2])
        return out.dataSync()
      })
      const [w, b] = [weight.data as Float32Array, bias.data as Float32Array]
      const oracle = Array.from({ length: 40 }, (_, n) => {
        const [row, o] = [Math.floor(n / 2), n % 2]
        return [0, 1, 2].reduce((s, i) => s + x[row * 3 + i] * w[o * 3 + i], b[o])
      })
      close(y, oracle)
      layer.dispose()
    })

    it('Conv2d and ConvTranspose2d are each other’s adjoint on weights that share a disk layout', () => {
      // ⟨conv(x), y⟩ = ⟨x, convᵀ(y)⟩, with OIHW of the one being IOHW of the other.
      const down = { kernelSize: 4, stride: 2, padding: 1, bias: false }
      const conv = new Conv2d({ inChannels: 2, outChannels: 3, ...down })
      const transposed = new ConvTranspose2d({ inChannels: 3, outChannels: 2, ...down })
      expect(conv.stateDict().weight.shape).toEqual([3, 2, 4, 4])
      transposed.loadStateDict(conv.stateDict())
      tf.tidy(() => {
        const x = tf.tensor4d(drawn([2, 8, 6, 2]), [2, 8, 6, 2])
        const y = tf.tensor4d(drawn([2, 4, 3, 3], 2), [2, 4, 3, 3])
        const [a, b] = [conv.forward(x), transposed.forward(y)]
        expect([a.shape, b.shape]).toEqual([y.shape, x.shape])
        const [left, right] = [tf.sum(tf.mul(a, y)), tf.sum(tf.mul(x, b))].map(t => t.dataSync()[0])
        expect(left).toBeCloseTo(right, 3)
        expect(() => conv.forward(y)).toThrow(VqShapeError)
      })
      conv.dispose()
      transposed.dispose()
    })

    it('BatchNorm normalises by the batch and follows it, the variance unbiased', () => {
      const bn = new BatchNorm({ numFeatures: 2 })
      const x = drawn([6, 2])
      const moments = [0, 1].map(c => {
        const column = Array.from({ length: 6 }, (_, i) => x[i * 2 + c])
        const mean = column.reduce((a, b) => a + b) / 6
        return { mean, variance: column.reduce((s, v) => s + (v - mean) ** 2, 0) / 6 }
      })
      tf.tidy(() => {
        const y = bn.forward(tf.tensor2d(x.slice(), [6, 2])).dataSync()
        close(
          y,
          Array.from(x, (v, i) => (v - moments[i % 2].mean) / Math.sqrt(moments[i % 2].variance + 1e-5)),
        )
      })
      const state = bn.stateDict()
      expect(Object.keys(state)).toEqual([
        'weight',
        'bias',
        'running_mean',
        'running_var',
        'num_batches_tracked',
      ])
      close(
        state.running_mean.data as Float32Array,
        moments.map(m => 0.1 * m.mean),
      )
      close(
        state.running_var.data as Float32Array,
        moments.map(m => 0.9 + (0.1 * m.variance * 6) / 5),
      )
      expect(state.num_batches_tracked.data).toEqual(BigInt64Array.of(1n))
      bn.eval()
      tf.tidy(() => {
        const y = bn.forward(tf.tensor2d(x.slice(), [6, 2])).dataSync()
        const oracle = Array.from(x, (v, i) => {
          const { mean, variance } = moments[i % 2]
          return (v - 0.1 * mean) / Math.sqrt(0.9 + (0.1 * variance * 6) / 5 + 1e-5)
        })
        close(y, oracle)
        expect(() => bn.train().forward(tf.zeros([1, 2]))).toThrow(/more than one value per channel/)
      })
      expect(bn.stateDict().num_batches_tracked.data).toEqual(BigInt64Array.of(1n))
      bn.dispose()
    })

    it('a convolution runs into its normalisation as the two would one after the other', () => {
      const given = { random: new Random(3), kernelSize: 3, padding: 1 }
      // The second is wide enough for Winograd's algorithm, which adds apart.
      for (const [inChannels, outChannels, batch, groups] of [
        [3, 5, 2, 1],
        [32, 32, 16, 1],
        [4, 6, 2, 2],
      ]) {
        const conv = new Conv2d({ inChannels, outChannels, groups, bias: inChannels === 3, ...given })
        const norm = new BatchNorm({ numFeatures: outChannels })
        tf.tidy(() => {
          norm.weight?.assign(tf.linspace(-1, 2, outChannels))
          norm.bias?.assign(tf.linspace(1, -1, outChannels))
          norm.runningMean?.assign(tf.linspace(-0.5, 0.5, outChannels))
          norm.runningVariance?.assign(tf.linspace(0.1, 2, outChannels))
        })
        const random = new Random(4)
        const noise = (channels: number): tf.Tensor =>
          tf.tensor(random.fillNormal(new Float32Array(batch * 64 * channels)), [batch, 8, 8, channels])
        const [x, added] = [noise(inChannels), noise(outChannels)]
        for (const training of [false, true])
          for (const after of [{}, { relu: true }, { added }, { relu: true, added }]) {
            norm.train(training)
            const before = tf.memory().numTensors
            const one = conv.forwardInto(norm, x, after)
            const statistics = norm.runningMean?.dataSync()
            const other = tf.tidy(() => {
              const z = tf.add(norm.forward(conv.forward(x)), after.added ?? 0)
              return after.relu === true ? tf.relu(z) : z
            })
            expect(tf.memory().numTensors).toBe(before + 2)
            const apart = tf.tidy(() => tf.max(tf.abs(tf.sub(one, other))).dataSync()[0])
            expect(apart).toBeLessThan(1e-4)
            expect(statistics?.some(Number.isNaN)).toBe(false)
            tf.dispose([one, other])
          }
        norm.eval()
        // Gradients of evaluation go through both.
        const gradient = tf.tidy(() =>
          tf
            .grad(x => tf.sum(conv.forwardInto(norm, x, { relu: true })))(x)
            .dataSync(),
        )
        expect(gradient.some(v => v !== 0)).toBe(true)
        const wider = new BatchNorm({ numFeatures: outChannels + 1 }).eval()
        expect(() => conv.forwardInto(wider as BatchNorm, x)).toThrow(VqShapeError)
        for (const module of [conv, norm, wider]) module.dispose()
        tf.dispose([x, added])
      }
    })

    it('Sequential joins BatchNorm and ReLU without changing names or values', () => {
      const make = (): BatchNorm => new BatchNorm({ numFeatures: 3 })
      const joined = new Sequential(make(), new ReLU(), new Linear({ inFeatures: 3, outFeatures: 2 }))
      expect(Object.keys(joined.stateDict()).filter(k => !k.startsWith('0.'))).toEqual(['2.weight', '2.bias'])
      const alone = make()
      tf.tidy(() => {
        const x = tf.tensor2d(drawn([5, 3]), [5, 3])
        const expected = joined.layers[2].forward(tf.relu(alone.forward(x))).dataSync()
        close(joined.forward(x).dataSync(), expected)
      })
      joined.dispose()
      alone.dispose()
    })

    it('Sequential joins Linear and what activates it without changing values', () => {
      const linear = new Linear({ inFeatures: 3, outFeatures: 4 })
      const activations = [
        new ReLU(),
        new GELU(),
        new GELU({ approximate: 'tanh' }),
        new SiLU(),
        new Tanh(),
        new Sigmoid(),
      ]
      class Doubled extends ReLU {
        override forward(x: tf.Tensor): tf.Tensor {
          return tf.mul(x, 2)
        }
      }
      tf.tidy(() => {
        const x = tf.tensor2d(drawn([5, 3]), [5, 3])
        for (const activation of [...activations, new Doubled()]) {
          const apart = activation.forward(linear.forward(x)).dataSync()
          close(new Sequential(linear, activation).forward(x).dataSync(), apart, 1e-6)
        }
      })
      linear.dispose()
    })

    it('LayerNorm normalises each vector, then scales and shifts', () => {
      const layer = new LayerNorm({ numFeatures: 4, epsilon: 0 })
      layer.loadStateDict({
        weight: { dtype: 'F32', shape: [4], data: Float32Array.of(1, 2, 3, 4) },
        bias: { dtype: 'F32', shape: [4], data: Float32Array.of(0, 0, 0, 10) },
      })
      tf.tidy(() => {
        // Mean 4, variance 5: deviations −3, −1, 1, 3.
        const y = layer.forward(tf.tensor2d([[1, 3, 5, 7]])).dataSync()
        const unit = 1 / Math.sqrt(5)
        close(y, [-3 * unit, -2 * unit, 3 * unit, 10 + 12 * unit])
        expect(() => layer.forward(tf.zeros([2, 3]))).toThrow(VqShapeError)
      })
      layer.dispose()
    })

    it.each<[string, (random: Random) => Dropout | MultiHeadAttention | LSTM, number[]]>([
      ['Dropout', random => new Dropout({ rate: 0.5, random }), [40]],
      [
        'MultiHeadAttention',
        random => new MultiHeadAttention({ embedDim: 8, numHeads: 2, dropout: 0.5, random }),
        [2, 9, 8],
      ],
      [
        'LSTM',
        random => new LSTM({ inputSize: 8, hiddenSize: 8, numLayers: 2, dropout: 0.5, random }),
        [2, 9, 8],
      ],
    ])('%s with a generator of its own goes on from its state, plain JSON', (_, make, shape) => {
      const [one, other] = [3, 8].map(seed => make(new Random(seed))) as unknown as [Dropout, Dropout]
      other.loadStateDict(one.stateDict())
      tf.tidy(() => {
        const x = tf.ones(shape)
        const values = (module: Dropout): Float32Array => {
          const y = module.forward(x) as tf.Tensor | { output: tf.Tensor }
          return (y instanceof tf.Tensor ? y : y.output).dataSync() as Float32Array
        }
        values(one)
        const state = JSON.parse(JSON.stringify(one.extraState()))
        const next = values(one)
        expect(values(other)).not.toEqual(next)
        other.loadExtraState(state)
        expect(values(other)).toEqual(next)
      })
      for (const module of [one, other]) module.dispose()
      expect(new Dropout({ rate: 0.5 }).extraState()).toBeUndefined()
    })

    it('Dropout drops its share in training, scales the rest, and rests in evaluation', () => {
      const layer = new Dropout({ rate: 0.25, random: new Random(3) })
      tf.tidy(() => {
        const x = tf.ones([100, 100])
        const y = layer.forward(x).dataSync()
        const dropped = y.filter(v => v === 0).length / y.length
        expect(Math.abs(dropped - 0.25)).toBeLessThan(0.02) // 4.6 standard deviations
        expect(y.filter(v => v !== 0).every(v => Math.abs(v - 4 / 3) < 1e-6)).toBe(true)
        expect(layer.eval().forward(x).dataSync()).toEqual(x.dataSync())
      })
      expect(() => new Dropout({ rate: 1.5 })).toThrow(VqConfigError)
    })

    it('Linear applies an activation in the same pass', () => {
      const layer = new Linear({ inFeatures: 3, outFeatures: 5 })
      tf.tidy(() => {
        const x = tf.tensor2d(drawn([4, 3]), [4, 3])
        close(layer.forward(x, { activation: 'relu' }).dataSync(), tf.relu(layer.forward(x)).dataSync(), 1e-6)
      })
      layer.dispose()
    })

    it('Embedding gives the rows of its table', () => {
      const table = new Embedding({ numEmbeddings: 4, embeddingDim: 2 })
      tf.tidy(() => {
        const y = table.forward(tf.tensor2d([[3, 0]], [1, 2], 'int32'))
        const w = table.weight.dataSync()
        expect([y.shape, Array.from(y.dataSync())]).toEqual([
          [1, 2, 2],
          [w[6], w[7], w[0], w[1]],
        ])
      })
      table.dispose()
    })
  })

  describe('Module', () => {
    class Pair extends Module {
      readonly a = this.addModule('a', new Linear({ inFeatures: 2, outFeatures: 1 }))
      readonly b = this.addModule('b', new Sequential(new BatchNorm({ numFeatures: 2 })))
      readonly steps = this.addCounter('steps', 3)
    }

    it('names everything by dots, and copies through its state', () => {
      const [one, two] = [new Pair(), new Pair()]
      expect(one.namedParameters().map(p => p.name)).toEqual(['a.weight', 'a.bias', 'b.0.weight', 'b.0.bias'])
      expect(one.namedBuffers().map(p => p.name)).toEqual(['b.0.running_mean', 'b.0.running_var'])
      expect(one.parameterCount()).toBe(7)
      one.steps.value = 9
      two.loadStateDict(one.stateDict())
      expect(two.stateDict()).toEqual(one.stateDict())
      expect(two.steps.value).toBe(9)
      one.dispose()
      two.dispose()
    })

    it('refuses a state that does not fit, names what is wrong, and stays as it was', () => {
      const pair = new Pair()
      const before = pair.stateDict()
      const { 'a.weight': weight, 'a.bias': _, ...rest } = pair.stateDict()
      const wrong = { ...rest, 'a.weight': { ...weight, shape: [2, 1] }, extra: weight }
      expect(() => pair.loadStateDict(wrong)).toThrow(VqFormatError)
      for (const message of [
        /missing 'a.bias'/,
        /unexpected 'extra'/,
        /'a.weight' has shape \[2,1\] instead of \[1,2\]/,
      ])
        expect(() => pair.loadStateDict(wrong)).toThrow(message)
      const typed = { ...before, steps: { dtype: 'F32' as const, shape: [], data: Float32Array.of(1) } }
      expect(() => pair.loadStateDict(typed)).toThrow(/'steps' is F32 instead of I64/)
      expect(pair.stateDict()).toEqual(before)
      pair.dispose()
    })

    it('passes train, eval and freeze to its children', () => {
      const pair = new Pair()
      const modes = (): boolean[] => pair.namedModules().map(([, m]) => m.training)
      expect(pair.eval() && new Set(modes())).toEqual(new Set([false]))
      expect(pair.train() && new Set(modes())).toEqual(new Set([true]))
      pair.freeze()
      expect(pair.namedParameters().some(p => p.variable.trainable)).toBe(false)
      pair.freeze(false)
      expect(pair.namedParameters().every(p => p.variable.trainable)).toBe(true)
      pair.dispose()
    })

    it('refuses a name twice', () => {
      class Twice extends Module {
        constructor() {
          super()
          this.addCounter('x')
          this.addCounter('x')
        }
      }
      expect(() => new Twice()).toThrow(VqConfigError)
    })
  })
})

describe('initial weights', () => {
  it('are PyTorch’s: uniform in ±1/√fan-in, whose variance is 1/(3·fan-in)', async () => {
    await use('vq-cpu')
    const cases = [
      [new Conv2d({ inChannels: 16, outChannels: 32, kernelSize: 3 }), 16 * 9],
      // PyTorch takes axis 1 of [I, O, k, k]: the outputs.
      [new ConvTranspose2d({ inChannels: 16, outChannels: 32, kernelSize: 3 }), 32 * 9],
      [new Linear({ inFeatures: 64, outFeatures: 64 }), 64],
    ] as const
    for (const [layer, fanIn] of cases) {
      for (const x of [layer.weight, layer.bias!])
        expect(Math.max(...x.dataSync().map(Math.abs))).toBeLessThanOrEqual(Math.fround(1 / Math.sqrt(fanIn)))
      const w = layer.weight.dataSync<'float32'>()
      expect((w.reduce((s, x) => s + x * x, 0) / w.length) * 3 * fanIn).toBeCloseTo(1, 1)
      layer.dispose()
    }
    const normal = tf.tidy(() => init.normal([50, 50], 2, 3, new Random(1)).dataSync<'float32'>())
    expect(normal.reduce((a, b) => a + b) / 2500).toBeCloseTo(2, 0)
  })
})
