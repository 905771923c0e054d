import { fsqBounded, lfqEncode, native, Random, tf, VqConfigError, VqMemoryError } from '@vq/core'
import { valueAndGradients } from '@vq/core/optim'
import {
  type BaseQuantizer,
  FSQ,
  GumbelQuantizer,
  LatentQuantizer,
  LFQ,
  ResidualFSQ,
  ResidualLFQ,
} from '@vq/quantizers'
import fc from 'fast-check'
import { describe, expect, it, test } from 'vitest'
import { backends, onBackends, use } from '../../../test/contract/backends.js'

const normal = (shape: number[], seed: number, scale = 1): tf.Tensor => {
  const values = new Float32Array(shape.reduce((a, b) => a * b, 1))
  return tf.tensor(new Random(seed).fillNormal(values, 0, scale), shape)
}
const numbers = (t: tf.Tensor): number[] => Array.from(t.dataSync())

/** The gradients of sum(w·quantized) by z and the parameters. */
function gradientsOf(q: BaseQuantizer, z: tf.Tensor, w: tf.Tensor): number[][] {
  const input = tf.tidy(() => tf.variable(z))
  const moved = [input, ...q.namedParameters().map(p => p.variable)]
  const { value, gradients } = valueAndGradients(
    () => tf.sum(tf.mul(q.forward(input).quantized, w)) as tf.Scalar,
    moved,
  )
  const found = gradients.map(g => (g === null ? [] : numbers(g)))
  tf.dispose([value, input, ...gradients.filter(g => g !== null)])
  return found
}

function within(q: BaseQuantizer, f: () => void): void {
  try {
    tf.tidy(f)
  } finally {
    q.dispose()
  }
}

