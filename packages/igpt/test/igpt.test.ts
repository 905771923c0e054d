import { Random, tf } from '@vq/core'
import { Adam, trainStep } from '@vq/core/optim'
import {
  IGPT,
  imagesForTexts,
  part,
  TextTokenizer,
  textsForImages,
  unconditional,
  Vocabulary,
} from '@vq/igpt'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

const small = { vocabSize: 20, contextLength: 12, dModel: 16, nHeads: 2, nLayers: 3, dropout: 0.1 }
const idsOf = (random: Random, b: number, t: number, size = 20): tf.Tensor2D =>
  tf.tensor2d(
    Int32Array.from({ length: b * t }, () => Math.floor(random.uniform() * size)),
    [b, t],
    'int32',
  )

describe('IGPT', () => {
  it('gives the same logits with a cache as without, at every position and however they are fed', () => {
    expect(tf.getBackend()).toBe('vq-cpu')
    const model = new IGPT({ ...small, random: new Random(1) }).eval()
    // Larger weights than at the start, so that attention is far from even.
    for (const { variable } of model.namedParameters())
      if (variable.rank === 2) tf.tidy(() => variable.assign(tf.mul(variable, 8)))
    const ids = idsOf(new Random(2), 3, 12)
    const whole = model.logits(ids)
    const scale = tf.max(tf.abs(whole)).dataSync()[0] as number
    for (const cuts of [
      [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1],
      [5, 1, 1, 5],
      [11, 1],
      [3, 4, 5],
    ]) {
      const cache = model.cache()
      let at = 0
      for (const n of cuts) {
        const part = model.logits(tf.slice(ids, [0, at], [-1, n]), cache)
        const expected = tf.slice(whole, [0, at, 0], [-1, n, -1])
        expect((tf.max(tf.abs(tf.sub(part, expected))).dataSync()[0] as number) / scale).toBeLessThan(1e-5)
        at += n
        expect(cache.length).toBe(at)
      }
      cache.dispose()
    }
  })

  it('lets no token see those behind it', () => {
    const model = new IGPT({ ...small, random: new Random(1) }).eval()
    const ids = idsOf(new Random(3), 1, 12)
    const other = tf.concat([tf.slice(ids, [0, 0], [1, 7]), idsOf(new Random(4), 1, 5)], 1) as tf.Tensor2D
    const [a, b] = [model.logits(ids), model.logits(other)]
    expect(
      tf
        .max(tf.abs(tf.sub(tf.slice(a, [0, 0, 0], [1, 7, -1]), tf.slice(b, [0, 0, 0], [1, 7, -1]))))
        .dataSync()[0],
    ).toBe(0)
    expect(tf.max(tf.abs(tf.sub(a, b))).dataSync()[0]).toBeGreaterThan(0)
  })

  it('has losses by part that its loss is made of', () => {
    const model = new IGPT({ ...small, random: new Random(1) }).eval()
    const ids = idsOf(new Random(5), 4, 13)
    const kinds = tf.tensor2d(
      Int32Array.from({ length: 52 }, (_, i) => [0, 0, 1, 2][i % 4] as number),
      [4, 13],
      'int32',
    )
    const { loss, imageLoss, textLoss } = model.forward(ids, { parts: kinds })
    const scores = model.logits(tf.slice(ids, [0, 0], [4, 12])).arraySync()
    const [targets, parts] = [ids.arraySync(), kinds.arraySync()]
    const sums = new Map<number, [number, number]>()
    for (let b = 0; b < 4; b++)
      for (let t = 0; t < 12; t++) {
        const row = scores[b]?.[t] as number[]
        const top = Math.max(...row)
        const nats =
          Math.log(row.reduce((s, v) => s + Math.exp(v - top), 0)) +
          top -
          (row[targets[b]?.[t + 1] as number] as number)
        const [sum, n] = sums.get(parts[b]?.[t + 1] as number) ?? [0, 0]
        sums.set(parts[b]?.[t + 1] as number, [sum + nats, n + 1])
      }
    const mean = (kind: number): number => (sums.get(kind)?.[0] as number) / (sums.get(kind)?.[1] as number)
    expect(imageLoss?.dataSync()[0]).toBeCloseTo(mean(part.image), 4)
    expect(textLoss?.dataSync()[0]).toBeCloseTo(mean(part.text), 4)
    const all = [...sums.values()].reduce(([s, n], [a, b]) => [s + a, n + b], [0, 0])
    expect(loss.dataSync()[0]).toBeCloseTo((all[0] as number) / (all[1] as number), 4)
    // What weighs nothing counts nothing.
    const weights = tf.cast(tf.equal(kinds, tf.scalar(1, 'int32')), 'float32')
    expect(model.forward(ids, { weights }).loss.dataSync()[0]).toBeCloseTo(mean(part.image), 4)
  })

  it('names its parameters as the PyTorch model does', () => {
    const names = Object.keys(new IGPT({ ...small, nLayers: 1 }).stateDict())
    const block = ['ln1.weight', 'ln1.bias', 'ln2.weight', 'ln2.bias', 'qkv.weight', 'qkv.bias', 'out.weight', 'out.bias', 'mlp.0.weight', 'mlp.0.bias', 'mlp.2.weight', 'mlp.2.bias'] // biome-ignore format: one line
    expect(new Set(names)).toEqual(new Set(['tok.weight', 'pos.weight', 'norm.weight', 'norm.bias', 'head.weight', ...block.map(n => `blocks.0.${n}`)])) // biome-ignore format: one line
  })

  it('refuses other ids, longer sequences and options out of range', () => {
    const model = new IGPT(small)
    expect(() => model.logits(tf.zeros([1, 3]))).toThrow(/ids int32/)
    expect(() => model.logits(tf.zeros([1, 13], 'int32'))).toThrow(/at most 12 tokens/)
    expect(() => model.logits(tf.fill([1, 3], 20, 'int32'))).toThrow(/20/)
    expect(() => new IGPT({ ...small, nHeads: 3 })).toThrow(/nHeads to divide/)
    expect(() => new IGPT(undefined as never)).toThrow(/IGPT/)
  })
})

