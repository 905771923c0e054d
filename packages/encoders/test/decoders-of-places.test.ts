import { Random, tf } from '@vq/core'
import {
  CNN3DEncoder,
  ImageCNNEncoder,
  ImageDecoder,
  mirrorDecoder,
  ResNetEncoder,
  VideoDecoder,
  VideoTransformerEncoder,
  VisionTransformerEncoder,
} from '@vq/encoders'
import { describe, expect, it } from 'vitest'

const random = new Random(0)

describe('decoders of a vector per place', () => {
  it('puts each place of an image where it was', () => {
    expect(tf.getBackend()).toBe('vq-cpu')
    const options = {
      embeddingDim: 5,
      outputDim: [8, 12, 3],
      grid: [2, 3],
      hiddenDims: [4],
      factors: [4],
      random,
    } as const
    const decoder = new ImageDecoder(options).eval()
    const z = tf.tensor(random.fillNormal(new Float32Array(6 * 5)), [1, 6, 5])
    const y = decoder.forward(z)
    expect(y.shape).toEqual([1, 8, 12, 3])
    // Place (1, 2) moved: only its 4 × 4 pixels change, and by the filters' overlap three around them.
    const moved = tf.add(z, tf.reshape(tf.oneHot(tf.tensor1d([5 * 5], 'int32'), 30), [1, 6, 5]))
    const change = tf.abs(tf.sub(decoder.forward(moved), y)).arraySync() as number[][][][]
    for (const [row, line] of (change[0] as number[][][]).entries())
      for (const [column, pixel] of line.entries()) {
        const near = row >= 1 && column >= 5
        if (!near) expect(pixel).toEqual([0, 0, 0])
      }
    expect(Math.max(...(change[0]?.[6]?.[10] ?? []))).toBeGreaterThan(0)
  })

  it('keeps the steps of a video apart', () => {
    const decoder = new VideoDecoder({
      embeddingDim: 5,
      outputDim: [8, 8, 8, 3],
      steps: 8,
      hiddenDims: [4, 4],
      random,
    }).eval()
    const z = tf.tensor(random.fillNormal(new Float32Array(8 * 5)), [1, 8, 5])
    const y = decoder.forward(z)
    expect(y.shape).toEqual([1, 8, 8, 8, 3])
    const moved = tf.add(z, tf.reshape(tf.oneHot(tf.tensor1d([0], 'int32'), 40), [1, 8, 5]))
    const change = tf.max(tf.abs(tf.sub(decoder.forward(moved), y)), [2, 3, 4]).arraySync() as number[][]
    // Three filters of three frames each reach three frames far.
    expect(change[0]?.[0]).toBeGreaterThan(0)
    expect(change[0]?.slice(4)).toEqual([0, 0, 0, 0])
  })

  it('mirrors encoders place by place', () => {
    const image = [16, 16, 3]
    for (const [encoder, positions, latentDim] of [
      [new ImageCNNEncoder({ inputDim: image, hiddenDims: [4, 8], random }), [4, 4], 8],
      [new ResNetEncoder({ inputDim: image, depths: [1], widths: [8], random }), [4, 4], 8],
      [
        new VisionTransformerEncoder({
          inputDim: image,
          patchSize: 4,
          hiddenDim: 8,
          numLayers: 1,
          numHeads: 2,
          random,
        }),
        [4, 4],
        8,
      ],
    ] as const) {
      const decoder = mirrorDecoder(encoder, { outputDim: image, positions, latentDim, random })
      expect(decoder.forward(tf.zeros([2, 16, latentDim])).shape).toEqual([2, ...image])
    }
    const video = [4, 8, 8, 3]
    for (const [encoder, steps] of [
      [new CNN3DEncoder({ inputDim: video, hiddenDims: [4, 8], random }), 1],
      [
        new VideoTransformerEncoder({
          inputDim: video,
          patchSize: 4,
          hiddenDim: 8,
          numLayers: 1,
          temporalLayers: 1,
          numHeads: 2,
          random,
        }),
        4,
      ],
    ] as const) {
      const whole = mirrorDecoder(encoder, { outputDim: video, random })
      expect(whole.forward(tf.zeros([2, encoder.embeddingDim])).shape).toEqual([2, ...video])
      const stepwise = mirrorDecoder(encoder, { outputDim: video, positions: [steps], latentDim: 8, random })
      expect(stepwise.forward(tf.zeros([2, steps, 8])).shape).toEqual([2, ...video])
    }
  })

  it('says which places and steps go', () => {
    expect(() => new ImageDecoder({ outputDim: [8, 8, 3], grid: [2, 2], hiddenDims: [4] })).toThrow(
      /a grid of 4 × 4 places/,
    )
    expect(() => new VideoDecoder({ outputDim: [6, 8, 8, 3], steps: 1, hiddenDims: [4] })).toThrow(
      /6 frames to be a power of 2/,
    )
    expect(() => new ImageDecoder(undefined as never)).toThrow(/ImageDecoder/)
  })
})