onBackends(backend => {
  describe('FSQ', () => {
    it('with noise moves a share of the numbers by up to half a level, and passes the same gradient', () => {
      for (const bound of ['original', 'symmetric'] as const) {
        const levels = [8, 5]
        const plain = new FSQ({ levels, bound })
        const q = new FSQ({ levels, bound, noiseDropout: 0.3, random: new Random(2) })
        within(q, () => {
          const [z, w] = [normal([4000, 2], 1), normal([4000, 2], 2)]
          const out = q.forward(z)
          const { quantized, indices } = plain.forward(z)
          expect(numbers(out.indices)).toEqual(numbers(indices))
          const differs = numbers(tf.cast(tf.notEqual(out.quantized, quantized), 'float32'))
          const share = differs.reduce((a, b) => a + b, 0) / 8000
          expect(Math.abs(share - 0.3)).toBeLessThan(5 * Math.sqrt((0.3 * 0.7) / 8000))
          // Rounding moves by half a level at most, and noise by half a level more.
          const steps = levels.map(l => (bound === 'original' ? 1 / Math.floor(l / 2) : 2 / (l - 1)))
          const moved = tf.div(tf.abs(tf.sub(out.quantized, quantized)), tf.tensor1d(steps))
          expect(numbers(tf.max(moved))[0]).toBeLessThan(1 + 1e-5)
          // On average by nothing.
          const mean = numbers(tf.mean(tf.div(tf.sub(out.quantized, quantized), tf.tensor1d(steps)), 0))
          for (const m of mean) expect(Math.abs(m)).toBeLessThan(0.02)
          expect(gradientsOf(q, z, w)).toEqual(gradientsOf(plain, z, w))
          q.eval()
          expect(numbers(q.forward(z).quantized)).toEqual(numbers(quantized))
        })
      }
    })

    it('residual, with noise moves a share of the numbers by up to half a level of the last stage', () => {
      for (const bound of ['original', 'symmetric'] as const) {
        const own = { levels: [5, 3], bound, numQuantizers: 3 }
        const plain = new ResidualFSQ(own)
        const q = new ResidualFSQ({ ...own, noiseDropout: 0.3, random: new Random(2) })
        within(q, () => {
          const [z, w] = [normal([4000, 2], 1), normal([4000, 2], 2)]
          const out = q.forward(z)
          const { quantized, indices } = plain.forward(z)
          expect(numbers(out.indices)).toEqual(numbers(indices))
          // A third stage of L levels has steps of the first one's over L².
          const steps = own.levels.map(
            l => (bound === 'original' ? 1 / Math.floor(l / 2) : 2 / (l - 1)) / l ** 2,
          )
          const moved = tf.div(tf.abs(tf.sub(out.quantized, quantized)), tf.tensor1d(steps))
          const share = numbers(tf.mean(tf.cast(tf.greater(moved, 1e-6), 'float32')))[0]
          expect(Math.abs(share - 0.3)).toBeLessThan(5 * Math.sqrt((0.3 * 0.7) / 8000))
          expect(numbers(tf.max(moved))[0]).toBeLessThan(1 + 1e-3)
          expect(gradientsOf(q, z, w)).toEqual(gradientsOf(plain, z, w))
          q.eval()
          expect(numbers(q.forward(z).quantized)).toEqual(numbers(quantized))
        })
      }
    })

    it('lists all its codes, and each is its own code', () => {
      for (const bound of ['original', 'symmetric'] as const) {
        const q = new FSQ({ levels: [4, 3, 5], bound })
        within(q, () => {
          const all = q.codebook()
          expect(all.shape).toEqual([60, 3])
          expect(new Set(tf.unstack(all).map(row => numbers(row).join())).size).toBe(60)
          if (bound === 'symmetric') {
            // tanh⁻¹ of what is a little nearer to 0.
            const z = tf.atanh(tf.mul(all, 0.999))
            expect(numbers(q.encode(z))).toEqual(Array.from({ length: 60 }, (_, i) => i))
          }
        })
      }
    })

    it('with more levels is nearer to the bounded vector', () => {
      tf.tidy(() => {
        const z = normal([500, 2], 3)
        const errors = [3, 5, 9, 17].map(l => {
          const q = new FSQ({ levels: [l, l], bound: 'symmetric' })
          return numbers(tf.mean(tf.square(tf.sub(q.forward(z).quantized, tf.tanh(z)))))[0]!
        })
        for (const [i, e] of errors.slice(1).entries()) expect(e).toBeLessThan(0.5 * errors[i]!)
      })
    })

    it('has codes by the thousand million, and counts those that it meets', () => {
      const q = new FSQ({ levels: [65536, 32767], bound: 'symmetric' })
      within(q, () => {
        expect(q.codebookSize).toBe(65536 * 32767)
        const z = normal([50, 2], 4)
        const indices = numbers(q.encode(z))
        expect(numbers(q.decode(q.encode(z)))).toEqual(numbers(q.forward(z).quantized))
        const { chosen, used, ratio } = q.usage()
        const different = [...new Set(indices)].sort((a, b) => a - b)
        expect([Array.from(chosen.codes), used, ratio]).toEqual([
          different,
          different.length,
          used / q.codebookSize,
        ])
        for (const [i, code] of chosen.codes.entries())
          expect(chosen.counts[i]).toBe(3 * indices.filter(k => k === code).length)
        expect(() => q.usage().counts).toThrow(VqMemoryError)
        expect(() => q.codebook()).toThrow(VqMemoryError)
      })
    })

    it('refuses levels that are none, by its name', () => {
      const wrong: unknown[] = [{ levels: [] }, { levels: [1] }, { levels: [65536, 65536] }, {}, undefined]
      wrong.push(
        { levels: [3], bound: 'none' },
        { levels: [3], noiseDropout: 2 },
        { levels: [3], numCodebooks: 0 },
      )
      for (const options of wrong) {
        expect(() => new FSQ(options as never)).toThrow(VqConfigError)
        expect(() => new FSQ(options as never)).toThrow(/^FSQ/)
      }
      expect(() => new FSQ({ levels: [65536, 65536] })).toThrow(/numCodebooks/)
    })
  })

  describe('residual quantizers', () => {
    it('come nearer to the bounded vector with every stage', () => {
      tf.tidy(() => {
        const z = normal([300, 3], 5, 0.4)
        const bounded = tf.tanh(z)
        const errors = [1, 2, 3].map(numQuantizers => {
          const q = new ResidualFSQ({ levels: [5, 5, 5], numQuantizers, bound: 'symmetric' })
          return numbers(tf.mean(tf.square(tf.sub(q.forward(z).quantized, bounded))))[0]!
        })
        for (const [i, e] of errors.slice(1).entries()) expect(e).toBeLessThan(0.5 * errors[i]!)
        const signs = [1, 2, 4].map(numQuantizers => {
          const q = new ResidualLFQ({ dim: 3, numQuantizers })
          return numbers(tf.max(tf.abs(tf.sub(q.forward(tf.clipByValue(z, -2, 2)).quantized, z))))[0]!
        })
        // Digits in base 2: what is left of |z| ≤ 2 is at most 2^(1 − Q).
        for (const [i, e] of signs.entries()) expect(e).toBeLessThanOrEqual(2 ** (1 - [1, 2, 4][i]!) + 1e-6)
      })
    })

    it('FSQ: every stage meets the bounded vector as many times nearer as it has levels, however many there are', () => {
      const z = normal([2000, 1], 5)
      for (const bound of ['original', 'symmetric'] as const)
        for (const l of [3, 4, 5, 8]) {
          const q = (numQuantizers: number): ResidualFSQ =>
            new ResidualFSQ({ levels: [l], numQuantizers, bound })
          tf.tidy(() => {
            const bounded = fsqBounded(z, { levels: [l], bound })
            const error = (n: number): number =>
              numbers(tf.sqrt(tf.mean(tf.square(tf.sub(q(n).forward(z).quantized, bounded)))))[0]!
            const parts = bound === 'original' && l % 2 === 0 ? l - 1 : l
            // Left after n stages is at most half a step of the last one, of which the deviation is 1/√3.
            const step = bound === 'original' ? 1 / Math.floor(l / 2) : 2 / (l - 1)
            for (const n of [1, 2, 4]) expect(error(n)).toBeLessThan((0.7 * step) / 2 / parts ** (n - 1))
          })
        }
      tf.dispose(z)
    })

    it('FSQ: one stage is FSQ', () => {
      const z = normal([500, 3], 5)
      for (const bound of ['original', 'symmetric'] as const)
        tf.tidy(() => {
          const [one, plain] = [
            new ResidualFSQ({ levels: [8, 5, 2], numQuantizers: 1, bound }).forward(z),
            new FSQ({ levels: [8, 5, 2], bound }).forward(z),
          ]
          expect(numbers(one!.indices)).toEqual(numbers(plain!.indices))
          expect(numbers(one!.quantized)).toEqual(numbers(plain!.quantized))
        })
      tf.dispose(z)
    })

    it('refuse stages finer than float32', () => {
      expect(() => new ResidualFSQ({ levels: [65536], numQuantizers: 9 })).toThrow(VqConfigError)
      expect(() => new ResidualLFQ({ dim: 3, numQuantizers: 110 })).toThrow(/smaller numQuantizers/)
    })

    it('pass the gradient of the sum once', () => {
      const [z, w] = [normal([20, 3], 6), normal([20, 3], 7)]
      const residual = new ResidualFSQ({ levels: [5, 4, 3], numQuantizers: 3 })
      const once = new FSQ({ levels: [5, 4, 3] })
      expect(gradientsOf(residual, z, w)).toEqual(gradientsOf(once, z, w))
      const lfq = new ResidualLFQ({ dim: 3, numQuantizers: 3 })
      expect(gradientsOf(lfq, z, w)).toEqual([numbers(w)])
      tf.dispose([z, w])
    })

    it('leave out the last stages of some batches, evenly, and decode what is there', () => {
      const q = new ResidualFSQ({
        levels: [5, 5],
        numQuantizers: 4,
        quantizeDropout: 0.8,
        quantizeDropoutMin: 2,
        random: new Random(1),
      })
      within(q, () => {
        const z = normal([3, 2], 8)
        const all = q.eval().forward(z)
        q.train()
        const seen = [0, 0, 0, 0, 0]
        for (let i = 0; i < 300; i++)
          tf.tidy(() => {
            const { indices, quantized } = q.forward(z)
            const rows = tf.unstack(indices).map(numbers)
            const kept = rows[0]!.filter(k => k >= 0).length
            seen[kept]!++
            for (const [r, row] of rows.entries())
              expect(row).toEqual(numbers(tf.unstack(all.indices)[r]!).map((k, at) => (at < kept ? k : -1)))
            const wanted = numbers(quantized)
            for (const [at, v] of numbers(q.decode(indices)).entries()) expect(v).toBeCloseTo(wanted[at]!, 6)
          })
        expect(seen.slice(0, 2)).toEqual([0, 0])
        for (const [kept, p] of [
          [2, 0.8 / 3],
          [3, 0.8 / 3],
          [4, 0.2 + 0.8 / 3],
        ] as const)
          expect(Math.abs(seen[kept]! / 300 - p)).toBeLessThan(5 * Math.sqrt((p * (1 - p)) / 300))
      })
    })
  })

  describe('LFQ', () => {
    it('has codes that no batch or scale changes: the signs', () => {
      const q = new LFQ({ dim: 9, spherical: true })
      within(q, () => {
        const z = normal([40, 9], 9)
        const wanted = Array.from(lfqEncode(z.dataSync() as Float32Array, { dim: 9 }))
        expect(numbers(q.encode(z))).toEqual(wanted)
        expect(numbers(q.forward(tf.mul(z, 1e-20)).indices)).toEqual(wanted)
        // On the unit sphere.
        for (const length of numbers(tf.norm(q.forward(z).quantized, 'euclidean', 1)))
          expect(length).toBeCloseTo(1, 6)
      })
    })

    it('lies on the sphere whatever the length of the vector is, with the gradient of z/‖z‖', () => {
      const q = new LFQ({ dim: 4, spherical: true })
      within(q, () => {
        const [z, w] = [normal([6, 4], 19), normal([6, 4], 20)]
        const losses = [1, 1e-30, 1e37].map(f => numbers(q.forward(tf.mul(z, f)).losses.commitment!)[0]!)
        for (const loss of losses.slice(1)) expect(loss).toBeCloseTo(losses[0]!, 6)
        const got = gradientsOf(q, z, w)[0]!
        const [zs, ws] = [numbers(z), numbers(w)]
        for (let r = 0; r < 6; r++) {
          const [row, up] = [zs.slice(r * 4, r * 4 + 4), ws.slice(r * 4, r * 4 + 4)]
          const length = Math.hypot(...row)
          const along = row.reduce((s, v, i) => s + (v * up[i]!) / length, 0)
          for (let i = 0; i < 4; i++)
            expect(got[r * 4 + i]).toBeCloseTo((up[i]! - (along * row[i]!) / length) / length, 4)
        }
      })
    })

    it('of two codebooks has the mean of their losses', () => {
      const both = new LFQ({ dim: 10, numCodebooks: 2, inverseTemperature: 1 })
      const one = new LFQ({ dim: 5, inverseTemperature: 1 })
      const grouped = new LFQ({ dim: 10, numCodebooks: 2, inverseTemperature: 1, diversityGroup: 3 })
      const oneGrouped = new LFQ({ dim: 5, inverseTemperature: 1, diversityGroup: 3 })
      tf.tidy(() => {
        const z = normal([30, 10], 10)
        const parts = tf.split(z, 2, 1)
        for (const [a, b] of [
          [both, one],
          [grouped, oneGrouped],
        ] as const) {
          const { losses } = a.forward(z)
          for (const name of ['commitment', 'entropy', 'diversity']) {
            const mean = parts.reduce((sum, part) => sum + numbers(b.forward(part).losses[name]!)[0]! / 2, 0)
            expect(numbers(losses[name]!)[0]).toBeCloseTo(mean, 5)
          }
        }
      })
    })

    it('takes groups of bits for independent: never less diversity than there is', () => {
      tf.tidy(() => {
        const z = normal([60, 8], 11)
        const diversity = [1, 2, 4, 8].map(diversityGroup => {
          const q = new LFQ({ dim: 8, diversityGroup, inverseTemperature: 1 })
          return -numbers(q.forward(z).losses.diversity!)[0]!
        })
        for (const [i, d] of diversity.slice(1).entries()) expect(d).toBeLessThanOrEqual(diversity[i]! + 1e-6)
      })
    })

    it('looks at a share of the vectors in training', () => {
      const q = new LFQ({ dim: 3, entropySampleFraction: 0.25, random: new Random(3) })
      within(q, () => {
        const z = normal([40, 3], 12)
        const means = Array.from({ length: 60 }, () => numbers(q.forward(z).losses.entropy!)[0]!)
        q.eval()
        const all = numbers(q.forward(z).losses.entropy!)[0]!
        expect(new Set(means).size).toBeGreaterThan(30)
        const mean = means.reduce((a, b) => a + b) / 60
        const deviation = Math.sqrt(means.reduce((s, m) => s + (m - mean) ** 2, 0) / 59)
        expect(Math.abs(mean - all)).toBeLessThan((5 * deviation) / Math.sqrt(60))
      })
    })

    it('refuses what cannot be a code, and says what to do', () => {
      expect(() => new LFQ({ codebookSize: 1000 })).toThrow(/power of 2.*Pass 1024/)
      expect(() => new LFQ({ dim: 32 })).toThrow(/at most 31 bits.*numCodebooks/)
      for (const options of [{}, undefined, { dim: 5, numCodebooks: 2 }, { dim: 4, diversityGroup: 27 }])
        expect(() => new LFQ(options as never)).toThrow(VqConfigError)
    })

    it.runIf(backend === 'vq-cpu')('with 2^14 codes needs a few megabytes', () => {
      const q = new LFQ({ codebookSize: 2 ** 14 })
      const [z, w] = [normal([8192, 14], 13), normal([8192, 14], 14)]
      native().scratchBytes()
      const input = tf.tidy(() => tf.variable(z))
      const { value, gradients } = valueAndGradients(() => {
        const { quantized, loss } = q.forward(input)
        return tf.add(tf.sum(tf.mul(quantized, w)), loss)
      }, [input])
      expect(native().scratchBytes().peak).toBeLessThan(64 << 20)
      tf.dispose([z, w, input, value, ...gradients.filter(g => g !== null)])
      q.dispose()
    })
  })

  describe('LatentQuantizer', () => {
    it('takes the nearest of each dimension’s values, the first of two as near', () => {
      const q = new LatentQuantizer({ levels: [3, 2] })
      within(q, () => {
        // Values −½, 0, ½ and −½, ½.
        const z = tf.tensor2d([
          [-0.25, 0],
          [0.25, 0.1],
          [9, -9],
          [0.26, 0],
        ])
        const { quantized, indices } = q.forward(z)
        expect(numbers(indices)).toEqual([0, 1 + 3, 2, 2])
        expect(numbers(quantized)).toEqual([-0.5, -0.5, 0, 0.5, 0.5, -0.5, 0.5, -0.5])
      })
    })
  })

  describe('GumbelQuantizer', () => {
    it('draws codes as often as the softmax says', () => {
      const q = new GumbelQuantizer({ numEmbeddings: 5, embeddingDim: 3, random: new Random(4) })
      within(q, () => {
        const draws = 4000
        const z = tf.tile(normal([1, 3], 15), [draws, 1])
        const logits = tf.add(tf.matMul(tf.slice(z, 0, 1) as tf.Tensor2D, weightOf(q)), biasOf(q))
        const p = numbers(tf.softmax(logits))
        const chosen = numbers(q.forward(z).indices)
        for (const [k, wanted] of p.entries()) {
          const share = chosen.filter(c => c === k).length / draws
          expect(Math.abs(share - wanted)).toBeLessThan(5 * Math.sqrt((wanted * (1 - wanted)) / draws))
        }
      })
    })

    it('gives a mixture of codes, a code with the mixture’s gradient, or at low temperature nearly a code', () => {
      const make = (straightThrough: boolean): GumbelQuantizer =>
        new GumbelQuantizer({ numEmbeddings: 6, embeddingDim: 3, straightThrough, random: new Random(5) })
      const [soft, hard] = [make(false), make(true)]
      const [z, w] = [normal([15, 3], 16), normal([15, 3], 17)]
      tf.tidy(() => {
        const out = hard.forward(z)
        expect(numbers(out.quantized)).toEqual(numbers(hard.decode(out.indices)))
        expect(numbers(soft.forward(z).quantized)).not.toEqual(numbers(out.quantized))
      })
      // Both have drawn the same numbers so far.
      const [gSoft, gHard] = [gradientsOf(soft, z, w), gradientsOf(hard, z, w)]
      for (let i = 0; i < 45; i++) expect(gHard[0]![i]).toBeCloseTo(gSoft[0]![i]!, 5)
      soft.temperature = 1e-4
      tf.tidy(() => {
        const { quantized, indices } = soft.forward(z)
        const off = tf.max(tf.abs(tf.sub(quantized, soft.decode(indices))))
        expect(numbers(off)[0]).toBeLessThan(1e-3)
      })
      expect(() => {
        soft.temperature = 0
      }).toThrow(VqConfigError)
      tf.dispose([z, w])
      soft.dispose()
      hard.dispose()
    })

    it('is charged log K less the entropy of its distribution', () => {
      const q = new GumbelQuantizer({ numEmbeddings: 6, embeddingDim: 3, klWeight: 2, random: new Random(6) })
      within(q, () => {
        const z = normal([9, 3], 18)
        const p = tf.softmax(tf.add(tf.matMul(z as tf.Tensor2D, weightOf(q)), biasOf(q)))
        const divergence = tf.add(Math.log(6), tf.div(tf.sum(tf.mul(p, tf.log(p))), 9))
        expect(numbers(q.forward(z).losses.kl!)[0]).toBeCloseTo(2 * numbers(divergence)[0]!, 5)
      })
    })
  })
})

