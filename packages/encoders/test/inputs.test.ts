// What plain JavaScript can pass: every error is one of ours.
import { tf, VqError } from '@vq/core'
import { expect, test } from 'vitest'
import {
  type BaseEncoder,
  BertEncoder,
  ClipTextEncoder,
  createEncoder,
  DeepLabV3Encoder,
  LearnedLinearEncoder,
  PCAEncoder,
  ResNetEncoder,
  TimeSformerEncoder,
  Tokenizer,
  VideoMAEEncoder,
  VisionTransformerEncoder,
} from '../src/index.js'

const wrong: unknown[] = [null, 5, 'x', [], {}, [[1, 2]], new Float32Array(3), Number.NaN, true, 10n]
const small = { vocabSize: 5, hiddenDim: 8, numLayers: 1, numHeads: 2, mlpDim: 8, maxLength: 8 }
const video = { inputDim: [2, 4, 4, 3], patchSize: 2, hiddenDim: 8, numHeads: 2, numLayers: 1 }
const images = { inputDim: [8, 8, 3] }

const encoders: Record<string, () => BaseEncoder> = {
  CNN: () => createEncoder({ type: 'cnn', ...images, embeddingDim: 4 }),
  ResNet: () => new ResNetEncoder({ ...images, widths: [4], depths: [1], stemWidth: 4 }),
  ViT: () => new VisionTransformerEncoder({ ...images, patchSize: 4, embeddingDim: 8, numLayers: 1 }),
  LSTM: () => createEncoder({ type: 'lstm', vocabSize: 5, embeddingDim: 4, hiddenDim: 4 }),
  BERT: () => new BertEncoder(small),
  VideoMAE: () => new VideoMAEEncoder(video),
  TimeSformer: () => new TimeSformerEncoder(video),
  linear: () => new LearnedLinearEncoder({ inputDim: [4], embeddingDim: 2 }),
}

test.each(Object.entries(encoders))('%s names what is no tensor, no mask and no state', (_, make) => {
  const encoder = make().eval() as BaseEncoder & { hiddenStates?: (x: never) => unknown }
  expect(tf.getBackend()).toBe('vq-cpu')
  const x = tf.zeros([1, ...encoder.inputShape.map(n => n ?? 8)], encoder.inputType)
  const before = tf.memory().numTensors
  for (const value of wrong) {
    expect(() => encoder.forward(value as never)).toThrow(VqError)
    expect(() => encoder.forward(x, { mask: value as never })).toThrow(VqError)
    expect(() => encoder.forward(x, { lengths: (value ?? 7) as never })).toThrow(VqError)
    if (encoder.hiddenStates) expect(() => encoder.hiddenStates!(value as never)).toThrow(VqError)
  }
  expect(() => encoder.forward(x, null as never)).toThrow(VqError)
  for (const state of [null, undefined, 5])
    expect(() => encoder.loadStateDict(state as never)).toThrow(VqError)
  expect(tf.memory().numTensors).toBe(before)
  x.dispose()
  expect(() => encoder.forward(x)).toThrow(VqError)
  encoder.dispose()
})

test('options of other types are refused by name', () => {
  const makers = [PCAEncoder, LearnedLinearEncoder, DeepLabV3Encoder, ResNetEncoder, VisionTransformerEncoder]
  for (const Made of makers)
    for (const value of [undefined, null, 5]) expect(() => new Made(value as never)).toThrow(VqError)
  for (const value of wrong.filter(v => !(Array.isArray(v) || v === 5))) {
    expect(() => new ResNetEncoder({ ...images, widths: (value ?? 1) as never })).toThrow(/widths/)
    expect(() => new VisionTransformerEncoder({ ...images, patchSize: value as never })).toThrow(VqError)
    for (const Made of [VideoMAEEncoder, TimeSformerEncoder])
      expect(() => new Made({ ...video, patchSize: value as never })).toThrow(VqError)
    expect(() => new VisionTransformerEncoder({ ...images, random: value as never })).toThrow(/random/)
  }
})

test('TimeSformer refuses the layers of other sizes', () => {
  const encoder = new TimeSformerEncoder(video)
  expect(() => encoder.hiddenStates(tf.zeros([1, 1, 4, 4, 3]))).toThrow(VqError)
  encoder.dispose()
})

test('CLIP’s text tower takes a single token, whose vector is the embedding', () => {
  const encoder = new ClipTextEncoder({ ...small, eosTokenId: 4 }).eval()
  const { embedding, sequence } = encoder.forward(tf.tensor2d([[4], [1]], [2, 1], 'int32'))
  expect(Array.from(embedding.dataSync())).toEqual(Array.from(sequence!.dataSync()))
  encoder.dispose()
})

test('tokenizers refuse what they would compute otherwise than Python does', () => {
  const model = { type: 'WordLevel', vocab: { a: 0, '[UNK]': 1 }, unk_token: '[UNK]' }
  const made = (rest: object): Tokenizer => new Tokenizer({ model, ...rest })
  const split = { type: 'Split', pattern: { String: ' ' } }
  const steps = [
    { ...split, behavior: 'Removed', invert: false },
    { ...split, behavior: 'Isolated', invert: true },
    { type: 'Punctuation', behavior: 'Removed' },
    { type: 'Punctuation', behavior: 'MergedWithPrevious' },
  ]
  for (const pre_tokenizer of steps) expect(() => made({ pre_tokenizer })).toThrow(VqError)
  const token = { id: 2, content: '<X>', normalized: true, special: false }
  const lower = { added_tokens: [token], normalizer: { type: 'Lowercase' } }
  expect(() => made(lower)).toThrow(/<X>/)
  expect(made({ added_tokens: [token] }).encode('<X>').ids).toEqual([2])
})

test('unknown tokens are joined within words alone, as by Python', () => {
  const model = {
    ...{ type: 'BPE', vocab: { '[UNK]': 0, a: 1 }, merges: [], unk_token: '[UNK]', fuse_unk: true },
    ...{ continuing_subword_prefix: null, end_of_word_suffix: null, byte_fallback: false },
  }
  const tokenizer = new Tokenizer({ model, pre_tokenizer: { type: 'WhitespaceSplit' } })
  // What tokenizers 0.23.2 gives.
  expect(tokenizer.encode('bc de abca').ids).toEqual([0, 0, 1, 0, 1])
})
