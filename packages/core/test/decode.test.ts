import {
  canDecode,
  DecoderCache,
  type DecoderNorm,
  type DecoderProduct,
  type DecoderWeights,
  decode,
  device,
  drawTokens,
  gelu,
  layerNorm,
  linear,
  native,
  Random,
  scaledDotProductAttention,
  tf,
  VqConfigError,
  VqShapeError,
  VqValueError,
} from '@vq/core'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { onBackends, use } from '../../../test/contract/backends.js'

interface Sizes {
  width: number
  heads: number
  hidden: number
  layers: number
  vocab: number
  places: number
}

function weightsOf({ width, heads, hidden, layers, vocab, places }: Sizes, seed: number): DecoderWeights {
  const random = new Random(seed)
  const matrix = (rows: number, columns: number, scale = 1 / Math.sqrt(rows)): tf.Tensor2D =>
    tf.tensor2d(random.fillNormal(new Float32Array(rows * columns), 0, scale), [rows, columns])
  const vector = (n: number, mean: number): tf.Tensor1D =>
    tf.tensor1d(random.fillNormal(new Float32Array(n), mean, 0.3))
  const norm = (): DecoderNorm => ({ weight: vector(width, 1), bias: vector(width, 0), epsilon: 1e-5 })
  const product = (inputs: number, outputs: number, scale?: number): DecoderProduct => ({
    weight: matrix(inputs, outputs, scale),
    bias: vector(outputs, 0),
  })
  return {
    table: matrix(vocab, width, 1),
    places: matrix(places, width, 1),
    heads,
    activation: 'gelu',
    layers: Array.from({ length: layers }, () => ({
      norm1: norm(),
      // Far from even attention.
      qkv: product(width, 3 * width, 2 / Math.sqrt(width)),
      out: product(width, width),
      norm2: norm(),
      widen: product(width, hidden),
      narrow: product(hidden, width),
    })),
    norm: norm(),
    head: { weight: matrix(width, vocab) },
  }
}

function tensorsOf({ table, places, layers, norm, head }: DecoderWeights): tf.Tensor[] {
  const all = [norm, head, ...layers.flatMap(l => Object.values(l) as (DecoderNorm | DecoderProduct)[])]
  return [table, places, ...all.flatMap(p => [p.weight, p.bias]).filter(t => t !== undefined)]
}

/** The whole of it by operations that have oracles of their own. */
function composed(w: DecoderWeights, ids: tf.Tensor2D): tf.Tensor3D {
  return tf.tidy(() => {
    const [b, t] = ids.shape
    const width = w.table.shape[1]
    const normed = (x: tf.Tensor, { weight, bias, epsilon }: DecoderNorm): tf.Tensor =>
      layerNorm(x, weight as tf.Tensor1D, bias as tf.Tensor1D, { epsilon })
    const through = (x: tf.Tensor, { weight, bias }: DecoderProduct): tf.Tensor => linear(x, weight, bias)
    let x: tf.Tensor = tf.add(tf.gather(w.table, ids), tf.slice(w.places, [0, 0], [t, -1]))
    for (const l of w.layers) {
      const parts = tf.reshape(through(normed(x, l.norm1), l.qkv), [b, t, 3, w.heads, width / w.heads])
      const [q, k, v] = tf.unstack(tf.transpose(parts, [2, 0, 3, 1, 4])) as tf.Tensor4D[]
      const attended = scaledDotProductAttention(q as tf.Tensor4D, k as tf.Tensor4D, v as tf.Tensor4D, { causal: true }) // biome-ignore format: one line
      x = tf.add(x, through(tf.reshape(tf.transpose(attended, [0, 2, 1, 3]), [b, t, width]), l.out))
      x = tf.add(x, through(gelu(through(normed(x, l.norm2), l.widen)), l.narrow))
    }
    return through(normed(x, w.norm), w.head) as tf.Tensor3D
  })
}

const idsOf = (random: Random, b: number, t: number, vocab: number): tf.Tensor2D =>
  tf.tensor2d(
    Int32Array.from({ length: b * t }, () => random.integer(vocab)),
    [b, t],
    'int32',
  )

