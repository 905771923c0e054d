import { device, drawTokens, noGrad, Random, recording, tf } from '@vq/core'
import { Adam, trainStep } from '@vq/core/optim'
import { IGPT, imagesForTexts, sampleTokens, textsForImages, unconditional, Vocabulary } from '@vq/igpt'
import fc from 'fast-check'
import { afterAll, describe, expect, it } from 'vitest'
import { onBackends, use } from '../../../test/contract/backends.js'

const small = { vocabSize: 20, contextLength: 12, dModel: 16, nHeads: 2, nLayers: 3, dropout: 0.1 }
const idsOf = (random: Random, b: number, t: number, size = 20): tf.Tensor2D =>
  tf.tensor2d(
    Int32Array.from({ length: b * t }, () => random.integer(size)),
    [b, t],
    'int32',
  )
/** A model whose attention is far from even. */
const modelOf = (options: typeof small, seed = 1): IGPT => {
  const model = new IGPT({ ...options, random: new Random(seed) }).eval()
  for (const { variable } of model.namedParameters())
    if (variable.rank === 2) tf.tidy(() => variable.assign(tf.mul(variable, 8)))
  return model
}
const largest = (x: tf.Tensor): number => tf.tidy(() => tf.max(tf.abs(x)).dataSync()[0]) as unknown as number
const valuesOf = (x: tf.Tensor): number[] => {
  const values = Array.from(x.dataSync())
  x.dispose()
  return values
}

onBackends(() => {
  describe('IGPT', () => {
    it('gives the same logits with a cache as without, for any sizes and however tokens are fed', () => {
      const sizes = fc.record({
        batch: fc.integer({ min: 1, max: 5 }),
        heads: fc.integer({ min: 1, max: 3 }),
        dim: fc.integer({ min: 2, max: 9 }),
        nLayers: fc.integer({ min: 1, max: 3 }),
        vocabSize: fc.integer({ min: 2, max: 30 }),
        cuts: fc.array(fc.integer({ min: 1, max: 7 }), { minLength: 1, maxLength: 5 }),
        seed: fc.nat(100),
      })
      fc.assert(
        fc.property(sizes, ({ batch, heads, dim, nLayers, vocabSize, cuts, seed }) => {
          const contextLength = cuts.reduce((a, b) => a + b)
          const model = modelOf({ vocabSize, contextLength, dModel: heads * dim, nHeads: heads, nLayers, dropout: 0.1 }, seed) // biome-ignore format: one line
          const ids = idsOf(new Random(seed), batch, contextLength, vocabSize)
          const whole = model.logits(ids)
          const scale = Math.max(1, largest(whole))
          const cache = model.cache()
          let at = 0
          for (const n of cuts) {
            tf.tidy(() => {
              const expected = tf.slice(whole, [0, at, 0], [-1, n, -1])
              const got = noGrad(() => model.logits(tf.slice(ids, [0, at], [-1, n]), cache))
              expect(largest(tf.sub(got, expected)) / scale).toBeLessThan(1e-5)
            })
            at += n
            expect(cache.length).toBe(at)
          }
          const more = tf.zeros([batch, 1], 'int32')
          expect(() => model.logits(more, cache)).toThrow(new RegExp(`at most ${contextLength} tokens`))
          cache.dispose()
          model.dispose()
          tf.dispose([ids, whole, more])
        }),
        { numRuns: 12 },
      )
    })

    it('goes on behind its cache with gradients and dropout too', () => {
      const model = modelOf(small)
      const ids = idsOf(new Random(2), 2, 6)
      const [first, rest] = tf.split(ids, [4, 2], 1) as [tf.Tensor2D, tf.Tensor2D]
      const whole = model.logits(ids)
      const cache = model.cache()
      model.logits(first, cache).dispose()
      const bias = model.namedParameters().find(({ name }) => name === 'norm.bias')?.variable as tf.Variable
      const { value, grads } = tf.variableGrads(() => {
        expect(recording()).toBe(true)
        return tf.sum(model.logits(rest, cache)) as tf.Scalar
      }, [bias])
      const wanted = tf.tidy(() => tf.sum(tf.slice(whole, [0, 4, 0])).dataSync()[0]) as unknown as number
      expect(value.dataSync()[0]).toBeCloseTo(wanted, 2)
      // Each of 2·2 tokens adds the head's rows.
      const head = model.namedParameters().find(({ name }) => name === 'head.weight')?.variable as tf.Variable
      const sums = tf.tidy(() => tf.mul(4, tf.sum(head, 1)))
      const [gradient] = Object.values(grads) as [tf.Tensor]
      const apart = tf.sub(sums, gradient)
      expect(largest(apart)).toBeLessThan(1e-3)
      cache.dispose()
      model.train()
      const drops = model.cache()
      const [a, b] = [model.logits(first, drops), model.logits(first)]
      const different = tf.sub(a, b)
      expect(largest(different)).toBeGreaterThan(1e-3)
      drops.dispose()
      model.dispose()
      tf.dispose([ids, first, rest, whole, value, grads, sums, apart, a, b, different])
    })
  })

  describe('sampleTokens', () => {
    it('draws what the logits of the whole sequence say, and stays as it was', () => {
      const model = modelOf(small).train()
      const prompts = idsOf(new Random(3), 3, 4)
      const ids = sampleTokens(model, prompts, 9, { seed: 7, temperature: 1.5, topK: 6, topP: 0.9 })
      expect(model.training).toBe(true)
      expect([ids.shape, ids.dtype]).toEqual([[3, 9], 'int32'])
      model.eval()
      const random = new Random(7)
      for (let i = 0; i < 9; i++)
        tf.tidy(() => {
          const all = tf.concat([prompts, ids], 1)
          const scores = tf.slice(model.logits(tf.slice(all, [0, 0], [-1, 4 + i])), [0, 3 + i, 0])
          const wanted = drawTokens(tf.reshape(scores, [3, 20]), {
            temperature: 1.5,
            topK: 6,
            topP: 0.9,
            random,
          })
          expect(Array.from(wanted.dataSync())).toEqual(Array.from(tf.slice(ids, [0, i], [-1, 1]).dataSync()))
        })
      expect(() => sampleTokens(model, prompts, 10)).toThrow(/count of 1 to 9/)
      expect(() => sampleTokens(model, prompts, 0)).toThrow(/count/)
      expect(() => sampleTokens(model, prompts, 2, { topP: 2 })).toThrow(/topP/)
      model.dispose()
      tf.dispose([prompts, ids])
    })

    it('sees that weights changed', () => {
      const model = modelOf(small)
      const prompts = idsOf(new Random(3), 2, 2)
      const draw = (): number[] => valuesOf(sampleTokens(model, prompts, 10, { temperature: 0 }))
      const before = draw()
      const head = model.namedParameters().find(({ name }) => name === 'head.weight')?.variable as tf.Variable
      tf.tidy(() => head.assign(tf.neg(head)))
      const after = draw()
      expect(after).not.toEqual(before)
      // In place, as the optimizer does it.
      const optimizer = new Adam(model, { learningRate: 0.3 })
      const batch = tf.fill<tf.Rank.R2>([4, 13], 13, 'int32')
      for (let i = 0; i < 4; i++) trainStep(optimizer, () => model.forward(batch))
      expect(draw().filter(id => id === 13).length).toBeGreaterThan(15)
      optimizer.dispose()
      model.dispose()
      tf.dispose([prompts, batch])
    })
  })
})

