import { tf } from '@vq/core'
import { imagesForTexts, textsForImages, trainImageModel, trainPairModel } from '@vq/igpt'
import { coloredDigits } from '@vq/models/data'
import { describe, expect, it } from 'vitest'

const quiet = { progress: false } as const

describe('two stages', () => {
  it('give models, vocabulary and losses of training and of what was held out', {
    timeout: 60_000,
  }, async () => {
    expect(tf.getBackend()).toBe('vq-cpu')
    const [train, test] = [
      coloredDigits({ count: 48, size: 16 }),
      coloredDigits({ count: 16, size: 16, offset: 48 }),
    ]
    const first = await trainImageModel(train, test, { ...quiet, epochs: 6, batchSize: 16, model: { hiddenDims: [16], embeddingDim: 16, numEmbeddings: 32 } }) // biome-ignore format: one line
    expect(first.trainLosses).toHaveLength(6)
    expect(first.testLosses).toHaveLength(6)
    const error = first.history.epochs.map(e => e.train.reconstructionLoss as number)
    expect(error[5]).toBeLessThan(0.8 * (error[0] as number))
    const second = await trainPairModel(first.model, train, test, { ...quiet, epochs: 3, batchSize: 16, model: { dModel: 32, nHeads: 2, nLayers: 1, dropout: 0 } }) // biome-ignore format: one line
    const { vocabulary, tokenizer, model, tokens, history } = second
    // 16 × 16 pixels are 4 × 4 places; captions have six words.
    expect(tokens.train.grid).toEqual([4, 4])
    expect(vocabulary.sequenceLength).toBe(3 + 16 + 6)
    expect(second.testLosses.at(-1)).toBeLessThan(second.testLosses[0] as number)
    const last = history.metrics.at(-1)
    expect(last).toMatchObject({
      split: 'validation',
      imageLoss: expect.any(Number),
      textLoss: expect.any(Number),
    })
    // The tokens are those that the model gives for the images, −1 to 1.
    const values = await test.batch(Int32Array.of(3))
    const codes = first.model.getTokens(tf.sub(tf.mul(tf.tensor(values, [1, 16, 16, 3]), 2), 1)).dataSync()
    expect(Array.from(tokens.test.codes.subarray(48, 64))).toEqual(Array.from(codes))
    const caption = test.captions[3] as string
    const [drawn] = imagesForTexts(model, vocabulary, [tokenizer.encode(caption)], { seed: 1, guidance: 2 })
    expect(drawn).toHaveLength(16)
    expect(
      first.model.decodeTokens(tf.tensor2d([Array.from(drawn ?? [])], undefined, 'int32')).shape,
    ).toEqual([1, 16, 16, 3])
    const [told] = textsForImages(model, vocabulary, [codes], { temperature: 0 })
    expect(tokenizer.decode(told ?? []).split(' ').length).toBeLessThanOrEqual(6)
  })
})
