import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Random, tf, VqConfigError, VqShapeError } from '@vq/core'
import { Adam, trainStep } from '@vq/core/optim'
import { StyleVQVAE } from '@vq/models'
import { coloredDigits } from '@vq/models/data'
import { afterAll, describe, expect, test } from 'vitest'

const folder = mkdtempSync(join(tmpdir(), 'vq-style-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const options = {
  hiddenDims: [8, 16],
  embeddingDim: 6,
  numEmbeddings: 16,
  residualHiddenDim: 8,
  styleLevels: 3,
  styleEmbeddings: 12,
  styleDim: 5,
  maps: 4,
} as const
const make = (more = {}): StyleVQVAE => new StyleVQVAE({ ...options, random: new Random(3), ...more })

async function digits(count: number): Promise<tf.Tensor4D> {
  const data = coloredDigits({ count, size: 16 })
  return tf.tensor4d(await data.batch(Int32Array.from({ length: count }, (_, i) => i)), [count, 16, 16, 3])
}

describe('StyleVQVAE', () => {
  test('codes of an image: those of the whole, then those of its places; tokens are both in a row', async () => {
    expect(tf.getBackend()).toBe('vq-cpu')
    const [model, x] = [make().eval(), await digits(2)]
    const { style, content } = model.encodeToIndices(x)
    expect([style.shape, content.shape, style.dtype, content.dtype]).toEqual([
      [2, 6],
      [2, 4, 4],
      'int32',
      'int32',
    ])
    const tokens = model.getTokens(x)
    const expected = [0, 1].map(i => [
      ...Array.from(style.dataSync().slice(6 * i, 6 * i + 6)),
      ...Array.from(content.dataSync().slice(16 * i, 16 * i + 16)),
    ])
    expect(await tokens.array()).toEqual(expected)
    // Decoding tokens is decoding codes is what the forward reconstructs.
    const same = (a: tf.Tensor, b: tf.Tensor): number => tf.max(tf.abs(tf.sub(a, b))).dataSync()[0] as number
    const { reconstructed } = model.forward(x)
    expect(same(model.decodeTokens(tokens), model.decodeFromIndices({ style, content }))).toBe(0)
    expect(same(model.decodeTokens(tokens, [4, 4]), reconstructed)).toBeLessThan(1e-5)
    expect(reconstructed.shape).toEqual([2, 16, 16, 3])
    expect(() => model.decodeTokens(tf.zeros([2, 21], 'int32'))).toThrow(VqShapeError)
    expect(() => model.encode(tf.zeros([1, 15, 16, 3]))).toThrow(VqShapeError)
    expect(() => make({ styleLevels: 0 })).toThrow(VqConfigError)
  })

  test('places know nothing of brightness and contrast, the style nothing of where things stand', async () => {
    const [model, x] = [make().eval(), await digits(3)]
    const z = model.encode(x)
    // Each channel scaled and shifted: instance normalisation takes that away, up to its epsilon.
    const toned = tf.add(tf.mul(x, tf.tensor1d([0.9, 2.5, 0.7])), tf.tensor1d([0.1, -0.4, 0.2]))
    const far = (a: tf.Tensor, b: tf.Tensor): number =>
      (tf.norm(tf.sub(a, b)).dataSync()[0] as number) / (tf.norm(a).dataSync()[0] as number)
    const other = model.encode(toned)
    expect(far(z.content, other.content)).toBeLessThan(5e-3)
    expect(far(z.style, other.style)).toBeGreaterThan(0.05)
    const mirrored = model.encode(tf.reverse(x, [1, 2]))
    expect(far(z.style, mirrored.style)).toBeLessThan(1e-5)
    expect(far(z.content, mirrored.content)).toBeGreaterThan(0.05)
  })

  test('what is drawn is linear in what the maps are coloured with', () => {
    // x̂ = m·W + b: the pixels of one image span at most `maps` dimensions around b, whatever the content (Tenenbaum and Freeman).
    const model = make({ maps: 1 }).eval()
    const random = new Random(5)
    const content = tf.tensor4d(random.fillNormal(new Float32Array(1 * 4 * 4 * 6)), [1, 4, 4, 6])
    const style = tf.tensor2d(random.fillNormal(new Float32Array(10)), [1, 10])
    const pixels = tf.reshape(model.decode({ style, content }), [-1, 3])
    const centred = tf.sub(pixels, tf.mean(pixels, 0)).arraySync() as number[][]
    const [a] = centred.toSorted((p, q) => Math.hypot(...q) - Math.hypot(...p)) as [number[]]
    for (const b of centred) {
      const cross = [
        a[1]! * b[2]! - a[2]! * b[1]!,
        a[2]! * b[0]! - a[0]! * b[2]!,
        a[0]! * b[1]! - a[1]! * b[0]!,
      ]
      expect(Math.hypot(...cross)).toBeLessThan(1e-5)
    }
  })

  test('learns from a k-means start, and is the same from its files', { timeout: 30_000 }, async () => {
    const model = make({
      initCodebook: 'kmeans',
      deadCodeThreshold: 0.5,
      styleDeadCodeThreshold: 0.05,
      decay: 0.95,
    })
    const x = await digits(48)
    expect(model.ready).toBe(false)
    await model.prepare(x)
    expect(model.ready).toBe(true)
    const optimizer = new Adam(model, { learningRate: 3e-3 })
    const losses = Array.from({ length: 60 }, () => {
      const { scalars } = trainStep(optimizer, () => model.forward(x), { clipNorm: 1 })
      return scalars.reconstructionLoss as number
    })
    expect(losses.at(-1)).toBeLessThan(0.5 * (losses[0] as number))
    model.eval()
    await model.save(folder)
    const again = await StyleVQVAE.load(folder)
    expect(again.config).toEqual(model.config)
    expect(again.config).toMatchObject({
      deadCodeThreshold: 0.5,
      styleDeadCodeThreshold: 0.05,
      styleLevels: 3,
    })
    expect(await again.getTokens(x).array()).toEqual(await model.getTokens(x).array())
    expect(again.parameterCount()).toBe(model.parameterCount())
  })
})
