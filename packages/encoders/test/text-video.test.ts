import { Random, tf, VqConfigError, VqShapeError, VqValueError } from '@vq/core'
import { valueAndGradients } from '@vq/core/optim'
import {
  type BaseEncoder,
  BertEncoder,
  createEncoder,
  LSTMEncoder,
  TextDecoder,
  Tokenizer,
  TransformerEncoder,
  trainBytePairTokenizer,
  trainCharacterTokenizer,
  trainWordTokenizer,
  VideoTransformerEncoder,
} from '@vq/encoders'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'

const random = (): Random => new Random(5)
const small = { vocabSize: 12, hiddenDim: 8, numLayers: 1, numHeads: 2, mlpDim: 12, maxLength: 8 }
const lstm = { vocabSize: 12, embeddingDim: 4, hiddenDim: 5 }

const encoders: Record<string, () => BaseEncoder> = {
  'LSTM with attention': () => new LSTMEncoder({ ...lstm, random: random() }),
  'LSTM with the mean': () => new LSTMEncoder({ ...lstm, pooling: 'mean', random: random() }),
  'LSTM with the last state': () => new LSTMEncoder({ ...lstm, pooling: 'last', random: random() }),
  Transformer: () => new TransformerEncoder({ ...small, random: random() }),
  BERT: () => new BertEncoder({ ...small, random: random() }),
}

function largest(a: tf.Tensor, b: tf.Tensor): number {
  return tf.tidy(() => tf.max(tf.abs(tf.sub(a, b))).dataSync()[0]!)
}

describe.each(Object.entries(encoders))('%s', (_, make) => {
  test('gives a masked text the embedding and the tokens of the text cut short', () => {
    const encoder = make().eval()
    expect(tf.getBackend()).toBe('vq-cpu')
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0, max: 11 }), { minLength: 1, maxLength: 7 }),
        fc.array(fc.integer({ min: 0, max: 11 }), { minLength: 1, maxLength: 7 }),
        (one, two) =>
          tf.tidy(() => {
            const t = Math.max(one.length, two.length)
            const padded = [one, two].map(row => [...row, ...new Array<number>(t - row.length).fill(3)])
            const ids = tf.tensor2d(padded, [2, t], 'int32')
            const lengths = [one.length, two.length]
            const together = encoder.forward(ids, { lengths })
            for (const [i, row] of [one, two].entries()) {
              const alone = encoder.forward(tf.tensor2d([row], [1, row.length], 'int32'))
              const there = tf.slice(together.embedding, [i, 0], [1, -1])
              expect(largest(there, alone.embedding)).toBeLessThan(1e-5)
              const tokens = tf.slice(together.sequence!, [i, 0, 0], [1, row.length, -1])
              expect(largest(tokens, alone.sequence!)).toBeLessThan(1e-5)
            }
          }),
      ),
      { numRuns: 25 },
    )
    encoder.dispose()
  })
})

test('an LSTM passes over tokens that a mask leaves out anywhere, and gives 0 for them', () => {
  const encoder = new LSTMEncoder({ ...lstm, random: random() }).eval()
  tf.tidy(() => {
    const ids = tf.tensor2d([[3, 9, 4, 5, 1]], [1, 5], 'int32')
    const mask = tf.tensor2d([[0, 1, 0, 1, 1]], [1, 5], 'int32')
    const holes = encoder.forward(ids, { mask })
    const dense = encoder.forward(tf.tensor2d([[9, 5, 1]], [1, 3], 'int32'))
    expect(largest(holes.embedding, dense.embedding)).toBeLessThan(1e-6)
    const rows = (holes.sequence!.arraySync() as number[][][])[0]!
    const wanted = (dense.sequence!.arraySync() as number[][][])[0]!
    for (const [i, at] of [1, 3, 4].entries())
      for (const [k, v] of wanted[i]!.entries()) expect(rows[at]![k]).toBeCloseTo(v, 6)
    for (const at of [0, 2]) expect(rows[at]!.every(v => v === 0)).toBe(true)
  })
  encoder.dispose()
})

