import { device, Random, tf, VqConfigError, VqValueError } from '@vq/core'
import { loadSafetensors, type StateDict, type StoredTensor } from '@vq/core/io'
import type { LoadOptions } from '@vq/core/nn'
import { Adam, trainStep, valueAndGradients } from '@vq/core/optim'
import { GroupedResidualVQ, kmeansInitSync, ResidualVQ, type ResidualVQOptions } from '@vq/quantizers'
import { describe, expect, it } from 'vitest'
import { onBackends } from '../../../test/contract/backends.js'

// Written in float64 from the paper's equations by test/oracle/implicit.py.
const { tensors } = await loadSafetensors(
  new URL('../../../test/oracle/implicit.safetensors', import.meta.url).pathname,
)
const stored = (name: string): StoredTensor => tensors[name] as StoredTensor
const numbers = (name: string): number[] => Array.from(stored(name).data as Float64Array)
const matrix = (name: string): tf.Tensor2D =>
  tf.tensor2d(Float32Array.from(numbers(name)), stored(name).shape as [number, number])
const [N, K, D, Q] = [40, 9, 5, 3]

/** Within 1e-5 of the largest. */
function close(actual: ArrayLike<number>, expected: readonly number[], what: string): void {
  expect(actual.length, what).toBe(expected.length)
  const scale = expected.reduce((most, v) => Math.max(most, Math.abs(v)), 1e-12)
  const worst = expected.reduce((most, v, i) => Math.max(most, Math.abs(actual[i] - v)), 0)
  expect(worst / scale, what).toBeLessThan(1e-5)
}

function oracle(options: Partial<ResidualVQOptions> = {}, load: LoadOptions = {}): ResidualVQ {
  const q = new ResidualVQ({
    numEmbeddings: K,
    embeddingDim: D,
    numQuantizers: Q,
    implicitCodebook: { hiddenDim: 7, numBlocks: 2 },
    ...options,
  })
  const names = Object.keys(tensors).filter(name => name.startsWith('state.'))
  q.loadStateDict(Object.fromEntries(names.map(name => [name.slice(6), stored(name)])) as StateDict, load)
  return q
}