/** All logits, fed in parts of these many tokens. */
function inParts(
  w: DecoderWeights,
  ids: tf.Tensor2D,
  cuts: readonly number[],
  capacity: number,
): Float32Array {
  const cache = new DecoderCache(w, ids.shape[0], capacity)
  const all = tf.tidy(() => {
    let at = 0
    const parts = cuts.map(n => {
      const y = decode(w, tf.slice(ids, [0, at], [-1, n]), cache)
      at += n
      expect(cache.length).toBe(at)
      return y
    })
    return Float32Array.from(tf.concat(parts, 1).dataSync())
  }) as unknown as Float32Array
  cache.dispose()
  return all
}

describe('decode', () => {
  let before = 0
  beforeEach(async () => {
    await use('vq-cpu')
    before = tf.memory().numTensors
  })
  afterEach(() => {
    expect(tf.memory().numTensors).toBe(before)
    device.threads = 1
  })

  it('is what its operations compose, for any sizes and however tokens are fed; the bits depend on no split, batch or thread', () => {
    expect(canDecode()).toBe(true)
    const sizes = fc.record({
      dim: fc.integer({ min: 1, max: 19 }),
      heads: fc.integer({ min: 1, max: 4 }),
      hidden: fc.integer({ min: 1, max: 70 }),
      layers: fc.integer({ min: 1, max: 3 }),
      vocab: fc.integer({ min: 1, max: 40 }),
      batch: fc.integer({ min: 1, max: 11 }),
      cuts: fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 6 }),
      spare: fc.integer({ min: 0, max: 5 }),
      seed: fc.nat(1000),
    })
    fc.assert(
      fc.property(sizes, ({ dim, batch, cuts, spare, seed, ...rest }) => {
        const tokens = cuts.reduce((a, b) => a + b)
        const places = tokens + spare
        const w = weightsOf({ ...rest, width: dim * rest.heads, places }, seed)
        const ids = idsOf(new Random(seed + 1), batch, tokens, rest.vocab)
        device.threads = 1
        const got = inParts(w, ids, cuts, places)
        const wanted = tf.tidy(() => composed(w, ids).dataSync()) as unknown as Float32Array
        // Normalizing a few features that are nearly equal multiplies rounding by up to 1/√ε in every layer: beside 1e-5 of the
        // largest logit, what a change of the embeddings by a few units in their last place makes.
        const moved = tf.tidy(() => {
          const noise = new Random(seed + 2).fillNormal(new Float32Array(w.table.size), 0, 3e-7)
          const table = tf.add(w.table, tf.tensor2d(noise, w.table.shape)) as tf.Tensor2D
          return composed({ ...w, table }, ids).dataSync()
        }) as unknown as Float32Array
        const scale = Math.max(1, ...wanted.map(Math.abs))
        const sensitivity = Math.max(...wanted.map((v, i) => Math.abs((moved[i] as number) - v)))
        const apart = Math.max(...wanted.map((v, i) => Math.abs((got[i] as number) - v)))
        expect(apart).toBeLessThan(1e-5 * scale + 3 * sensitivity)
        device.threads = 3
        expect(inParts(w, ids, [tokens], tokens)).toEqual(got)
        const last = tf.slice(ids, [batch - 1, 0], [1, -1])
        expect(inParts(w, last, cuts, places)).toEqual(got.slice(-tokens * rest.vocab))
        tf.dispose([...tensorsOf(w), ids, last])
      }),
      { numRuns: 40 },
    )
  })

  it('gives the last logits alone where that is asked', () => {
    const w = weightsOf({ width: 12, heads: 3, hidden: 20, layers: 2, vocab: 9, places: 8 }, 1)
    const ids = idsOf(new Random(2), 4, 8, 9)
    const all = inParts(w, ids, [8], 8)
    const cache = new DecoderCache(w, 4, 8)
    const last = decode(w, ids, cache, { last: true })
    expect(last.shape).toEqual([4, 1, 9])
    const wanted = [0, 1, 2, 3].flatMap(b => Array.from(all.slice((b * 8 + 7) * 9, (b * 8 + 8) * 9)))
    expect(Array.from(last.dataSync())).toEqual(wanted)
    // What the cache holds can be taken out: keys as the layer's projection gives them.
    const [keys, values] = cache.entries(0)
    expect([keys.shape, values.shape]).toEqual([
      [4, 3, 8, 4],
      [4, 3, 8, 4],
    ])
    const { norm1, qkv } = w.layers[0] as DecoderWeights['layers'][number]
    const projected = tf.tidy(() => {
      const x = tf.add(tf.gather(w.table, ids), w.places)
      const parts = linear(
        layerNorm(x, norm1.weight as tf.Tensor1D, norm1.bias as tf.Tensor1D),
        qkv.weight,
        qkv.bias,
      )
      return tf.transpose(tf.reshape(parts, [4, 8, 3, 3, 4]), [2, 0, 3, 1, 4])
    })
    for (const [i, held] of [keys, values].entries()) {
      const apart = tf.tidy(() => tf.max(tf.abs(tf.sub(held, tf.gather(projected, i + 1)))).dataSync()[0])
      expect(apart).toBeLessThan(1e-5)
    }
    tf.dispose([...tensorsOf(w), ids, last, keys, values, projected])
    cache.dispose()
  })

  it('refuses what does not fit, and then holds what it held', () => {
    const sizes = { width: 8, heads: 2, hidden: 6, layers: 1, vocab: 5, places: 6 }
    const w = weightsOf(sizes, 1)
    const ids = idsOf(new Random(1), 2, 4, 5)
    const cache = new DecoderCache(w, 2, 6)
    tf.dispose(decode(w, ids, cache))
    expect(() => decode(w, ids, cache)).toThrow(/at most 6 tokens.*8/s)
    const refused: [string, () => tf.Tensor2D, RegExp][] = [
      ['another batch', () => tf.zeros([3, 1], 'int32'), /ids \[2, T\]/],
      ['no tokens', () => tf.zeros([2, 0], 'int32'), /ids \[2, T\]/],
      ['floats', () => tf.zeros([2, 1]), /int32/],
      ['an id that is none', () => tf.fill([2, 1], 5, 'int32'), /5 at position 0/],
      ['one below zero', () => tf.fill([2, 1], -1, 'int32'), /-1 at position 0/],
    ]
    for (const [, make, error] of refused) {
      const other = make()
      expect(() => decode(w, other, cache)).toThrow(error)
      other.dispose()
    }
    expect(cache.length).toBe(4)
    const others: DecoderWeights[] = [
      { ...w, heads: 3 },
      { ...w, head: { weight: tf.zeros([7, 5]) } },
      { ...w, norm: { weight: tf.zeros([9]), epsilon: 1e-5 } },
      { ...w, layers: [...w.layers, ...w.layers] },
    ]
    const one = tf.zeros<tf.Rank.R2>([2, 1], 'int32')
    for (const other of others) expect(() => decode(other, one, cache)).toThrow(/decode/)
    expect(() => decode(w, one, new DecoderCache({ ...w, layers: [] }, 2, 6))).toThrow(/layers/)
    // As many numbers, but the heads of another model; and a model that needs fewer.
    expect(() => decode({ ...w, heads: 4 }, one, cache)).toThrow(/4 heads.*2 heads/s)
    const narrow = weightsOf({ ...sizes, width: 4 }, 2)
    expect(() => decode(narrow, one, cache)).toThrow(/4 wide.*8 wide/s)
    tf.dispose(tensorsOf(narrow))
    expect(cache.length).toBe(4)
    const sizesOfNone: [number, number][] = [[-1, 6], [1.5, 6], [2, 0], [2, -1], [2, 2.5], [2, Number.NaN]] // biome-ignore format: one line
    for (const [batch, capacity] of sizesOfNone)
      expect(() => new DecoderCache(w, batch, capacity)).toThrow(VqConfigError)
    expect(() => new DecoderCache({ ...w, heads: 3 }, 2, 6)).toThrow(VqShapeError)
    expect(() => cache.entries(1)).toThrow(/layer to be a whole number from 0 to 0/)
    const gone = new DecoderCache(w, 2, 6)
    gone.dispose()
    expect(() => decode(w, one, gone)).toThrow(/disposed/)
    expect(() => gone.entries(0)).toThrow(/disposed/)
    tf.dispose([
      ...tensorsOf(w),
      ids,
      one,
      others[1]?.head.weight as tf.Tensor,
      others[2]?.norm.weight as tf.Tensor,
    ])
    cache.dispose()
  })
})