test('a text of which nothing is kept is finite', () => {
  for (const make of Object.values(encoders)) {
    const encoder = make().eval()
    tf.tidy(() => {
      const { embedding } = encoder.forward(tf.zeros([2, 4], 'int32'), { lengths: [0, 2] })
      expect(embedding.dataSync().every(Number.isFinite)).toBe(true)
    })
    encoder.dispose()
  }
})

test('defaults are those of the papers: parameters counted by hand', () => {
  const count = (encoder: BaseEncoder): number => {
    const n = encoder.parameterCount()
    encoder.dispose()
    return n
  }
  const layer = (d: number, f: number): number => 4 * d * d + 4 * d + 2 * d * f + f + d + 4 * d
  // A bidirectional layer has 2 · 4H · (I + H + 2) of them.
  const lstms = 2 * 2048 * (256 + 512 + 2) + 2 * 2048 * (1024 + 512 + 2)
  expect(count(new LSTMEncoder({ vocabSize: 10 }))).toBe(2560 + lstms + 1024 + 1024 * 256 + 256)
  expect(count(new TransformerEncoder({ vocabSize: 10 }))).toBe(522 * 512 + 6 * layer(512, 2048))
  expect(count(new BertEncoder({ vocabSize: 10, numLayers: 1 }))).toBe(
    (10 + 512 + 2) * 768 + 2 * 768 + layer(768, 3072) + 768 * 768 + 768,
  )
})

test('options out of range and wrong inputs are refused by name', () => {
  expect(() => new BertEncoder({ ...small, numHeads: 3 })).toThrow(VqConfigError)
  expect(() => new BertEncoder({ ...small, pooling: 'eos' })).toThrow(/eosTokenId/)
  expect(() => new TransformerEncoder({ ...small, pooling: 'none' as never })).toThrow(/pooling/)
  expect(() => new LSTMEncoder({ vocabSize: 0 })).toThrow(/vocabSize/)
  expect(() => createEncoder({ type: 'video_transformer', inputDim: [4, 8, 8] })).toThrow(/inputDim/)
  const encoder = new BertEncoder({ ...small, random: random() })
  const ids = tf.zeros([1, 4], 'int32')
  expect(() => encoder.forward(tf.zeros([1, 9], 'int32'))).toThrow(VqShapeError)
  expect(() => encoder.forward(tf.fill([1, 4], 12, 'int32'))).toThrow(VqValueError)
  expect(() => encoder.forward(ids, { lengths: [5] })).toThrow(VqValueError)
  expect(() => encoder.forward(ids, { tokenTypes: tf.zeros([1, 3], 'int32') })).toThrow(VqShapeError)
  expect(() => encoder.forward(ids, { lengths: [1], mask: tf.ones([1, 4], 'int32') })).toThrow(/both/)
  encoder.dispose()
  const video = new VideoTransformerEncoder({
    ...{ inputDim: [4, 8, 8, 1], patchSize: 8, tubeletSize: 2, embeddingDim: 8, numHeads: 2 },
    ...{ numLayers: 1, temporalLayers: 1 },
  })
  expect(() => video.forward(tf.zeros([1, 3, 8, 8, 1]))).toThrow(/multiple of 2/)
  expect(() => video.forward(tf.zeros([1, 6, 8, 8, 1]))).toThrow(/1 to 4 frames/)
  video.dispose()
})

test('hidden states take lengths as the embedding does', () => {
  const encoder = new BertEncoder({ ...small, numLayers: 2, random: random() }).eval()
  tf.tidy(() => {
    const ids = tf.tensor2d([[3, 4, 5, 6]], [1, 4], 'int32')
    const states = encoder.hiddenStates(ids, { lengths: [2] })
    expect(states.length).toBe(3)
    expect(largest(states[2]!, encoder.forward(ids, { lengths: [2] }).sequence!)).toBe(0)
    expect(largest(states[2]!, encoder.hiddenStates(ids)[2]!)).toBeGreaterThan(1e-4)
    expect(() => encoder.hiddenStates(ids, { mask: tf.ones([1, 3], 'int32') })).toThrow(VqShapeError)
  })
  encoder.dispose()
})

