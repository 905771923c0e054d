import { Random, tf, VqConfigError, VqShapeError } from '@vq/core'
import { KeyValueCache, LSTM, MultiHeadAttention, TransformerBlock } from '@vq/core/nn'
import { describe, expect, it } from 'vitest'
import { onBackends } from '../../../test/contract/backends.js'

const drawn = (shape: [number, number, number], seed = 1): tf.Tensor3D =>
  tf.tensor3d(new Random(seed).fillNormal(new Float32Array(shape[0] * shape[1] * shape[2])), shape)
const far = (a: tf.Tensor, b: tf.Tensor): number => tf.max(tf.abs(tf.sub(a, b))).dataSync()[0]
const size = { embedDim: 8, numHeads: 2 }

onBackends(() => {
  describe('KeyValueCache', () => {
    it('gives what attention over all tokens at once gives, in steps of any length', () => {
      const attention = new MultiHeadAttention({ ...size, random: new Random(1) })
      const cache = new KeyValueCache()
      tf.tidy(() => {
        const x = drawn([2, 6, 8])
        const whole = attention.forward(x, { causal: true })
        const keyMask = tf.tensor2d([[1, 0, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1]], [2, 6], 'int32') // biome-ignore format: rows
        const masked = attention.forward(x, { causal: true, keyMask })
        for (const mask of [undefined, keyMask]) {
          const parts = [1, 2, 1, 2].map(n => {
            const at = cache.length
            const seen = mask && { keyMask: tf.slice(mask, [0, 0], [2, at + n]) }
            return attention.forward(tf.slice(x, [0, at, 0], [2, n, 8]), { causal: true, cache, ...seen })
          })
          expect(cache.length).toBe(6)
          expect(far(tf.concat(parts, 1), mask ? masked : whole)).toBeLessThan(1e-5)
          cache.clear()
          expect(cache.length).toBe(0)
        }
      })
      attention.dispose()
    })

    it('serves a decoder, whose memory is projected once', () => {
      const block = new TransformerBlock({
        ...size,
        feedForwardDim: 8,
        crossAttention: true,
        random: new Random(2),
      })
      block.eval()
      const caches = { cache: new KeyValueCache(), memoryCache: new KeyValueCache({ fixed: true }) }
      tf.tidy(() => {
        const [x, memory] = [drawn([1, 4, 8]), drawn([1, 5, 8], 2)]
        const whole = block.forward(x, { memory, causal: true })
        const steps = [0, 1, 2, 3].map(i =>
          block.forward(tf.slice(x, [0, i, 0], [1, 1, 8]), { memory, causal: true, ...caches }),
        )
        expect(far(tf.concat(steps, 1), whole)).toBeLessThan(1e-5)
        expect([caches.cache.length, caches.memoryCache.length]).toEqual([4, 5])
      })
      for (const cache of Object.values(caches)) cache.dispose()
      block.dispose()
    })

    it('refuses another batch and masks of another length, and stays as it was', () => {
      const attention = new MultiHeadAttention(size)
      const cache = new KeyValueCache()
      tf.tidy(() => {
        attention.forward(drawn([2, 3, 8]), { cache })
        expect(() => attention.forward(drawn([1, 3, 8]), { cache })).toThrow(VqShapeError)
        const keyMask = tf.ones([2, 3], 'int32') // Of four keys.
        const more = { cache, keyMask }
        expect(() => attention.forward(drawn([2, 1, 8]), more)).toThrow(/a keyMask \[2, 4\]/)
        expect(cache.length).toBe(3)
      })
      cache.dispose()
      attention.dispose()
    })
  })

  describe('masks', () => {
    it('of truths and of keys together hide what either hides', () => {
      const attention = new MultiHeadAttention(size)
      tf.tidy(() => {
        const x = drawn([1, 3, 8])
        const y = (keyMask: number[], mask: number[]): tf.Tensor =>
          attention.forward(x, {
            keyMask: tf.tensor2d(keyMask, [1, 3], 'bool'),
            mask: tf.tensor2d(mask, [1, 3], 'int32'),
          })
        expect(far(y([1, 1, 0], [1, 0, 1]), y([1, 0, 0], [1, 1, 1]))).toBe(0)
        // The only key's value, whatever the query.
        const only = y([1, 0, 0], [1, 0, 1])
        expect(far(tf.slice(only, [0, 0, 0], [1, 1, 8]), tf.slice(only, [0, 2, 0], [1, 1, 8]))).toBeLessThan(
          1e-6,
        )
        // Nothing to see: the output projection of zeros, its bias.
        expect(far(y([0, 0, 0], [1, 1, 1]), tf.zeros([1, 3, 8]))).toBe(0)
        expect(() => y([1, 1, 1], [1, 1, 1, 1])).toThrow()
        const bad = { keyMask: tf.zeros([1, 3]) }
        expect(() => attention.forward(x, bad)).toThrow(/MultiHeadAttention.forward: expected a keyMask/)
        expect(() => attention.forward(x, { mask: tf.zeros([2, 3]) })).toThrow(VqShapeError)
      })
      attention.dispose()
    })
  })

  describe('dropout', () => {
    it('of a block works in training, by the seed, and rests in evaluation', () => {
      const make = (dropout: number, seed = 3): TransformerBlock =>
        new TransformerBlock({ ...size, feedForwardDim: 8, dropout, random: new Random(seed) })
      const [one, same, none] = [make(0.5), make(0.5), make(0)]
      tf.tidy(() => {
        const x = drawn([2, 3, 8])
        const trained = one.forward(x)
        expect(far(trained, same.forward(x))).toBe(0)
        expect(far(trained, one.forward(x))).toBeGreaterThan(0.01)
        expect(far(trained, none.forward(x))).toBeGreaterThan(0.01)
        expect(far(one.eval().forward(x), none.forward(x))).toBe(0)
      })
      for (const block of [one, same, none]) block.dispose()
    })

    it('of attention drops weights and not vectors', () => {
      const attention = new MultiHeadAttention({ ...size, dropout: 0.5, random: new Random(4) })
      tf.tidy(() => {
        // Values are all the same, so each result is a multiple of one vector.
        const [query, key] = [drawn([4, 5, 8]), drawn([4, 6, 8], 2)]
        const value = tf.ones<tf.Rank.R3>([4, 6, 8])
        const still = attention.eval().forward(query, { key, value }).dataSync()
        const moved = attention.train().forward(query, { key, value }).dataSync()
        expect(still.every((v, i) => Math.abs(v - still[i % 8]) < 1e-5)).toBe(true)
        expect(moved.some((v, i) => Math.abs(v - still[i]) > 1e-3)).toBe(true)
      })
      attention.dispose()
    })

    it('of an LSTM stands between layers alone', () => {
      const make = (dropout: number): LSTM =>
        new LSTM({ inputSize: 3, hiddenSize: 4, numLayers: 2, dropout, random: new Random(5) })
      const [dropping, plain] = [make(0.5), make(0)]
      tf.tidy(() => {
        const x = drawn([2, 5, 3])
        const [a, b] = [dropping.forward(x), plain.forward(x)]
        const layer = (s: tf.Tensor3D, i: number): tf.Tensor => tf.slice(s, [i, 0, 0], [1, 2, 4])
        expect(far(layer(a.h, 0), layer(b.h, 0))).toBe(0)
        expect(far(layer(a.h, 1), layer(b.h, 1))).toBeGreaterThan(1e-3)
        expect(far(dropping.eval().forward(x).output, b.output)).toBe(0)
      })
      dropping.dispose()
      plain.dispose()
    })
  })

  it('a block takes memory where it attends to it, and only there', () => {
    const plain = new TransformerBlock({ ...size, feedForwardDim: 8 })
    const crossing = new TransformerBlock({ ...size, feedForwardDim: 8, crossAttention: true })
    tf.tidy(() => {
      const x = drawn([1, 3, 8])
      expect(() => plain.forward(x, { memory: x })).toThrow(VqConfigError)
      expect(() => crossing.forward(x)).toThrow(VqConfigError)
    })
    plain.dispose()
    crossing.dispose()
  })
})
