import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Random, tf, VqFormatError, VqShapeError } from '@vq/core'
import { loadArtifact, VQVAE, type VQVAEOptions } from '@vq/models'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { onBackends } from '../../../test/contract/backends.js'

let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'vq-vqvae-'))
})
afterAll(() => rmSync(folder, { recursive: true }))

const small: VQVAEOptions = { hiddenDims: [6, 8], embeddingDim: 4, numEmbeddings: 16, residualHiddenDim: 3 }
const images = (shape: [number, number, number, number]): tf.Tensor4D =>
  tf.tensor4d(new Random(1).fillUniform(new Float32Array(shape.reduce((a, b) => a * b))), shape)

describe('the models’ sizes', () => {
  it('are those of the systems they come from', () => {
    expect(tf.getBackend()).toBe('vq-cpu')
    const sizes = [new VQVAE(), new VQVAE({ codebookUpdate: 'gradient' }), VQVAE.igpt()].map(m => {
      const n = m.parameterCount()
      m.dispose()
      return n
    })
    expect(sizes).toEqual([1_456_067, 1_456_067, 4_784_387])
  })
})

onBackends(backend => {
  describe.each<[string, VQVAEOptions, number]>([
    ['residual', small, 4],
    ['residual, three halvings', { ...small, hiddenDims: [4, 6, 8], estimator: 'rotation' }, 8],
    ['igpt', { ...small, architecture: 'igpt', hiddenDims: [6] }, 4],
    [
      'igpt, grey, EMA',
      { ...small, architecture: 'igpt', hiddenDims: [6], inChannels: 1, codebookUpdate: 'ema' },
      4,
    ],
  ])('VQVAE %s', (_, options, stride) => {
    const channels = options.inChannels ?? 3

    it('takes any image size that its stride divides, and names the divisor for others', () => {
      const model = new VQVAE(options).eval()
      tf.tidy(() => {
        for (const [h, w] of [
          [stride, stride],
          [2 * stride, 3 * stride],
        ]) {
          const out = model.forward(images([2, h, w, channels]))
          expect(out.reconstructed.shape).toEqual([2, h, w, channels])
          expect(out.indices.shape).toEqual([2, h / stride, w / stride])
          expect(out.indices.dtype).toBe('int32')
        }
        for (const shape of [
          [1, stride + 1, stride, channels],
          [1, stride, stride, channels + 1],
          [stride, stride, channels],
        ])
          expect(() => model.encode(tf.zeros(shape))).toThrow(VqShapeError)
        expect(() => model.encode(tf.zeros([1, stride, stride + 1, channels]))).toThrow(
          new RegExp(`divisible by ${stride}`),
        )
      })
      model.dispose()
    })

    it('adds up its losses, and decodes its codes to its reconstruction', () => {
      const model = new VQVAE(options).eval()
      tf.tidy(() => {
        const x = images([3, 2 * stride, 2 * stride, channels])
        const { reconstructed, loss, reconstructionLoss, vqLoss, indices } = model.forward(x)
        const [a, b] = [x.dataSync<'float32'>(), reconstructed.dataSync<'float32'>()]
        const mse = a.reduce((s, v, i) => s + (v - b[i]) ** 2, 0) / a.length
        expect(reconstructionLoss.dataSync()[0]).toBeCloseTo(mse, 5)
        expect(loss.dataSync()[0]).toBeCloseTo(mse + vqLoss.dataSync()[0], 5)
        expect(Array.from(model.encodeToIndices(x).dataSync())).toEqual(Array.from(indices.dataSync()))
        expect(Array.from(model.decodeFromIndices(indices).dataSync())).toEqual(Array.from(b))
        // Latents pass zero: no ReLU on them.
        expect(
          model
            .encode(x)
            .dataSync()
            .some(v => v < 0),
        ).toBe(true)
      })
      model.dispose()
    })

    it('comes back from its artifact with the same codes and images, bit for bit', async () => {
      const path = join(folder, `${backend}-${options.architecture ?? 'residual'}-${channels}-${stride}`)
      const model = new VQVAE(options)
      const x = images([2, stride, stride, channels])
      tf.tidy(() => {
        model.forward(x) // moves running statistics and codebook
      })
      await model.save(path)
      expect(readdirSync(path)).toEqual(['config.json', 'model.safetensors'])
      const back = await VQVAE.load(path)
      expect(back.config).toEqual(model.config)
      expect(back.stateDict()).toEqual(model.stateDict())
      tf.tidy(() => {
        const [a, b] = [model.eval(), back].map(m => m.forward(x).reconstructed.dataSync())
        expect(Array.from(b)).toEqual(Array.from(a))
      })
      model.dispose()
      back.dispose()
      x.dispose()
    })
  })

  it('draws the same weights from the same seed', () => {
    const [a, b] = [1, 1].map(seed => new VQVAE({ ...small, random: new Random(seed) }))
    expect(a.stateDict()).toEqual(b.stateDict())
    a.dispose()
    b.dispose()
  })
})

describe('an artifact', () => {
  it('keeps other files of its folder, and is whole when only the weights were renamed', async () => {
    const path = join(folder, 'kept')
    mkdirSync(path)
    writeFileSync(join(path, 'notes.txt'), 'mine')
    const model = new VQVAE(small)
    await model.save(path)
    expect(readFileSync(join(path, 'notes.txt'), 'utf8')).toBe('mine')
    const old = readFileSync(join(path, 'config.json'), 'utf8').replace(
      '"numEmbeddings": 16',
      '"numEmbeddings": 99',
    )
    writeFileSync(join(path, 'config.json'), old)
    const back = await VQVAE.load(path)
    expect(back.quantizer.codebookSize).toBe(16)
    model.dispose()
    back.dispose()
  })

  it('of another class, or damaged, is refused with a typed error', async () => {
    const path = join(folder, 'other')
    const model = new VQVAE(small)
    await model.save(path)
    model.dispose()
    await expect(loadArtifact(path, 'RQVAE')).rejects.toThrow(/expected a RQVAE/)
    const whole = readFileSync(join(path, 'model.safetensors'))
    writeFileSync(join(path, 'model.safetensors'), whole.subarray(0, whole.length - 3))
    await expect(VQVAE.load(path)).rejects.toThrow(VqFormatError)
  })
})