onBackends(() => {
  it('codes, sums and losses are those of float64', () => {
    const q = oracle()
    tf.tidy(() => {
      const z = matrix('z')
      const { quantized, indices, losses } = q.forward(z)
      expect(Array.from(indices.dataSync())).toEqual(numbers('indices'))
      expect(Array.from(q.encode(z).dataSync())).toEqual(numbers('indices'))
      close(quantized.dataSync(), numbers('quantized'), 'quantized')
      for (const name of ['codebook', 'commitment']) close(losses[name].dataSync(), numbers(name), name)
    })
    q.dispose()
  })

  it('every codeword of every level is that of float64', () => {
    const q = oracle()
    tf.tidy(() => {
      const chosen = tf.tensor2d(numbers('indices'), [N, Q], 'int32')
      for (let level = 0; level < Q; level++) {
        const before = level === 0 ? tf.zeros([N, D]) : q.decode(tf.slice(chosen, [0, 0], [N, level]))
        const first = tf.tile(tf.expandDims(tf.slice(chosen, [0, 0], [N, level]), 1), [1, K, 1])
        const each = tf.tile(tf.reshape(tf.range(0, K, 1, 'int32'), [1, K, 1]), [N, 1, 1])
        const sums = q.decode(tf.concat([first, each], 2))
        close(
          tf.sub(sums, tf.expandDims(before, 1)).dataSync(),
          numbers(`codewords.${level}`),
          `level ${level}`,
        )
      }
    })
    q.dispose()
  })

  it.each(['gradient', 'learnable'] as const)('%s: gradients are those of float64', codebookUpdate => {
    const q = oracle({ codebookUpdate })
    const parameters = q.namedParameters()
    const z = tf.tidy(() => tf.variable(matrix('z')))
    const w = matrix('w')
    const variables = [z, ...parameters.map(p => p.variable)]
    const { value, gradients } = valueAndGradients(() => {
      const { quantized, loss } = q.forward(z)
      return tf.add(tf.sum(tf.mul(quantized, w)), loss) as tf.Scalar
    }, variables)
    close((gradients[0] as tf.Tensor).dataSync(), numbers('dz'), 'z')
    tf.tidy(() => {
      for (const [i, { name }] of parameters.entries()) {
        const found = gradients[i + 1] as tf.Tensor
        // On disk linear layers are [out, in].
        const torch = name.startsWith('networks') && found.rank === 2 ? tf.transpose(found) : found
        close(torch.dataSync(), numbers(`${codebookUpdate}.${name}`), name)
      }
    })
    tf.dispose([z, w, value, ...gradients.filter(g => g !== null)])
    q.dispose()
  })

  it('starts as the plain quantizer of its base codes, from data and from arrays', async () => {
    const rows = new Random(2).fillNormal(new Float32Array(300 * 6))
    const z = tf.tensor2d(rows, [300, 6])
    for (const initCodebook of ['kmeans', 'uniform'] as const) {
      const [plain, implicit] = await Promise.all(
        [undefined, { hiddenDim: 12, numBlocks: 3 }].map(async implicitCodebook => {
          const random = new Random(5)
          const options = {
            numEmbeddings: 16,
            embeddingDim: 6,
            numQuantizers: 3,
            dim: 6,
            initCodebook,
            random,
          }
          const q = new ResidualVQ(
            implicitCodebook === undefined ? options : { ...options, implicitCodebook },
          )
          random.state = new Random(6).state
          if (initCodebook === 'kmeans') await q.initialize(z)
          return q.eval()
        }),
      )
      tf.tidy(() => {
        expect(implicit.codebook().dataSync()).toEqual(plain.codebook().dataSync())
        const [a, b] = [plain, implicit].map(q => q.forward(z))
        expect(b.indices.dataSync()).toEqual(a.indices.dataSync())
        expect(b.quantized.dataSync()).toEqual(a.quantized.dataSync())
        expect(new Set(a.indices.dataSync()).size).toBeGreaterThan(8)
      })
      for (const q of [plain, implicit]) q.dispose()
    }
    z.dispose()
  })

  it('a start from data makes each level’s base codes of what the networks before leave', async () => {
    const random = new Random(1)
    const q = oracle({ initCodebook: 'kmeans', random }, { strict: false })
    const rows = new Random(2).fillNormal(new Float32Array(200 * D))
    const z = tf.tensor2d(rows, [200, D])
    random.state = new Random(6).state
    await q.initialize(z)
    const again = new Random(6)
    tf.tidy(() => {
      const books = tf.unstack(q.codebook())
      const indices = q.encode(z)
      for (let l = 0; l < Q; l++) {
        const rest = l === 0 ? z : tf.sub(z, q.decode(tf.slice(indices, [0, 0], [200, l])))
        const options = { numEmbeddings: K, embeddingDim: D, random: again }
        const codes = kmeansInitSync(rest.dataSync<'float32'>(), options)
        close(books[l].dataSync(), Array.from(codes), `level ${l}`)
      }
    })
    z.dispose()
    q.dispose()
  })

  it('the first codes decode to the first levels’ sum, as −1 from a level on does', () => {
    const q = oracle().eval()
    tf.tidy(() => {
      const z = matrix('z')
      const indices = q.encode(z)
      for (let kept = 1; kept < Q; kept++) {
        const first = tf.slice(indices, [0, 0], [N, kept])
        const decoded = q.decode(first)
        const rest = tf.fill([N, Q - kept], -1, 'int32')
        expect(q.decode(tf.concat([first, rest], 1)).dataSync()).toEqual(decoded.dataSync())
        const sum = new Float64Array(N * D)
        for (let l = 0; l < kept; l++)
          for (const [i, words] of sum.entries()) {
            const row = Math.floor(i / D)
            sum[i] =
              words + numbers(`codewords.${l}`)[(row * K + numbers('indices')[row * Q + l]) * D + (i % D)]
          }
        close(decoded.dataSync(), Array.from(sum), `first ${kept}`)
      }
    })
    q.dispose()
  })

  it('weights that are no numbers are a typed error', () => {
    const q = oracle()
    tf.tidy(() => {
      const { variable } = q.namedParameters().find(p => p.name === 'networks.1.blocks.0.down.weight')!
      variable.assign(tf.fill(variable.shape, Number.NaN))
      expect(() => q.forward(matrix('z'))).toThrow(VqValueError)
      expect(() => q.encode(matrix('z'))).toThrow('meets codewords that are not finite')
    })
    q.dispose()
  })
})

