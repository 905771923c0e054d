import '@tensorflow/tfjs-backend-cpu'
import {
  adamStep,
  batchNormInfer,
  batchNormTrain,
  clipByGlobalNorm,
  followStatistics,
  gelu,
  groupNorm,
  layerNorm,
  lstm,
  softmaxCrossEntropy,
  tf,
  VqConfigError,
  VqShapeError,
  VqValueError,
} from '@vq/core'
import { describe, expect, test } from 'vitest'
import { backends, use } from '../../../test/contract/backends.js'

describe.each(backends)('on %s', backend => {
  test('classes that a logit of −∞ excludes cost nothing, as in PyTorch', async () => {
    await use(backend)
    tf.tidy(() => {
      const logits = tf.tensor2d([[1, Number.NEGATIVE_INFINITY, 2], [0, 0, Number.NEGATIVE_INFINITY]]) // biome-ignore format: rows
      const labels = tf.tensor1d([0, 1], 'int32')
      const loss = softmaxCrossEntropy(logits, labels, { reduction: 'none' }).dataSync()
      expect(loss[0]).toBeCloseTo(Math.log(1 + Math.E), 5)
      expect(loss[1]).toBeCloseTo(Math.log(2), 5)
      const gradient = tf
        .grad(x => softmaxCrossEntropy(x, labels, { reduction: 'sum' }))(logits)
        .dataSync()
      const p = 1 / (1 + Math.E)
      for (const [i, g] of [p - 1, 0, 1 - p, 0.5, -0.5, 0].entries()) expect(gradient[i]).toBeCloseTo(g, 5)
    })
  })

  test('where every label is ignored the mean is NaN and the gradient 0', async () => {
    await use(backend)
    tf.tidy(() => {
      const labels = tf.tensor1d([-1, -1], 'int32')
      const { value, grad } = tf.valueAndGrad(x => softmaxCrossEntropy(x, labels))(tf.ones([2, 3]))
      expect(value.dataSync()[0]).toBeNaN()
      expect(Array.from(grad.dataSync())).toEqual([0, 0, 0, 0, 0, 0])
    })
  })

  test('running statistics follow by shares, and only what has one number per channel', async () => {
    await use(backend)
    const before = tf.memory().numTensors
    tf.tidy(() => {
      const running = { mean: tf.tensor1d([1, 2]), variance: tf.tensor1d([4, 8]) }
      const batch = { mean: tf.tensor1d([5, -2]), variance: tf.tensor1d([2, 0]) }
      const next = followStatistics(running, batch, { share: 0.25, factor: 2 })
      expect(Array.from(next.mean.dataSync())).toEqual([2, 1])
      expect(Array.from(next.variance.dataSync())).toEqual([4, 6])
      const longer = { mean: tf.ones([3]), variance: tf.ones([3]) }
      const refused = [longer, { ...batch, mean: tf.ones([1, 2]) }, { ...batch, mean: tf.ones([2], 'int32') }]
      for (const other of refused)
        expect(() => followStatistics(running, other, { share: 0.1 })).toThrow(VqShapeError)
      for (const how of [{ share: Number.NaN }, { share: 1.5 }, { share: 0.1, factor: -1 }])
        expect(() => followStatistics(running, batch, how)).toThrow(VqConfigError)
    })
    expect(tf.memory().numTensors).toBe(before)
  })

  test('statistics of batches carry no gradient and leave nothing behind', async () => {
    await use(backend)
    const [x, ones] = [tf.tensor2d([[1, 2], [3, 5]]), tf.ones([2]) as tf.Tensor1D] // biome-ignore format: rows
    const before = tf.memory().numTensors
    tf.dispose({ ...batchNormTrain(x, ones, ones) })
    expect(tf.memory().numTensors).toBe(before)
    tf.tidy(() => {
      const loss = (x: tf.Tensor): tf.Tensor => {
        const { output, mean, variance } = batchNormTrain(x, ones, ones)
        return tf.add(tf.sum(output), tf.add(tf.sum(mean), tf.sum(variance)))
      }
      for (const g of tf.grad(loss)(x).dataSync()) expect(g).toBeCloseTo(0, 5)
      const infer = (mean: tf.Tensor, variance: tf.Tensor): tf.Tensor =>
        tf.add(
          tf.sum(batchNormInfer(x, ones, ones, mean as tf.Tensor1D, variance as tf.Tensor1D)),
          tf.mul(tf.add(tf.sum(mean), tf.sum(variance)), 0),
        )
      for (const g of tf.grads(infer)([tf.zeros([2]), tf.fill([2], 2)]))
        expect(Array.from(g.dataSync())).toEqual([0, 0])
    })
    tf.dispose([x, ones])
  })

  test('options that make no sense are named', async () => {
    await use(backend)
    tf.tidy(() => {
      const x = tf.ones([2, 2])
      const one = tf.ones([2]) as tf.Tensor1D
      for (const epsilon of [-1, Number.NaN]) {
        expect(() => layerNorm(x, one, one, { epsilon })).toThrow(VqConfigError)
        expect(() => groupNorm(x, 1, one, one, { epsilon })).toThrow(VqConfigError)
        expect(() => batchNormTrain(x, one, one, { epsilon })).toThrow(VqConfigError)
        expect(() => batchNormInfer(x, one, one, one, one, { epsilon })).toThrow(VqConfigError)
      }
      expect(() => batchNormTrain(tf.cast(x, 'int32'), one, one)).toThrow(VqShapeError)
      expect(() => gelu(x, { approximate: 'erf' as 'none' })).toThrow(VqConfigError)
      for (const norm of [-1, 0, Number.NaN]) expect(() => clipByGlobalNorm([x], norm)).toThrow(VqConfigError)
      const weights = { kernel: tf.ones([2, 4]), recurrentKernel: tf.ones([1, 4]) } as never
      for (const lengths of [[1.5], [Number.NaN], [4], [-1]])
        expect(() => lstm(tf.ones([1, 3, 2]), weights, { lengths })).toThrow(VqValueError)
      const [p, m, v] = [1, 0, 0].map(fill => tf.variable(tf.fill([2], fill)))
      const state = { m: [m], v: [v] }
      expect(() => adamStep([p], [one], state, { learningRate: 1, step: 0 })).toThrow(VqConfigError)
      expect(Array.from(p.dataSync())).toEqual([1, 1])
      tf.dispose([p, m, v])
    })
  })
})