describe('Vocabulary', () => {
  const options = { codebookSizes: [8, 4], words: 5, places: 3, textLength: 2 }

  it('gives every code of every level, every word and every special token an id of its own', () => {
    const v = new Vocabulary(options)
    const ids = [...Array(8).keys()].map(c => v.imageIds([c, 0, 0, 0, 0, 0])[0])
    const second = [...Array(4).keys()].map(c => v.imageIds([0, c, 0, 0, 0, 0])[1])
    const words = [...Array(5).keys()].map(w => v.textIds([w])[0])
    const all = [...ids, ...second, ...words, v.bos, v.endOfImage, v.endOfText, v.pad, v.blank]
    expect(new Set(all).size).toBe(all.length)
    expect([...all].sort((a, b) => (a as number) - (b as number))).toEqual([...Array(v.size).keys()])
  })

  it('turns codes and words to ids and back, in both orders', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.integer({ min: 0, max: 7 }), fc.integer({ min: 0, max: 3 })), {
          minLength: 3,
          maxLength: 3,
        }),
        fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 2 }),
        fc.constantFrom('depth' as const, 'level' as const),
        fc.boolean(),
        (codes, words, order, textFirst) => {
          const v = new Vocabulary({ ...options, order })
          const image = v.imageIds(codes.flat())
          expect(Array.from(v.imageCodes(image))).toEqual(codes.flat())
          for (const [at, id] of image.entries()) {
            const [first, end] = v.imageRange(at)
            expect(id).toBeGreaterThanOrEqual(first)
            expect(id).toBeLessThan(end)
          }
          const text = v.textIds(words)
          expect(Array.from(v.textWords(text))).toEqual(words)
          const { ids, parts } = v.sequence(image, text, textFirst)
          expect(ids).toHaveLength(v.sequenceLength)
          expect(Array.from(ids).filter((_, i) => parts[i] === part.image)).toEqual(Array.from(image))
          expect(Array.from(ids).filter((_, i) => parts[i] === part.text)).toEqual(Array.from(text))
          // A prompt is how a sequence begins.
          const prompt = textFirst ? v.promptForImage(text) : v.promptForText(image)
          expect(Array.from(ids.slice(0, prompt.length))).toEqual(Array.from(prompt))
        },
      ),
    )
    expect(() => new Vocabulary(options).imageIds([8, 0, 0, 0, 0, 0])).toThrow(/codes from 0 to 7 at level 0/)
    expect(() => new Vocabulary(options).textIds([0, 1, 2])).toThrow(/at most 2 words/)
  })

  it('knows words', () => {
    const tokenizer = new TextTokenizer(['light red 7 on dark blue', 'dark red 3 on light blue'])
    expect(tokenizer.words).toEqual(['3', '7', 'blue', 'dark', 'light', 'on', 'red'])
    expect(tokenizer.decode(tokenizer.encode('dark  red 7'))).toBe('dark red 7')
    expect(() => tokenizer.encode('dark rad')).toThrow(/Did you mean 'red'/)
  })
})

