import { join } from 'node:path'
import { Random, tf, VqConfigError, VqShapeError, VqValueError } from '@vq/core'
import { loadSafetensors, toTensor } from '@vq/core/io'
import { Linear } from '@vq/core/nn'
import {
  BaseEncoder,
  createEncoder,
  DeepLabV3Encoder,
  type EncoderOutput,
  encoderConfig,
  encoderNames,
  ImageDecoder,
  mirrorDecoder,
  PCADecoder,
  PCAEncoder,
  ResNetEncoder,
  registerEncoder,
  VisionTransformerEncoder,
} from '@vq/encoders'
import { describe, expect, test } from 'vitest'
import { relativeError } from './pretrained-fixture.js'

class Mean extends BaseEncoder {
  readonly inputShape = [null, null, 3]
  readonly embeddingDim = 3
  protected encode(x: tf.Tensor): EncoderOutput {
    return { embedding: tf.mean(x, [1, 2]) as tf.Tensor2D }
  }
}

describe('the registry', () => {
  test('makes what configurations name, in either spelling, and remembers them', () => {
    const config = {
      ...{
        type: 'vit' as const,
        inputDim: [16, 16, 3],
        embedding_dim: 8,
        patch_size: 4,
        num_layers: 3,
        num_heads: 2,
      },
    }
    const encoder = createEncoder(config)
    expect(encoder).toBeInstanceOf(VisionTransformerEncoder)
    expect(encoder.embeddingDim).toBe(8)
    expect((encoder as VisionTransformerEncoder).blocks.length).toBe(3)
    expect(encoderConfig(encoder)).toEqual(config)
    expect(encoderConfig(new Mean())).toBeUndefined()
    expect(tf.getBackend()).toBe('vq-cpu')
  })

  test("takes a user's own and refuses taken names, unknown types and what are no encoders", () => {
    registerEncoder('mean_colour', () => new Mean())
    const encoder = createEncoder({ type: 'mean_colour' })
    expect([...encoder.forward(tf.ones([1, 2, 2, 3])).embedding.dataSync()]).toEqual([1, 1, 1])
    expect(encoderNames()).toContain('mean_colour')
    expect(() => registerEncoder('cnn', () => new Mean())).toThrow(VqConfigError)
    expect(() => createEncoder({ type: 'nothing' })).toThrow(/among bert, cnn/)
    registerEncoder('mean_colour', () => 3 as never, { replace: true })
    expect(() => createEncoder({ type: 'mean_colour' })).toThrow(/to give an encoder/)
    expect(() =>
      createEncoder({ type: 'cnn', inputDim: [8, 8, 3], hiddenDims: [4], hidden_dims: [4] } as never),
    ).toThrow(/two spellings/)
  })
})