describe('generation', () => {
  const vocabulary = new Vocabulary({ codebookSizes: [5, 3], words: 4, places: 4, textLength: 2 })
  const options = { ...small, vocabSize: vocabulary.size, contextLength: vocabulary.sequenceLength }
  const images = [
    [0, 1, 2, 2, 4, 0, 3, 1],
    [4, 2, 1, 0, 0, 0, 2, 1],
  ]
  const everything = (seed: number): number[][] => {
    const model = modelOf(options)
    const made = [
      ...imagesForTexts(model, vocabulary, [[0, 1], [3]], { seed }),
      ...imagesForTexts(model, vocabulary, [[0, 1], [3], [2, 2]], { seed, guidance: 2.5, topK: 4 }),
      ...textsForImages(model, vocabulary, images, { seed, topP: 0.8 }),
      ...unconditional(model, vocabulary, 3, { seed, temperature: 1.3 }).codes,
    ].map(row => Array.from(row))
    model.dispose()
    return made
  }

  it('makes the same of a seed on every backend, with any number of threads, and leaves nothing behind', async () => {
    await use('vq-cpu')
    const before = tf.memory().numTensors
    device.threads = 1
    const ours = everything(5)
    device.threads = 4
    expect(everything(5)).toEqual(ours)
    expect(everything(6)).not.toEqual(ours)
    expect(tf.memory().numTensors).toBe(before)
    await use('cpu')
    expect(everything(5)).toEqual(ours)
    expect(ours.flat().every(code => code >= 0 && code < 5)).toBe(true)
  })

  it('draws a batch as it draws its rows, to the bit', async () => {
    await use('vq-cpu')
    const model = modelOf(options)
    const ids = idsOf(new Random(4), 9, 8, options.vocabSize)
    const of = (rows: tf.Tensor): number[] => {
      const cache = model.cache()
      const logits = model.logits(rows, cache)
      cache.dispose()
      return valuesOf(logits)
    }
    const rows = tf.split(ids, 9)
    expect(rows.flatMap(of)).toEqual(of(ids))
    model.dispose()
    tf.dispose([ids, rows])
  })

  afterAll(() => use('vq-cpu'))
})