describe('the text decoder', () => {
  const decoder = new TextDecoder({
    ...{ ...small, numLayers: 2, embeddingDim: 4, startId: 1, endId: 2, random: random() },
  }).eval()
  const z = tf.tensor2d(new Random(8).fillNormal(new Float32Array(12)), [3, 4])

  test('writes with its cache what is most likely without it', () => {
    const ids = decoder.generate(z)
    const texts = ids.arraySync() as number[][]
    const likely = tf.tidy(() => tf.argMax(decoder.logits(z, ids), 2).arraySync() as number[][])
    for (const [row, text] of texts.entries()) {
      const end = text.indexOf(2)
      const length = end < 0 ? text.length : end + 1
      expect(text.slice(0, length)).toEqual(likely[row]!.slice(0, length))
      expect(text.slice(length).every(id => id === 0)).toBe(true)
    }
    ids.dispose()
  })

  test('foretells each token of those before it alone', () => {
    tf.tidy(() => {
      const [a, b] = [[3, 4, 5, 6], [3, 4, 9, 1]].map(row => tf.tensor2d([row, row, row], [3, 4], 'int32')) // biome-ignore format: rows
      const [one, other] = [decoder.logits(z, a!), decoder.logits(z, b!)]
      const head = (x: tf.Tensor3D): tf.Tensor => tf.slice(x, [0, 0, 0], [-1, 3, -1])
      expect(largest(head(one), head(other))).toBe(0)
      expect(largest(one, other)).toBeGreaterThan(1e-4)
    })
  })

  test('draws tokens as often as their probabilities say, the same again of the same seed', () => {
    const many = tf.tidy(() => tf.tile(tf.slice(z, [0, 0], [1, 4]), [2000, 1]) as tf.Tensor2D)
    const first = (seed: number): number[] => {
      const ids = decoder.generate(many, { maxLength: 1, temperature: 0.7, random: new Random(seed) })
      const drawn = Array.from(ids.dataSync())
      ids.dispose()
      return drawn
    }
    const drawn = first(1)
    expect(first(1)).toEqual(drawn)
    const logits = tf.tidy(() =>
      decoder.logits(tf.slice(z, [0, 0], [1, 4]), tf.zeros([1, 1], 'int32')).dataSync(),
    )
    const weights = Array.from(logits, l => Math.exp(l / 0.7))
    const sum = weights.reduce((a, b) => a + b, 0)
    for (const [id, w] of weights.entries()) {
      const p = w / sum
      const share = drawn.filter(d => d === id).length / drawn.length
      expect(Math.abs(share - p)).toBeLessThan(5 * Math.sqrt((p * (1 - p)) / drawn.length))
    }
    many.dispose()
  })

  test('its loss is the mean cross-entropy of the tokens that the mask keeps', () => {
    tf.tidy(() => {
      const ids = tf.tensor2d([[3, 4], [5, 2], [6, 7]], [3, 2], 'int32') // biome-ignore format: rows
      const mask = tf.tensor2d([[1, 1], [1, 0], [0, 0]], [3, 2], 'int32') // biome-ignore format: rows
      const logits = decoder.logits(z, ids).arraySync() as number[][][]
      const nats = ([row, at, id]: number[]): number => {
        const scores = logits[row!]![at!]!
        return Math.log(scores.reduce((s, v) => s + Math.exp(v), 0)) - scores[id!]!
      }
      const wanted = ([[0, 0, 3], [0, 1, 4], [1, 0, 5]].map(nats).reduce((a, b) => a + b, 0)) / 3 // biome-ignore format: rows
      expect(decoder.loss(z, ids, { mask }).dataSync()[0]).toBeCloseTo(wanted, 5)
    })
  })
})