describe('options', () => {
  const implicitCodebook = { hiddenDim: 4, numBlocks: 1 }
  it.each<[Partial<ResidualVQOptions>, RegExp]>([
    [{ codebookUpdate: 'ema', implicitCodebook }, /no average of vectors is a base code/],
    [{ sharedCodebook: true, implicitCodebook }, /base codes belong to its own network/],
    [{ beamSize: 2, implicitCodebook }, /beamSize to be 1 with implicitCodebook.*each path has its own/s],
    [{ trainingBeamSize: 4, implicitCodebook }, /trainingBeamSize to be 1 with implicitCodebook/],
    [{ implicitCodebook: { hiddenDim: 0 } }, /implicitCodebook.hiddenDim/],
    [{ implicitCodebook: { numBlocks: 1.5 } }, /implicitCodebook.numBlocks/],
    [{ implicitCodebook: true as never }, /implicitCodebook to be an object/],
  ])('are refused: %o', (options, message) => {
    const make = (): ResidualVQ => new ResidualVQ({ numEmbeddings: K, embeddingDim: D, ...options })
    expect(make).toThrow(VqConfigError)
    expect(make).toThrow(message)
  })

  it('groups have networks of their own, and by default codes learn by gradient', () => {
    const q = new GroupedResidualVQ({
      dim: 8,
      groups: 2,
      numEmbeddings: K,
      numQuantizers: 3,
      implicitCodebook,
    })
    // Per group: three codebooks of 9 × 4; two networks of 4 × 8 + 4, and one block of 4 × 4 twice.
    expect(q.parameterCount()).toBe(2 * (3 * 36 + 2 * (36 + 32)))
    expect([...q.groups].map(g => g.options.codebookUpdate)).toEqual(['gradient', 'gradient'])
    q.dispose()
  })
})

describe('training', () => {
  // Clusters, each of a plane of its own: what is left after the first code hangs on that code.
  const [dim, clusters] = [6, 8]
  function sample(n: number, seed: number): tf.Tensor2D {
    const shape = new Random(1)
    const centres = shape.fillNormal(new Float32Array(clusters * dim), 0, 2)
    const planes = shape.fillNormal(new Float32Array(clusters * 2 * dim), 0, 1 / Math.sqrt(dim))
    const r = new Random(seed)
    const rows = Array.from({ length: n }, () => {
      const [c, a, b] = [r.integer(clusters), r.normal(), r.normal()]
      return Array.from(
        { length: dim },
        (_, d) =>
          centres[c * dim + d] +
          a * planes[2 * c * dim + d] +
          b * planes[(2 * c + 1) * dim + d] +
          0.02 * r.normal(),
      )
    })
    return tf.tensor2d(rows)
  }

  function train(q: ResidualVQ, rows: tf.Tensor2D): void {
    const optimizer = new Adam(q, { learningRate: 0.005 })
    const random = new Random(5)
    for (let step = 0; step < 300; step++) {
      if (step === 210) optimizer.learningRate /= 10
      const at = Int32Array.from({ length: 256 }, () => random.integer(rows.shape[0]))
      const batch = tf.tidy(() => tf.gather(rows, tf.tensor1d(at, 'int32')))
      trainStep(optimizer, () => ({ loss: q.forward(batch).loss }))
      batch.dispose()
    }
    optimizer.dispose()
    q.eval()
  }

  const error = (q: ResidualVQ, rows: tf.Tensor2D): number =>
    tf.tidy(() => tf.mean(tf.square(tf.sub(rows, q.forward(rows).quantized))).dataSync()[0])

  it('on data whose residuals depend on the first code, it has at most 0.7 of the error of fixed codebooks', async () => {
    await tf.setBackend('vq-cpu')
    expect(tf.getBackend()).toBe('vq-cpu')
    device.threads = 1
    const [rows, held] = [sample(2048, 2), sample(1024, 3)]
    const found: Record<string, number[]> = {}
    for (const kind of ['k-means', 'gradient', 'implicit']) {
      const q = new ResidualVQ({
        numEmbeddings: 8,
        embeddingDim: dim,
        numQuantizers: 2,
        initCodebook: 'kmeans',
        codebookUpdate: 'gradient',
        random: new Random(4),
        ...(kind === 'implicit' ? { implicitCodebook: { hiddenDim: 32, numBlocks: 2 } } : {}),
      })
      await q.initialize(rows)
      if (kind !== 'k-means') train(q, rows)
      found[kind] = [error(q, rows), error(q, held)]
      q.dispose()
    }
    for (const i of [0, 1]) {
      const best = Math.min(found['k-means'][i], found.gradient[i])
      expect(found.implicit[i] / best, JSON.stringify(found)).toBeLessThan(0.7)
    }
    tf.dispose([rows, held])
  })
})
