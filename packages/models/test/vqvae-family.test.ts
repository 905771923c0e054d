import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Random, tf, VqConfigError, VqShapeError, VqValueError } from '@vq/core'
import { Adam, trainStep } from '@vq/core/optim'
import { moduleContract } from '@vq/core/testing'
import { RQVAE, type RQVAEOptions, VQVAE, VQVAE2, type VQVAE2Options, type VQVAEOptions } from '@vq/models'
import { mse, psnr } from '@vq/models/evaluate'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { onBackends } from '../../../test/contract/backends.js'
import { onEachBackend } from '../../../test/contract/run.js'

let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'vq-family-'))
})
afterAll(() => rmSync(folder, { recursive: true }))

const small: VQVAEOptions = {
  hiddenDims: [6, 8],
  embeddingDim: 4,
  numEmbeddings: 16,
  residualHiddenDim: 3,
  numResidualLayers: 1,
}
const images = (shape: [number, number, number, number], seed = 1): tf.Tensor4D =>
  tf.tensor4d(new Random(seed).fillUniform(new Float32Array(shape.reduce((a, b) => a * b))), shape)
const values = (t: tf.Tensor): number[] => Array.from(t.dataSync())
const leaves = (t: tf.TensorContainer): number[][] => {
  const found: tf.Tensor[] = []
  const visit = (c: unknown): void => {
    if (c instanceof tf.Tensor) found.push(c)
    else if (typeof c === 'object' && c !== null) for (const part of Object.values(c)) visit(part)
  }
  visit(t)
  return found.map(values)
}

const seeded = () => ({ ...small, random: new Random(2) })
onEachBackend(
  'RQVAE',
  moduleContract({
    make: () => new RQVAE({ ...seeded(), numQuantizers: 3 }),
    run: m => m.forward(images([2, 8, 8, 3])).reconstructed,
    gradients: false,
  }),
)
onEachBackend(
  'VQVAE2',
  moduleContract({
    make: () => new VQVAE2(seeded()),
    run: m => m.forward(images([2, 8, 8, 3])).reconstructed,
    gradients: false,
  }),
)

it('RQVAE has the size of the system it comes from; a shared codebook counts once', () => {
  const models = [new RQVAE(), new RQVAE({ sharedCodebook: true }), new RQVAE({ codebookUpdate: 'gradient' })]
  expect(models.map(m => m.parameterCount())).toEqual([1_554_371, 1_456_067, 1_554_371])
  for (const m of models) m.dispose()
})

type Model = VQVAE | RQVAE | VQVAE2
const widths = fc.array(fc.integer({ min: 2, max: 5 }), { minLength: 1, maxLength: 2 })
const common = {
  architecture: fc.constantFrom('residual' as const, 'igpt' as const),
  inChannels: fc.integer({ min: 1, max: 3 }),
  embeddingDim: fc.integer({ min: 2, max: 4 }),
  dim: fc.constantFrom(undefined, 3, 5),
  numEmbeddings: fc.integer({ min: 2, max: 20 }),
  hiddenDims: widths,
  numResidualLayers: fc.integer({ min: 0, max: 1 }),
  residualHiddenDim: fc.constant(2),
  codebookUpdate: fc.constantFrom('ema' as const, 'gradient' as const, 'learnable' as const),
  estimator: fc.constantFrom('ste' as const, 'rotation' as const, 'projection' as const),
}
const defined = <T extends object>(o: T): T =>
  Object.fromEntries(Object.entries(o).filter(([, v]) => v !== undefined)) as T
const anyModel: fc.Arbitrary<() => Model> = fc.oneof(
  fc
    .record({
      ...common,
      metric: fc.constantFrom('l2' as const, 'cosine' as const),
      heads: fc.constantFrom(1, 2),
    })
    .map(o => () => new VQVAE(defined(o) as VQVAEOptions)),
  fc
    .record({
      ...common,
      numQuantizers: fc.integer({ min: 1, max: 4 }),
      sharedCodebook: fc.boolean(),
      beamSize: fc.constantFrom(1, 3),
      quantizeDropout: fc.constantFrom(0, 0.5),
    })
    .map(o => () => new RQVAE(defined(o) as RQVAEOptions)),
  fc.record({ ...common, topHiddenDims: widths }).map(
    ({ architecture: _, ...o }) =>
      () =>
        new VQVAE2(defined(o) as VQVAE2Options),
  ),
)