test('an LSTM and a text decoder learn to repeat two texts', () => {
  const encoder = new LSTMEncoder({ ...lstm, dropout: 0, random: random() })
  const decoder = new TextDecoder({
    ...{ ...small, embeddingDim: 4, startId: 1, endId: 2, dropout: 0, random: random() },
  })
  const ids = tf.tensor2d([[3, 4, 5, 2], [6, 7, 2, 0]], [2, 4], 'int32') // biome-ignore format: rows
  const mask = tf.tensor2d([[1, 1, 1, 1], [1, 1, 1, 0]], [2, 4], 'int32') // biome-ignore format: rows
  const variables = [...encoder.namedParameters(), ...decoder.namedParameters()].map(p => p.variable)
  for (let step = 0; step < 150; step++) {
    const { value, gradients } = valueAndGradients(
      () => decoder.loss(encoder.forward(ids, { mask }).embedding, ids, { mask }),
      variables,
    )
    tf.tidy(() => {
      for (const [i, v] of variables.entries())
        if (gradients[i]) v.assign(tf.sub(v, tf.mul(gradients[i], 0.3)))
    })
    tf.dispose([value, ...gradients.filter(g => g !== null)])
  }
  const texts = tf.tidy(() =>
    decoder.eval().generate(encoder.eval().forward(ids, { mask }).embedding).arraySync(),
  )
  expect(texts).toEqual([[3, 4, 5, 2], [6, 7, 2, 0]]) // biome-ignore format: rows
  encoder.dispose()
  decoder.dispose()
  tf.dispose([ids, mask])
})

describe('trained tokenizers', () => {
  const corpus = ['the cat sat on the mat', 'The dog; the log', 'a cat, a dog']

  test('words: the most frequent first, others unknown', () => {
    const tokenizer = trainWordTokenizer(corpus, { lowercase: true, vocabSize: 6 })
    // the 4, a 2, cat 2, dog 2.
    expect(['[PAD]', '[UNK]', 'the', 'a', 'cat', 'dog'].map(t => tokenizer.tokenToId(t))).toEqual([0, 1, 2, 3, 4, 5]) // biome-ignore format: one line
    expect(tokenizer.vocabSize).toBe(6)
    expect(tokenizer.encode('The CAT flew').ids).toEqual([2, 4, 1])
  })

  test('characters and byte pairs give every text back', () => {
    const characters = trainCharacterTokenizer(corpus)
    expect(characters.decode(characters.encode('a log\nsat').ids.filter(id => id > 1))).toBe('a logsat')
    const pairs = trainBytePairTokenizer(corpus, { vocabSize: 270 })
    expect(pairs.vocabSize).toBe(270)
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', maxLength: 30 }), text => {
        // Special tokens in a text are special tokens.
        fc.pre(!text.includes('<pad>'))
        expect(pairs.decode(pairs.encode(text).ids)).toBe(text)
      }),
    )
  })

  test('byte pairs: each merge is of the most frequent pair, of equal ones that of lower ids', () => {
    const { merges } = trainBytePairTokenizer(['aaab aaab', 'ab'], { vocabSize: 260 }).definition.model
    // aa 2·2, ab 3 (in "aaab", "Ġaaab", "ab"), Ġa 1.
    expect((merges as string[][])[0]).toEqual(['a', 'a'])
  })

  test('refuse too small vocabularies and what is no text', () => {
    expect(() => trainBytePairTokenizer(corpus, { vocabSize: 200 })).toThrow(VqConfigError)
    expect(() => trainWordTokenizer([3] as never)).toThrow(VqConfigError)
    expect(() => trainWordTokenizer(corpus, { specialTokens: ['[PAD]'] })).toThrow(/unknownToken/)
    expect(() => new Tokenizer({ model: 3 })).toThrow(/tokenizer.json/)
    const single = { id: 0, content: 'x', single_word: true }
    const model = { type: 'WordLevel', vocab: { x: 0 }, unk_token: 'x' }
    expect(() => new Tokenizer({ model, added_tokens: [single] })).toThrow(/single_word/)
    expect(() => trainWordTokenizer(corpus).encode('cat', { maxLength: 0 })).toThrow(VqConfigError)
  })
})