const parameterOf = (q: BaseQuantizer, name: string): tf.Variable =>
  q.namedParameters().find(p => p.name === name)!.variable
const weightOf = (q: BaseQuantizer): tf.Tensor2D => parameterOf(q, 'proj.weight') as tf.Variable<tf.Rank.R2>
const biasOf = (q: BaseQuantizer): tf.Tensor => parameterOf(q, 'proj.bias')

test('codes and vectors are the same bits on every backend', async () => {
  const makers: (() => BaseQuantizer)[] = [
    () => new ResidualLFQ({ dim: 7, numQuantizers: 6, spherical: true }),
    () => new ResidualLFQ({ codebookSize: 16, dim: 9, numQuantizers: 6, random: new Random(1) }),
    () => new ResidualFSQ({ levels: [8, 5, 6], numQuantizers: 4 }),
    () =>
      new ResidualFSQ({
        levels: [8, 5, 6],
        numQuantizers: 4,
        bound: 'symmetric',
        dim: 5,
        random: new Random(1),
      }),
    () => new FSQ({ levels: [16, 15, 14], dim: 10, random: new Random(2) }),
    () => new LatentQuantizer({ levels: [7, 8], dim: 10, random: new Random(2) }),
    () => new GumbelQuantizer({ numEmbeddings: 60, embeddingDim: 6, random: new Random(3) }),
  ]
  for (const make of makers) {
    const found: number[][] = []
    for (const backend of backends) {
      await use(backend)
      const q = make().eval()
      within(q, () => {
        const { quantized, indices } = q.forward(normal([900, q.dim], 21))
        found.push([...numbers(indices), ...numbers(quantized)])
      })
    }
    for (const other of found.slice(1)) expect(other).toEqual(found[0])
  }
})

test('codes and vectors are the same alone and among others, projected or not', async () => {
  await use('vq-cpu')
  const dims = fc.constantFrom(undefined, 5, 11)
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 2, max: 6 }), { minLength: 1, maxLength: 4 }),
      dims,
      fc.nat(),
      (levels, dim, seed) => {
        const random = new Random(seed)
        const options = { random, ...(dim === undefined ? {} : { dim }) }
        for (const q of [
          new FSQ({ levels, ...options }),
          new LFQ({ codebookSize: 2 ** levels.length, ...options }),
        ]) {
          q.eval()
          within(q, () => {
            const z = normal([23, q.dim], seed)
            const { quantized, indices } = q.forward(z)
            const [a, b] = [tf.slice(z, 0, 7), tf.slice(z, 7, 16)].map(part => q.forward(part))
            expect([...numbers(a!.indices), ...numbers(b!.indices)]).toEqual(numbers(indices))
            expect([...numbers(a!.quantized), ...numbers(b!.quantized)]).toEqual(numbers(quantized))
            expect(numbers(q.decode(indices))).toEqual(numbers(quantized))
          })
        }
      },
    ),
    { numRuns: 25 },
  )
})
