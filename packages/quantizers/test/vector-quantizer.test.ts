import { Random, tf, VqConfigError } from '@vq/core'
import { valueAndGradients } from '@vq/core/optim'
import { rotationTrick, uniformInit, VectorQuantizer, type VectorQuantizerOptions } from '@vq/quantizers'
import { describe, expect, it } from 'vitest'
import { onBackends } from '../../../test/contract/backends.js'

const normal = (n: number, seed: number): Float32Array => new Random(seed).fillNormal(new Float32Array(n))
const N = 12
const K = 6
const D = 4
const zs = normal(N * D, 1)
const es = normal(K * D, 2)
const row = (x: ArrayLike<number>, i: number): number[] => Array.from({ length: D }, (_, d) => x[i * D + d])
const dot = (a: number[], b: number[]): number => a.reduce((s, x, i) => s + x * b[i], 0)
const distance = (a: number[], b: number[]): number => a.reduce((s, x, i) => s + (x - b[i]) ** 2, 0)

// Float64 oracle of the nearest code.
const nearest = Array.from({ length: N }, (_, i) => {
  const all = Array.from({ length: K }, (_, k) => distance(row(zs, i), row(es, k)))
  return all.indexOf(Math.min(...all))
})
const meanSquare = nearest.reduce((s, k, i) => s + distance(row(zs, i), row(es, k)), 0) / (N * D)

function make(options: Partial<VectorQuantizerOptions> = {}): VectorQuantizer {
  return new VectorQuantizer({ numEmbeddings: K, embeddingDim: D, initCodebook: () => es, ...options })
}

/** The gradient to z and to the codebook of sum(w·quantized) + loss. */
function gradients(
  q: VectorQuantizer,
  w: Float32Array,
): { value: number; z: number[]; codes: number[] | null } {
  const z = tf.tidy(() => tf.variable(tf.tensor2d(zs.slice(), [N, D])))
  const weights = tf.tensor2d(w.slice(), [N, D])
  const result = valueAndGradients(() => {
    const { quantized, loss } = q.forward(z)
    return tf.add(tf.sum(tf.mul(quantized, weights)), loss)
  }, [z, q.table])
  const [gz, gc] = result.gradients
  const out = {
    value: result.value.dataSync()[0],
    z: Array.from(gz!.dataSync()),
    codes: gc === null ? null : Array.from(gc.dataSync()),
  }
  tf.dispose([result.value, weights, z])
  gz?.dispose()
  gc?.dispose()
  return out
}

function close(actual: ArrayLike<number>, expected: ArrayLike<number>, tolerance = 1e-5): void {
  expect(actual.length).toBe(expected.length)
  for (let i = 0; i < expected.length; i++)
    expect(Math.abs(actual[i] - expected[i]), `at ${i}`).toBeLessThan(
      tolerance * Math.max(1, Math.abs(expected[i])),
    )
}