onBackends(() => {
  describe('drawTokens', () => {
    const logits = Float32Array.of(9, 1, 2, 0, 1.5, 9)
    const many = 20_000
    const counts = (options: object): number[] =>
      tf.tidy(() => {
        const rows = tf.tile(tf.tensor2d(logits, [1, 6]), [many, 1])
        const seen = new Array<number>(6).fill(0)
        const ids = drawTokens(rows, { range: [1, 5], random: new Random(11), ...options })
        expect([ids.dtype, ids.shape]).toEqual(['int32', [many]])
        for (const id of ids.dataSync()) seen[id] = (seen[id] as number) + 1
        return seen.map(n => n / many) as never
      }) as unknown as number[]
    const softmax = (values: number[]): number[] => {
      const e = values.map(Math.exp)
      return e.map(v => v / e.reduce((a, b) => a + b, 0))
    }
    const near = (got: number[], wanted: number[]): void => {
      for (const [i, p] of wanted.entries()) expect(Math.abs((got[i] as number) - p)).toBeLessThan(0.012)
    }

    it('takes what may come, as often as the softmax says', () => {
      near(counts({}), [0, ...softmax([1, 2, 0, 1.5]), 0])
      near(counts({ temperature: 0.5 }), [0, ...softmax([2, 4, 0, 3]), 0])
      const two = softmax([2, 1.5])
      near(counts({ topK: 2 }), [0, 0, two[0] as number, 0, two[1] as number, 0])
      // 0.45 and 0.28 reach 0.6 together.
      near(counts({ topP: 0.6 }), [0, 0, two[0] as number, 0, two[1] as number, 0])
      expect(counts({ temperature: 0 })).toEqual([0, 0, 1, 0, 0, 0])
      expect(counts({ topP: 0.1 })).toEqual([0, 0, 1, 0, 0, 0])
      expect(counts({ also: [5] })[5]).toBeGreaterThan(0.99)
      const three = softmax([1, 2, 9])
      near(counts({ range: [1, 3], also: [0] }), [three[2], three[0], three[1], 0, 0, 0] as number[])
    })

    it('guides by what it would draw without the condition, and gives copies', () => {
      const known = [1, 2, 0]
      const free = [2, 0, 1]
      // l₀ + 3·(l − l₀)
      const guided = softmax(known.map((l, i) => (free[i] as number) + 3 * (l - (free[i] as number))))
      const rows = tf.tidy(() =>
        tf.concat([tf.tile(tf.tensor2d([known]), [many, 1]), tf.tile(tf.tensor2d([free]), [many, 1])]),
      )
      const ids = drawTokens(rows, { guidance: 3, copies: 2, random: new Random(1) })
      expect(ids.shape).toEqual([2 * many])
      const values = ids.dataSync()
      expect(values.slice(many)).toEqual(values.slice(0, many))
      const seen = [0, 1, 2].map(i => values.filter(v => v === i).length / values.length)
      near(seen, guided)
      const odd = tf.zeros([3, 2])
      expect(() => drawTokens(odd, { guidance: 2 })).toThrow(/without the condition/)
      tf.dispose([rows, ids, odd])
    })

    it('draws no more often what is named twice, and takes any number for "all"', () => {
      const x = tf.zeros<tf.Rank.R2>([many, 3])
      const ids = drawTokens(x, {
        range: [0, 2],
        also: [2, 1, 2],
        topK: Number.MAX_SAFE_INTEGER,
        random: new Random(1),
      })
      const values = ids.dataSync()
      near(
        [0, 1, 2].map(i => values.filter(v => v === i).length / many),
        [1 / 3, 1 / 3, 1 / 3],
      )
      tf.dispose([x, ids])
    })

    it('refuses logits that say nothing, by row, unless they are of ids that may not come', () => {
      const { NaN: nan, POSITIVE_INFINITY: inf } = Number
      const fine = [0, 1, 2]
      const refused = [[nan, 1, 2], [0, 1, nan], [0, inf, 1], [-inf, -inf, -inf]] // biome-ignore format: one line
      const before = tf.memory().numTensors
      for (const row of refused)
        for (const temperature of [0, 1])
          tf.tidy(() => {
            const x = tf.tensor2d([fine, fine, row, row])
            expect(() => drawTokens(x, { temperature })).toThrow(/row 2/)
            expect(() => drawTokens(x, { temperature, topK: 2, guidance: 2 })).toThrow(VqValueError)
          })
      const drawn = (rows: number[][], options: object): number[] =>
        tf.tidy(() => Array.from(drawTokens(tf.tensor2d(rows), options).dataSync()) as never)
      expect(drawn([[nan, 1, inf]], { range: [1, 2] })).toEqual([1])
      // −∞ is "never", also where it is so with and without the condition.
      const random = new Random(3)
      for (const topK of [1, 2, 3]) expect(drawn([[-inf, 1, -inf]], { topK, random })).toEqual([1])
      expect(drawn([[-inf, 1, -inf], [-inf, 0, -inf]], { guidance: 3, random })).toEqual([1]) // biome-ignore format: one line
      expect(tf.memory().numTensors).toBe(before)
    })

    it('draws with nothing on the tape, so that what is made with the ids has gradients', () => {
      tf.tidy(() => {
        const table = tf.tensor2d([[1, 2], [3, 4], [5, 6]]) // biome-ignore format: one line
        const [of] = [tf.grad(x => tf.add(tf.sum(x), tf.sum(tf.gather(table, drawTokens(x as tf.Tensor2D)))))]
        expect(Array.from(of(tf.zeros([2, 3])).dataSync())).toEqual([1, 1, 1, 1, 1, 1])
      })
    })

    it('refuses ways to draw that are none', () => {
      const x = tf.zeros<tf.Rank.R2>([2, 3])
      const refused: [object, RegExp][] = [
        [{ temperature: -1 }, /temperature/],
        [{ topK: 0 }, /topK/],
        [{ topP: 0 }, /topP/],
        [{ range: [0, 4] }, /range/],
        [{ range: [1, 1] }, /range/],
        [{ also: [3] }, /range/],
        [{ copies: 0 }, /copies/],
        [{ range: null }, /range/],
        [{ also: 1 }, /range/],
        [{ temperature: Number.NaN }, /temperature/],
        [{ guidance: Number.NaN }, /guidance/],
      ]
      for (const [options, error] of refused) expect(() => drawTokens(x, options)).toThrow(error)
      const row = tf.zeros([3])
      expect(() => drawTokens(row)).toThrow(/\[B, V\]/)
      tf.dispose([x, row])
    })
  })
})