onBackends(backend => {
  it('what forward reconstructs is what its codes decode to, bit for bit, whatever the model and the size', () => {
    fc.assert(
      fc.property(
        anyModel,
        fc.integer({ min: 1, max: 3 }),
        fc.integer({ min: 1, max: 3 }),
        fc.integer({ min: 1, max: 3 }),
        fc.nat(1000),
        (make, b, h, w, seed) => {
          const model = make()
          const { stride } = model
          const x = images([b, h * stride, w * stride, model.architecture.inChannels], seed)
          const optimizer = new Adam(model, { learningRate: 1e-2 })
          try {
            // One step: codebooks and statistics are no longer where they began.
            if (b * h * w > 1) trainStep(optimizer, () => model.forward(x))
            model.eval()
            tf.tidy(() => {
              const { reconstructed, indices } = model.forward(x)
              expect(reconstructed.shape).toEqual(x.shape)
              const codes = model.encodeToIndices(x)
              expect(leaves(codes)).toEqual(leaves(indices))
              expect(values(model.decodeFromIndices(codes as never))).toEqual(values(reconstructed))
              const odd = tf.zeros([b, h * stride + 1, w * stride, model.architecture.inChannels])
              expect(() => model.forward(odd)).toThrow(VqShapeError)
              expect(() => model.encodeToIndices(odd)).toThrow(new RegExp(`divisible by ${stride}`))
            })
          } finally {
            optimizer.dispose()
            model.dispose()
            x.dispose()
          }
        },
      ),
      { numRuns: backend === 'cpu' ? 12 : 60 },
    )
  })

  it('images with NaN are refused by a typed error, and nothing has moved', () => {
    for (const model of [new VQVAE(small), new RQVAE(small), new VQVAE2(small)]) {
      const before = model.stateDict()
      tf.tidy(() => {
        const x = images([1, 8, 8, 3]).dataSync().slice()
        x[3] = Number.NaN
        expect(() => model.forward(tf.tensor4d(x, [1, 8, 8, 3]))).toThrow(VqValueError)
      })
      expect(model.stateDict()).toEqual(before)
      model.dispose()
    }
  })

  it.each([
    ['RQVAE', () => new RQVAE({ ...small, numQuantizers: 3, initCodebook: 'kmeans' }), RQVAE.load],
    ['VQVAE2', () => new VQVAE2({ ...small, topHiddenDims: [5], initCodebook: 'kmeans' }), VQVAE2.load],
  ] as const)(
    '%s starts by k-means and comes back from its artifact, bit for bit',
    async (name, make, load) => {
      const model = make()
      const x = images([4, 16, 16, 3])
      await model.prepare(x)
      expect(
        Object.entries(model.stateDict())
          .filter(([n]) => n.endsWith('initialized'))
          .every(([, { data }]) => Number(data[0]) === 1),
      ).toBe(true)
      await model.prepare(x) // nothing more to do
      tf.tidy(() => {
        model.forward(x)
      })
      const path = join(folder, `${backend}-${name}`)
      await model.save(path)
      const back = await load(path)
      expect(back.config).toEqual(model.config)
      expect(back.stateDict()).toEqual(model.stateDict())
      const [a, b] = [model.eval(), back].map(m => tf.tidy(() => leaves(m.forward(x))))
      expect(b).toEqual(a)
      tf.dispose(x)
      model.dispose()
      back.dispose()
    },
  )

  describe('RQVAE', () => {
    it('gives what each level adds, codes per level, and images of the first levels', () => {
      const model = new RQVAE({ ...small, numQuantizers: 3 })
      tf.tidy(() => {
        const x = images([2, 8, 8, 3])
        model.forward(x) // codebooks move
        const before = model.quantizer.codebook()
        const { quantizedList, perplexityList, perplexity, indices, loss, rqLoss, reconstructionLoss } =
          model.forward(x)
        expect(quantizedList.map(q => q.shape)).toEqual(Array(3).fill([2, 2, 2, 4]))
        // As they were when they were chosen, although training moved the codes afterwards.
        for (const [l, q] of quantizedList.entries()) {
          const book = tf.squeeze(tf.slice(before, [l, 0, 0], [1, 16, 4]), [0])
          const codes = tf.squeeze(tf.slice(indices, [0, 0, 0, l], [2, 2, 2, 1]), [3])
          expect(values(q)).toEqual(values(tf.gather(book, tf.cast(codes, 'int32'))))
        }
        const mean = perplexityList.reduce((s, p) => s + values(p)[0]!, 0) / 3
        expect(values(perplexity)[0]).toBeCloseTo(mean, 5)
        expect(values(loss)[0]).toBeCloseTo(values(reconstructionLoss)[0]! + values(rqLoss)[0]!, 6)
        model.eval()
        const codes = model.encodeToIndices(x)
        expect(model.getCodes(x).map(values)).toEqual(tf.unstack(codes, 3).map(values))
        const two = model.decodeFromIndices(codes, 2)
        expect(values(model.decodeFromIndices(tf.slice(codes, [0, 0, 0, 0], [2, 2, 2, 2])))).toEqual(
          values(two),
        )
        const sum = tf.addN(model.forward(x).quantizedList.slice(0, 2))
        expect(mse(model.decode(sum).dataSync(), two.dataSync())).toBeLessThan(1e-10)
        for (const levels of [0, 4, 1.5])
          expect(() => model.decodeFromIndices(codes, levels)).toThrow(VqConfigError)
        expect(() => model.decodeFromIndices(tf.zeros([2, 2, 2, 4], 'int32'))).toThrow(VqShapeError)
        expect(() => model.decodeFromIndices(tf.fill([2, 2, 2, 3], 16, 'int32'))).toThrow(VqValueError)
      })
      model.dispose()
    })

    it('tells what each further level brings', async () => {
      const model = new RQVAE({ ...small, numQuantizers: 3, initCodebook: 'kmeans', random: new Random(1) })
      const x = images([4, 16, 16, 3])
      await model.prepare(x)
      const { levels, latentNorm } = model.analyzeQuantizationLevels(x, { peak: 2 })
      expect(model.training).toBe(true)
      model.eval()
      tf.tidy(() => {
        const codes = model.encodeToIndices(x)
        const norms = (t: tf.Tensor): number => values(tf.mean(tf.norm(t, 2, -1)))[0]!
        const z = model.encode(x)
        expect(latentNorm).toBeCloseTo(norms(z), 5)
        for (const [l, level] of levels.entries()) {
          expect(level.level).toBe(l + 1)
          const back = model.decodeFromIndices(codes, l + 1).dataSync()
          expect(level.mse).toBeCloseTo(mse(back, x.dataSync()), 10)
          expect(level.psnr).toBeCloseTo(psnr(back, x.dataSync(), 2), 6)
          const rest = tf.sub(z, model.quantizer.decode(tf.slice(codes, [0, 0, 0, 0], [-1, -1, -1, l + 1])))
          expect(level.residualNorm).toBeCloseTo(norms(rest), 5)
          expect(level.residualRatio).toBeCloseTo(norms(rest) / norms(z), 5)
          expect(level.bits).toBe((l + 1) * 16 * 4)
          expect(level.bitsPerPixel).toBe(((l + 1) * 16 * 4) / 256)
          const own = new Set(values(tf.unstack(codes, 3)[l]!))
          expect(level.usage.used).toBe(own.size)
          expect(level.perplexity).toBeGreaterThanOrEqual(1)
          expect(level.perplexity).toBeLessThanOrEqual(own.size + 1e-9)
        }
      })
      // Codes that are the means of what they stand for never leave more than they found.
      for (let l = 1; l < 3; l++) expect(levels[l]!.residualNorm).toBeLessThan(levels[l - 1]!.residualNorm)
      expect(() => model.analyzeQuantizationLevels(x, { peak: 0 })).toThrow(VqConfigError)
      model.dispose()
      x.dispose()
    })
  })

  it('VQVAE gives and takes sequences of tokens, row by row', () => {
    const model = new VQVAE({ ...small, architecture: 'igpt', hiddenDims: [6] }).eval()
    tf.tidy(() => {
      const square = images([2, 28, 28, 3])
      const tokens = model.getTokens(square)
      expect(tokens.shape).toEqual([2, 49])
      expect(tokens.dtype).toBe('int32')
      expect(values(tokens)).toEqual(values(model.encodeToIndices(square)))
      expect(values(model.decodeTokens(tokens))).toEqual(values(model.forward(square).reconstructed))
      const wide = images([1, 8, 12, 3])
      const row = model.getTokens(wide)
      expect(() => model.decodeTokens(row)).toThrow(VqShapeError)
      expect(() => model.decodeTokens(row, [3, 3])).toThrow(VqShapeError)
      expect(() => model.decodeTokens(row, [0, 6])).toThrow(VqConfigError)
      expect(values(model.decodeTokens(row, [2, 3]))).toEqual(values(model.forward(wide).reconstructed))
      expect(() => model.decodeTokens(tf.fill([1, 4], 16, 'int32'))).toThrow(VqValueError)
      expect(() => model.decodeTokens(tf.fill([1, 4], 1))).toThrow(VqShapeError)
    })
    const heads = new VQVAE({ ...small, heads: 2 })
    tf.tidy(() => {
      expect(() => heads.getTokens(images([1, 8, 8, 3]))).toThrow(VqShapeError)
    })
    heads.dispose()
    model.dispose()
  })

  it('VQVAE2 codes the top on the coarser grid; the bottom’s codes depend on the top’s', () => {
    const model = new VQVAE2({
      ...small,
      topHiddenDims: [5, 7],
      initCodebook: 'uniform',
      random: new Random(3),
    }).eval()
    expect(model.stride).toBe(16)
    tf.tidy(() => {
      const x = images([2, 32, 16, 3])
      const { top, bottom } = model.encodeToIndices(x)
      expect([top.shape, bottom.shape]).toEqual([
        [2, 2, 1],
        [2, 8, 4],
      ])
      const { bottom: z } = model.encode(x)
      model.quantizerTop.setCodebook(new Random(1).fillNormal(new Float32Array(16 * 4)))
      expect(values(model.encode(x).bottom)).not.toEqual(values(z))
      expect(() => model.decodeFromIndices({ top: bottom, bottom })).toThrow(VqShapeError)
      expect(() => model.decodeFromIndices({ top, bottom: tf.fill([2, 8, 4], -2, 'int32') })).toThrow(
        VqValueError,
      )
    })
    model.dispose()
    expect(() => new VQVAE2({ topHiddenDims: [] })).toThrow(VqConfigError)
    expect(() => new VQVAE2({ decay: 2 })).toThrow(VqConfigError)
    expect(() => new RQVAE({ numQuantizers: 0 })).toThrow(VqConfigError)
    expect(() => new RQVAE('x' as never)).toThrow(VqConfigError)
  })
})