onBackends(() => {
  describe('VectorQuantizer', () => {
    const w = normal(N * D, 3)

    it('finds the codes, losses and perplexity of equation 3', () => {
      for (const codebookUpdate of ['ema', 'gradient'] as const) {
        const q = make({ codebookUpdate, commitmentCost: 0.5 })
        tf.tidy(() => {
          const out = q.forward(tf.tensor2d(zs.slice(), [N, D]))
          expect(Array.from(out.indices.dataSync())).toEqual(nearest)
          expect(Array.from(out.quantized.dataSync())).toEqual(nearest.flatMap(k => row(es, k)))
          expect(out.losses.commitment.dataSync()[0]).toBeCloseTo(0.5 * meanSquare, 5)
          const total = codebookUpdate === 'ema' ? 0.5 * meanSquare : 1.5 * meanSquare
          expect(out.loss.dataSync()[0]).toBeCloseTo(total, 5)
          const p = Array.from({ length: K }, (_, k) => nearest.filter(i => i === k).length / N)
          const entropy = -p.reduce((s, x) => s + (x > 0 ? x * Math.log(x) : 0), 0)
          expect(out.perplexity.dataSync()[0]).toBeCloseTo(Math.exp(entropy), 4)
        })
        q.dispose()
      }
    })

    it('straight through: the gradient to z is w + 2β(z − q)/ND; to the codes 2Σ(q − z)/ND with gradients only', () => {
      const oracle = Array.from(w, (g, i) => {
        const n = Math.floor(i / D)
        return g + (0.25 * 2 * (zs[i] - es[nearest[n] * D + (i % D)])) / (N * D)
      })
      const codes = new Float64Array(K * D)
      for (let i = 0; i < N * D; i++) {
        const at = nearest[Math.floor(i / D)] * D + (i % D)
        codes[at] += (2 * (es[at] - zs[i])) / (N * D)
      }
      for (const codebookUpdate of ['ema', 'gradient'] as const) {
        const q = make({ codebookUpdate })
        const seen = gradients(q, w)
        close(seen.z, oracle)
        if (codebookUpdate === 'ema') expect(seen.codes).toBeNull()
        else close(seen.codes!, codes)
        q.dispose()
      }
    })

    it('rotation: the gradient to z is λRᵀg with R the rotation from z to q, λ = ‖q‖/‖z‖', () => {
      const q = make({ estimator: 'rotation', commitmentCost: 0 })
      const oracle = Array.from({ length: N }, (_, i) => {
        const [z, code, g] = [row(zs, i), row(es, nearest[i]), row(w, i)]
        const [nz, nq] = [Math.sqrt(dot(z, z)), Math.sqrt(dot(code, code))]
        const [a, b] = [z.map(x => x / nz), code.map(x => x / nq)]
        // The rotation in the plane of a and b written out: R = I + (b aᵀ − a bᵀ) + (b aᵀ − a bᵀ)² / (1 + a·b).
        const A = a.map((_, r) => a.map((_, c) => b[r] * a[c] - a[r] * b[c]))
        const R = a.map((_, r) =>
          a.map(
            (_, c) =>
              Number(r === c) + A[r][c] + a.reduce((s, _, m) => s + A[r][m] * A[m][c], 0) / (1 + dot(a, b)),
          ),
        )
        close(
          R.map(line => (nq / nz) * dot(line, z)),
          code,
          1e-6,
        )
        return a.map((_, c) => (nq / nz) * a.reduce((s, _, r) => s + R[r][c] * g[r], 0))
      }).flat()
      close(gradients(q, w).z, oracle, 1e-4)
      q.dispose()
    })

    it('rotation: rows without a direction get the straight-through gradient', () => {
      const z = tf.tidy(() => tf.variable(tf.tensor2d([0, 0, 1, 0, 2, 0], [3, 2])))
      const codes = tf.tensor2d([1, 0, -1, 0, 0, 0], [3, 2]) // nothing, opposite, zero
      const g = tf.tensor2d([1, 2, 3, 4, 5, 6], [3, 2])
      const result = valueAndGradients(() => tf.sum(tf.mul(rotationTrick(z as never, codes), g)), [z])
      close(result.gradients[0]!.dataSync(), [1, 2, 3, 4, 5, 6])
      tf.dispose([result.value, result.gradients[0]!, codes, g, z])
    })

    it('projection: the gradient to z is its part along q − z', () => {
      const q = make({ estimator: 'projection', commitmentCost: 0 })
      const oracle = Array.from({ length: N }, (_, i) => {
        const [z, code, g] = [row(zs, i), row(es, nearest[i]), row(w, i)]
        const d = code.map((x, c) => x - z[c])
        return d.map(x => (x * dot(d, g)) / dot(d, d))
      }).flat()
      close(gradients(q, w).z, oracle, 1e-4)
      q.dispose()
    })

    it('EMA: counts, sums and codes follow appendix A.1 from (1, the initial code)', () => {
      const q = make({ decay: 0.9, epsilon: 1e-3 })
      const counts = new Float64Array(K).fill(1)
      const sums = Float64Array.from(es)
      for (let step = 0; step < 3; step++) {
        const codes = (q.table.dataSync() as Float32Array).slice()
        const x = normal(N * D, 10 + step)
        tf.tidy(() => {
          q.forward(tf.tensor2d(x.slice(), [N, D]))
        })
        const n = new Float64Array(K)
        const s = new Float64Array(K * D)
        for (let i = 0; i < N; i++) {
          const all = Array.from({ length: K }, (_, k) => distance(row(x, i), row(codes, k)))
          const k = all.indexOf(Math.min(...all))
          n[k]++
          for (let d = 0; d < D; d++) s[k * D + d] += x[i * D + d]
        }
        for (let k = 0; k < K; k++) counts[k] = 0.9 * counts[k] + 0.1 * n[k]
        for (let i = 0; i < K * D; i++) sums[i] = 0.9 * sums[i] + 0.1 * s[i]
        const total = counts.reduce((a, b) => a + b)
        const smooth = counts.map(c => ((c + 1e-3) / (total + K * 1e-3)) * total)
        close(
          q.table.dataSync(),
          sums.map((v, i) => v / smooth[Math.floor(i / D)]),
          1e-5,
        )
      }
      const state = q.stateDict()
      expect(Object.keys(state)).toEqual(['codebook', 'counts', 'sums'])
      close(state.counts.data as Float32Array, counts)
      q.dispose()
    })

    it('EMA: a code that nothing chose stays where it is', () => {
      const far = Float32Array.from(es)
      far.fill(100, 0, D)
      const q = make({ initCodebook: () => far, epsilon: 0 })
      tf.tidy(() => {
        for (let i = 0; i < 5; i++) q.forward(tf.tensor2d(normal(N * D, i), [N, D]))
      })
      close(row(q.table.dataSync(), 0), new Array(D).fill(100))
      q.dispose()
    })

    it.each(['ema', 'gradient'] as const)('%s: dead codes move onto vectors of the batch', codebookUpdate => {
      const far = Float32Array.from(es)
      far.fill(100, 0, 2 * D)
      const q = make({
        initCodebook: () => far,
        codebookUpdate,
        decay: 0.5,
        deadCodeThreshold: 0.3,
        revivalInterval: 2,
        random: new Random(5),
      })
      const z = tf.tensor2d(zs.slice(), [N, D])
      const isRow = (k: number): boolean => {
        const code = row(q.table.dataSync(), k)
        return Array.from({ length: N }, (_, i) => row(zs, i)).some(r => r.every((x, d) => x === code[d]))
      }
      tf.tidy(() => {
        q.forward(z) // counts 0.5
        expect([isRow(0), isRow(1)]).toEqual([false, false])
        q.forward(z) // counts 0.25 < 0.3
      })
      expect([isRow(0), isRow(1)]).toEqual([true, true])
      q.dispose()
      z.dispose()
    })

    it('k-means start: the first training batch, or `initialize`, finds the clusters', async () => {
      const centres = [
        [5, 5, 5, 5],
        [-5, 5, -5, 5],
        [0, -9, 0, 9],
      ]
      const noise = normal(60 * D, 8)
      const rows = Float32Array.from(noise, (x, i) => centres[Math.floor(i / D) % 3][i % D] + 0.01 * x)
      const z = tf.tensor2d(rows, [60, D])
      const options = { numEmbeddings: 3, embeddingDim: D, initCodebook: 'kmeans', decay: 0.99 } as const
      const [lazy, explicit] = [0, 1].map(() => new VectorQuantizer({ ...options, random: new Random(4) }))
      expect([lazy.ready, lazy.stateDict().initialized.data]).toEqual([false, BigInt64Array.of(0n)])
      await explicit.initialize(z)
      tf.tidy(() => {
        lazy.forward(z)
        explicit.forward(z)
      })
      expect(lazy.stateDict()).toEqual(explicit.stateDict())
      expect(lazy.ready).toBe(true)
      const codes = lazy.table.dataSync()
      for (const centre of centres) {
        const nearestCode = Math.min(...[0, 1, 2].map(k => distance(centre, row(codes, k))))
        expect(nearestCode).toBeLessThan(1e-3)
      }
      const few = new VectorQuantizer({ ...options, numEmbeddings: 61 })
      expect(() => tf.tidy(() => few.forward(z))).toThrow(/at least 61 vectors/)
      await expect(few.initialize(z)).rejects.toThrow(VqConfigError)
      for (const t of [lazy, explicit, few, z]) t.dispose()
    })

    it('a revived code starts with the average that deadCodeReset gives it', () => {
      const far = Float32Array.from(es)
      far.fill(100, 0, D)
      const q = make({
        initCodebook: far,
        decay: 0.5,
        deadCodeThreshold: 0.6,
        deadCodeReset: 7,
        random: new Random(5),
      })
      tf.tidy(() => {
        q.forward(tf.tensor2d(zs.slice(), [N, D]))
      })
      const { counts, sums, codebook } = q.stateDict()
      expect(counts.data[0]).toBe(7)
      close(
        row(sums.data as Float32Array, 0),
        row(codebook.data as Float32Array, 0).map(x => 7 * x),
      )
      q.dispose()
    })

    it('draws codes with probability softmax(−‖z − e‖²/τ) in training, the nearest in evaluation', () => {
      const [draws, temperature] = [20_000, 1.5]
      const z = tf.tensor2d(
        Float32Array.from({ length: draws * D }, (_, i) => zs[i % D]),
        [draws, D],
      )
      const weights = Array.from({ length: K }, (_, k) =>
        Math.exp(-distance(row(zs, 0), row(es, k)) / temperature),
      )
      const total = weights.reduce((a, b) => a + b, 0)
      for (const codebookUpdate of ['gradient', 'ema'] as const) {
        const q = make({ codebookUpdate, sampleTemperature: temperature, random: new Random(6) })
        tf.tidy(() => {
          const chosen = Array.from(q.forward(z).indices.dataSync())
          for (let k = 0; k < K; k++) {
            const p = weights[k] / total
            const share = chosen.reduce((n, c) => n + Number(c === k), 0) / draws
            expect(Math.abs(share - p)).toBeLessThan(5 * Math.sqrt((p * (1 - p)) / draws) + 1e-6)
          }
          q.setCodebook(es)
          expect(new Set(q.eval().forward(z).indices.dataSync())).toEqual(new Set([nearest[0]]))
        })
        q.dispose()
      }
      z.dispose()
    })

    it('stays as it is when frozen', () => {
      const q = make({ deadCodeThreshold: 5 }).freeze()
      tf.tidy(() => {
        q.forward(tf.tensor2d(zs.slice(), [N, D]))
      })
      expect(Array.from(q.table.dataSync())).toEqual(Array.from(es))
      q.dispose()
    })

    it('gives distances max(0, ‖z − e‖²) and codes by index', () => {
      const q = make()
      tf.tidy(() => {
        const d = q.getDistanceMatrix(tf.tensor3d(zs.slice(), [3, 4, D]))
        expect(d.shape).toEqual([3, 4, K])
        const oracle = Array.from({ length: N }, (_, i) =>
          Array.from({ length: K }, (_, k) => distance(row(zs, i), row(es, k))),
        )
        close(d.dataSync(), oracle.flat(), 1e-4)
        const entry = q.getCodebookEntry(tf.tensor2d([[3, -1]], [1, 2], 'int32'))
        expect([entry.shape, Array.from(entry.dataSync())]).toEqual([
          [1, 2, D],
          [...row(es, 3), 0, 0, 0, 0],
        ])
        expect(Array.from(q.codebook().dataSync())).toEqual(Array.from(es))
      })
      q.dispose()
    })
  })
})