describe('drawTokens', () => {
  it('leaves no memory behind where it refuses', async () => {
    await use('vq-cpu')
    const rows = tf.tensor2d([[0, Number.NaN]])
    const before = native().memory().bytesInUse
    for (let i = 0; i < 5; i++) expect(() => drawTokens(rows)).toThrow(/row 0/)
    expect(native().memory().bytesInUse).toBe(before)
    rows.dispose()
  })

  it('draws the same on every backend', async () => {
    const given = fc.record({
      values: fc.array(fc.float({ min: -8, max: 8, noNaN: true }), { minLength: 12, maxLength: 60 }),
      classes: fc.integer({ min: 1, max: 6 }),
      temperature: fc.constantFrom(0, 0.3, 1, 2),
      topK: fc.integer({ min: 1, max: 7 }),
      topP: fc.constantFrom(1, 0.9, 0.4),
      seed: fc.nat(1000),
    })
    const samples = fc.sample(given, 60)
    const drawnOn = async (backend: string): Promise<number[][]> => {
      await use(backend)
      return samples.map(({ values, classes, seed, ...how }) =>
        tf.tidy(() => {
          const rows = Math.floor(values.length / classes)
          const x = tf.tensor2d(values.slice(0, rows * classes), [rows, classes])
          return Array.from(drawTokens(x, { ...how, random: new Random(seed) }).dataSync()) as never
        }),
      ) as unknown as number[][]
    }
    expect(await drawnOn('vq-cpu')).toEqual(await drawnOn('cpu'))
    await use('vq-cpu')
  })
})
