// What JavaScript lets pass where TypeScript would not: each call answers with an error of ours that names what came.
import { tf, VqConfigError, VqShapeError } from '@vq/core'
import { RQVAE, VQVAE, VQVAE2 } from '@vq/models'
import { coloredDigits, DataLoader } from '@vq/models/data'
import { Trainer } from '@vq/models/train'
import { afterAll, expect, test } from 'vitest'

const small = { numEmbeddings: 8, embeddingDim: 4, hiddenDims: [4, 4] }
const models = { VQVAE: new VQVAE(small), RQVAE: new RQVAE(small), VQVAE2: new VQVAE2(small) }
afterAll(() => {
  for (const model of Object.values(models)) model.dispose()
})
const given = (value: unknown): never => value as never

test.each(Object.entries(models))(
  '%s refuses what is no tensor, and batches without images',
  (name, model) => {
    expect(tf.getBackend()).toBe('vq-cpu')
    for (const value of [undefined, [[1, 2]], 'codes'])
      for (const method of ['forward', 'encode', 'decode', 'decodeFromIndices', 'encodeToIndices'] as const)
        expect(() => model[method](given(value)), `${method} of ${value}`).toThrow(
          new RegExp(`${name}\\.|VectorQuantizer\\.decode: expected a tensor`),
        )
    const before = tf.memory().numTensors
    const none = tf.zeros<tf.Rank.R4>([0, 8, 8, 3])
    expect(() => model.forward(none)).toThrow(VqShapeError)
    expect(() => model.forward(none)).toThrow(/at least one image/)
    none.dispose()
    expect(tf.memory().numTensors).toBe(before)
  },
)

test('decodeTokens refuses arrays', () => {
  expect(() => models.VQVAE.decodeTokens(given([[1, 2, 3, 4]]))).toThrow(/received an array of length 1/)
})

test('a Trainer refuses what is no model and no loader, and no options at all', async () => {
  expect(() => new Trainer(given(undefined))).toThrow(VqConfigError)
  expect(() => new Trainer(given({ steps: 1, learninRate: 1 }))).toThrow(/Did you mean 'learningRate'/)
  const trainer = new Trainer({ steps: 1, progress: false })
  const digits = coloredDigits({ count: 8, size: 8 })
  const loader = new DataLoader(digits, { batchSize: 4 })
  for (const [model, data, validation, message] of [
    [{}, loader, undefined, /expected a model/],
    [models.VQVAE, undefined, undefined, /expected data to be a DataLoader/],
    [models.VQVAE, digits, undefined, /expected data to be a DataLoader/],
    [models.VQVAE, loader, digits, /expected validation to be a DataLoader/],
  ])
    await expect(trainer.fit(given(model), given(data), { validation: given(validation) })).rejects.toThrow(
      message as RegExp,
    )
})