describe('options of VectorQuantizer', () => {
  it('start uniformly in ±1/K from the given generator', () => {
    const codes = uniformInit({ numEmbeddings: 50, embeddingDim: 400, random: new Random(1) })
    expect(Math.max(...codes.map(Math.abs))).toBeLessThanOrEqual(1 / 50)
    const variance = codes.reduce((s, x) => s + x * x, 0) / codes.length
    expect(variance * 3 * 50 ** 2).toBeCloseTo(1, 1)
    expect(uniformInit({ numEmbeddings: 50, embeddingDim: 400, random: new Random(1) })).toEqual(codes)
  })

  it.each<[Partial<VectorQuantizerOptions>, RegExp]>([
    [{ numEmbeddings: 0 }, /numEmbeddings to be a whole number of at least 1|numEmbeddings/],
    [{ embeddingDim: 1.5 }, /embeddingDim/],
    [{ decay: 1 }, /decay/],
    [{ commitmentCost: Number.NaN }, /commitmentCost/],
    [{ estimator: 'magic' as never }, /'ste', 'rotation'/],
    [{ codebookUpdate: 'both' as never }, /'ema', 'gradient'/],
    [{ initCodebook: 'zeros' as never }, /initCodebook/],
    [{ revivalInterval: 0 }, /revivalInterval/],
    [{ deadCodeThreshold: 3, deadCodeReset: 2 }, /deadCodeReset/],
    [{ metric: 'dot' as never }, /'l2', 'cosine'/],
    [{ heads: 0 }, /heads/],
    [{ dim: 0 }, /dim/],
    [{ orthogonalWeight: 1 }, /codebookUpdate/],
    [{ diversityWeight: 1, diversityTemperature: 0 }, /diversityTemperature/],
    [{ sampleTemperature: -1 }, /sampleTemperature/],
  ])('are refused: %o', (options, message) => {
    expect(() => make(options)).toThrow(VqConfigError)
    expect(() => make(options)).toThrow(message)
  })
})

it('cosine: vectors whose squares leave float32 quantize as they would at length 1', () => {
  const values = new Random(5).fillNormal(new Float32Array(30 * 4))
  const [plain, tiny] = [1, 2 ** -90].map(scale => {
    const vq = new VectorQuantizer({
      numEmbeddings: 8,
      embeddingDim: 4,
      metric: 'cosine',
      random: new Random(1),
    })
    const { quantized, loss, indices } = vq.forward(tf.tensor2d(values.map(v => v * scale), [30, 4])) // biome-ignore format: one line
    return [quantized, loss, indices].map(t => Array.from(t.dataSync()))
  })
  expect(tiny).toEqual(plain)
})