describe('options and defaults', () => {
  test('the CNN has the widths of [64, 128, 256, 512] 3×3 filters with step 2', () => {
    const encoder = createEncoder({ type: 'cnn', inputDim: [32, 32, 3], embeddingDim: 256 })
    // Filters, their biases and two parameters of normalisation per channel, and the last layer.
    const widths = [3, 64, 128, 256, 512]
    const stages = widths.slice(1).reduce((n, w, i) => n + w * widths[i]! * 9 + 3 * w, 0)
    expect(encoder.parameterCount()).toBe(stages + 512 * 256 + 256)
    expect(encoder.featureMap(tf.zeros([1, 32, 32, 3])).shape).toEqual([1, 2, 2, 512])
    encoder.dispose()
  })

  test('residual networks have as many parameters as torchvision’s', () => {
    // Those of resnet18, 34 and 50 without the 1000 classes' layer.
    const counts = { 18: 11_689_512 - 513_000, 34: 21_797_672 - 513_000, 50: 25_557_032 - 2_049_000 }
    for (const [depth, count] of Object.entries(counts)) {
      const encoder = new ResNetEncoder({ inputDim: [224, 224, 3], depth: Number(depth) as 18 })
      expect(encoder.parameterCount()).toBe(count)
      encoder.dispose()
    }
  })

  test.each([
    [8, 8],
    [16, 4],
    [32, 2],
  ] as const)('an output stride of %i makes a map of %i places from 64 pixels', (outputStride, places) => {
    const encoder = new ResNetEncoder({
      ...{
        inputDim: [64, 64, 3],
        depths: [1, 1, 1, 1],
        widths: [8, 8, 8, 8],
        stemWidth: 8,
        block: 'bottleneck',
      },
      outputStride,
    })
    expect(encoder.featureMap(tf.zeros([1, 64, 64, 3])).shape).toEqual([1, places, places, 8])
    encoder.dispose()
  })

  test('the Vision Transformer has 6 layers, 8 heads, patches of 16 and dropout 0.1', () => {
    const encoder = createEncoder({ type: 'vit', inputDim: [64, 48, 3], embeddingDim: 64 })
    expect(encoder.blocks.length).toBe(6)
    const [block] = encoder.blocks
    expect(block!.attention.numHeads).toBe(8)
    expect(block!.attention.dropout).toBe(0.1)
    // Per layer 12·64² weights, 13·64 biases and normalisations; patches, positions, class token, last normalisation.
    expect(encoder.parameterCount()).toBe(6 * (12 * 64 * 64 + 13 * 64) + 768 * 64 + 64 + 13 * 64 + 64 + 128)
    expect(encoder.featureMap(tf.zeros([2, 64, 48, 3])).shape).toEqual([2, 4, 3, 64])
    encoder.dispose()
  })

  test.each([
    ['cnn', { inputDim: [8, 8] }],
    ['cnn', { inputDim: [8, 8, 3], kernelSize: 2 }],
    ['cnn', { inputDim: [8, 8, 3], hiddenDims: [] }],
    ['resnet', { inputDim: [8, 8, 3], depth: 20 }],
    ['resnet', { inputDim: [8, 8, 3], widths: [4] }],
    ['resnet', { inputDim: [8, 8, 3], outputStride: 4 }],
    ['vit', { inputDim: [8, 8, 3] }],
    ['vit', { inputDim: [16, 16, 3], embeddingDim: 10, numHeads: 4 }],
    ['vit', { inputDim: [16, 16, 3], pooling: 'max' }],
    ['pca', { inputDim: [4], embeddingDim: 5 }],
    ['linear', { inputDim: [] }],
  ])('%s refuses %j', (type, options) => {
    expect(() => createEncoder({ type, ...options } as never)).toThrow(VqConfigError)
  })

  test('images smaller than a patch and a head that is not there are refused', () => {
    const vit = new VisionTransformerEncoder({
      inputDim: [16, 16, 3],
      patchSize: 8,
      embeddingDim: 8,
      numLayers: 1,
    })
    expect(() => vit.forward(tf.zeros([1, 4, 16, 3]))).toThrow(VqShapeError)
    const network = { inputDim: [16, 16, 3], depths: [1], widths: [8], stemWidth: 4 }
    const deeplab = new DeepLabV3Encoder({ ...network, replaceStrideWithDilation: [] })
    expect(() => deeplab.segment(tf.zeros([1, 16, 16, 3]))).toThrow(/numClasses/)
  })
})