describe('generation', () => {
  // Text word w asks for an image of codes w + place, mod 4.
  const vocabulary = new Vocabulary({ codebookSizes: [4], words: 4, places: 3, textLength: 1 })
  const image = (w: number): number[] => [0, 1, 2].map(p => (w + p) % 4)
  const model = new IGPT({ vocabSize: vocabulary.size, contextLength: vocabulary.sequenceLength, dModel: 32, nHeads: 2, nLayers: 2, dropout: 0, random: new Random(0) }) // biome-ignore format: one line

  it('learns both directions, and to draw what a text says', () => {
    const rows = [0, 1, 2, 3].flatMap(w =>
      [true, false].map(
        first => vocabulary.sequence(vocabulary.imageIds(image(w)), vocabulary.textIds([w]), first).ids,
      ),
    )
    // Blank texts now and then, for guidance.
    const blank = Int32Array.of(vocabulary.blank)
    for (const w of [0, 1, 2, 3])
      rows.push(vocabulary.sequence(vocabulary.imageIds(image(w)), blank, true).ids)
    const data = tf.tensor2d(
      rows.map(r => Array.from(r)),
      undefined,
      'int32',
    )
    const optimizer = new Adam(model, { learningRate: 3e-3 })
    for (let i = 0; i < 150; i++) trainStep(optimizer, () => model.forward(data), { clipNorm: 1 })
    const texts = [[2], [0], [3], [1]]
    const before = tf.memory().numTensors
    const drawn = imagesForTexts(model, vocabulary, texts, { temperature: 0 })
    expect(drawn.map(codes => Array.from(codes))).toEqual(texts.map(([w]) => image(w as number)))
    const guided = imagesForTexts(model, vocabulary, texts, { seed: 3, guidance: 3 })
    expect(guided.map(codes => Array.from(codes))).toEqual(texts.map(([w]) => image(w as number)))
    const told = textsForImages(model, vocabulary, [image(3), image(1)], { temperature: 0 })
    expect(told.map(words => Array.from(words))).toEqual([[3], [1]])
    const pairs = unconditional(model, vocabulary, 12, { seed: 5 })
    const fitting = pairs.codes.filter(
      (codes, i) => Array.from(codes).join() === image(pairs.words[i]?.[0] as number).join(),
    )
    expect(fitting.length).toBeGreaterThanOrEqual(10)
    expect(tf.memory().numTensors).toBe(before)
  })

  it('draws the same for the same seed, other things for another, and one by one what it draws together', () => {
    const texts = Array.from({ length: 16 }, (_, i) => [i % 4])
    const draw = (seed: number): string => imagesForTexts(model, vocabulary, texts, { seed, temperature: 3 }).map(c => c.join()).join(' ') // biome-ignore format: one line
    expect(draw(1)).toBe(draw(1))
    expect(draw(1)).not.toBe(draw(2))
    const greedy = (list: number[][]): string[] => imagesForTexts(model, vocabulary, list, { temperature: 0 }).map(c => c.join()) // biome-ignore format: one line
    expect(greedy(texts)).toEqual(texts.flatMap(t => greedy([t])))
    expect(() => imagesForTexts(model, vocabulary, texts, { temperature: -1 })).toThrow(/temperature/)
    expect(imagesForTexts(model, vocabulary, [])).toEqual([])
  })
})