describe('principal components', () => {
  const file = join(import.meta.dirname, '../../../test/oracle/pca.safetensors')
  const fitted = async (whiten: boolean, parts: number): Promise<[PCAEncoder, Record<string, tf.Tensor>]> => {
    const { tensors } = await loadSafetensors(file)
    const stored = Object.fromEntries(Object.entries(tensors).map(([name, t]) => [name, toTensor(t)]))
    const encoder = new PCAEncoder({ inputDim: [12], embeddingDim: 5, whiten })
    const batches = tf.split(stored.rows!, parts === 1 ? 1 : [7, 1, 40, 12])
    await encoder.fit(parts === 1 ? stored.rows! : batches)
    return [encoder, stored]
  }

  test.each([1, 4])('equal those of scikit-learn, fitted to %i batches', async parts => {
    const [encoder, stored] = await fitted(false, parts)
    expect(relativeError(encoder.mean, stored.mean!)).toBeLessThan(1e-6)
    expect(relativeError(encoder.components, stored.components!)).toBeLessThan(1e-5)
    expect(relativeError(encoder.explainedVariance, stored.explained_variance!)).toBeLessThan(1e-6)
    expect(relativeError(encoder.explainedVarianceRatio, stored.explained_variance_ratio!)).toBeLessThan(1e-6)
    const { embedding } = encoder.eval().forward(stored.rows!)
    expect(relativeError(embedding, stored.scores!)).toBeLessThan(1e-5)
    expect(relativeError(new PCADecoder(encoder).forward(embedding), stored.back!)).toBeLessThan(1e-5)
  })

  test('whitened too, there and back', async () => {
    const [encoder, stored] = await fitted(true, 1)
    const { embedding } = encoder.forward(stored.rows!)
    expect(relativeError(embedding, stored.whitened!)).toBeLessThan(1e-5)
    expect(relativeError(encoder.decode(embedding), stored.back!)).toBeLessThan(1e-5)
  })

  test('are kept by state dictionaries, and wanted before use', async () => {
    const [encoder, stored] = await fitted(false, 1)
    const copy = new PCAEncoder({ inputDim: [12], embeddingDim: 5 })
    expect(() => copy.forward(stored.rows!)).toThrow(VqValueError)
    copy.loadStateDict(encoder.stateDict())
    expect(copy.samplesSeen).toBe(60)
    expect(copy.forward(stored.rows!).embedding.dataSync()).toEqual(
      encoder.forward(stored.rows!).embedding.dataSync(),
    )
    await expect(copy.fit(new Float32Array(24))).rejects.toThrow(/at least 5/)
    await expect(copy.fit(new Float32Array(25))).rejects.toThrow(VqShapeError)
  })
})

describe('decoders that mirror encoders', () => {
  const random = new Random(1)
  test.each([
    ['cnn', { hiddenDims: [8, 16] }, [12, 20, 3]],
    ['cnn', { hiddenDims: [8, 16] }, [5, 7, 3]],
    ['resnet', { depths: [1], widths: [8], stemWidth: 4 }, [32, 32, 1]],
    ['vit', { patchSize: 8, numLayers: 1, numHeads: 2 }, [16, 24, 3]],
    ['vit', { patchSize: 7, numLayers: 1, numHeads: 2 }, [14, 21, 3]],
  ])('%s %j gives images %j', (type, options, outputDim) => {
    const encoder = createEncoder({ type, inputDim: outputDim, embeddingDim: 6, random, ...options } as never)
    const decoder = mirrorDecoder(encoder, { outputDim, random })
    const images = tf.zeros([2, ...outputDim])
    expect(decoder.forward(encoder.forward(images).embedding).shape).toEqual([2, ...outputDim])
  })

  test('an encoder and its mirror learn together to reproduce images', () => {
    const images = tf.randomUniform([4, 8, 8, 1], 0, 1, 'float32', 1)
    const encoder = createEncoder({
      type: 'cnn',
      inputDim: [8, 8, 1],
      embeddingDim: 8,
      hiddenDims: [8, 8],
      random,
    })
    const decoder = mirrorDecoder(encoder, { outputDim: [8, 8, 1], random })
    const loss = (): tf.Scalar =>
      tf.losses.meanSquaredError(images, decoder.forward(encoder.forward(images).embedding)) as tf.Scalar
    const before = loss().dataSync()[0]!
    const optimizer = tf.train.adam(0.01)
    for (let i = 0; i < 60; i++) optimizer.minimize(loss)
    expect(loss().dataSync()[0]).toBeLessThan(before / 4)
  })

  test('sizes that the factors do not divide and other encoders are refused', () => {
    expect(() => new ImageDecoder({ outputDim: [20, 16, 3] })).toThrow(/multiples of 16/)
    expect(() => mirrorDecoder(new Mean(), { outputDim: [8, 8, 3] })).toThrow(/received Mean/)
    expect(() => new Linear({ inFeatures: 0, outFeatures: 1 })).toThrow(VqConfigError)
  })
})
