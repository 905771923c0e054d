import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { tf, VqConfigError, VqFormatError } from '@vq/core'
import { loadSafetensors, type StateDict } from '@vq/core/io'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Filter, ImageProcessor, type RawImage, resizeImage } from '../src/index.js'

const oracle = join(import.meta.dirname, '../../../test/oracle')
const photos = join(import.meta.dirname, '../../../../shared/data/photos')
const folder = mkdtempSync(join(tmpdir(), 'vq-preprocess-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

let stored: StateDict
let noise: RawImage
beforeAll(async () => {
  stored = (await loadSafetensors(join(oracle, 'preprocess.safetensors'))).tensors
  const [height, width, channels] = stored.noise!.shape as [number, number, number]
  noise = { data: stored.noise!.data as Uint8Array, width, height, channels }
})

function processorIn(config: Record<string, unknown>): Promise<ImageProcessor> {
  writeFileSync(join(folder, 'preprocessor_config.json'), JSON.stringify(config))
  return ImageProcessor.fromPretrained(folder)
}

/** Configurations as preprocess.py has them, for images of `size` pixels. */
const configs = (size: number): Record<string, Record<string, unknown>> => {
  const square = { height: size, width: size }
  const plain = { do_rescale: false, do_normalize: false }
  return {
    vit: { image_processor_type: 'ViTImageProcessor', size: square, ...plain },
    clip: { feature_extractor_type: 'CLIPFeatureExtractor', size, crop_size: size, ...plain },
    dinov2: {
      image_processor_type: 'BitImageProcessor',
      size: { shortest_edge: size + Math.floor(size / 7) },
      crop_size: square,
      resample: 1,
      ...plain,
    },
    convnext: {
      image_processor_type: 'ConvNextImageProcessorFast',
      size: { shortest_edge: size },
      crop_pct: 0.875,
      ...plain,
    },
  }
}

/** The largest difference between bytes, over all photos and processors. */
async function comparePhotos(expected: StateDict, size: number): Promise<{ most: number; compared: number }> {
  let [most, compared] = [0, 0]
  for (const [name, config] of Object.entries(configs(size))) {
    const processor = await processorIn(config)
    for (const [key, { data, shape }] of Object.entries(expected)) {
      if (!key.startsWith(`${name}.`) || !/(png|jpg)$/.test(key)) continue
      const y = await processor.process(join(photos, key.slice(name.length + 1)))
      expect(y.shape).toEqual([1, ...shape])
      const values = y.dataSync()
      for (let i = 0; i < values.length; i++) most = Math.max(most, Math.abs(values[i]! - Number(data[i])))
      y.dispose()
      compared++
    }
  }
  return { most, compared }
}

describe('resizing', () => {
  test.each(['nearest', 'lanczos', 'bilinear', 'bicubic', 'box', 'hamming'] as Filter[])(
    'gives the bytes that Pillow gives with %s',
    filter => {
      for (const [height, width] of [
        [8, 9],
        [17, 5],
        [40, 31],
        [3, 50],
      ] as const)
        expect(resizeImage(noise, width, height, filter).data).toEqual(
          stored[`${filter}.${height}x${width}`]!.data,
        )
    },
  )
})

describe('the image processor', () => {
  test('cuts out the middle as transformers does, with zeros around smaller images', async () => {
    for (const [height, width] of [
      [8, 9],
      [20, 10],
      [30, 40],
      [5, 24],
    ] as const) {
      const processor = new ImageProcessor({ crop: { height, width }, rescale: 1 })
      const y = await processor.process(noise)
      expect(Uint8Array.from(y.dataSync())).toEqual(stored[`crop.${height}x${width}`]!.data)
    }
    expect(tf.getBackend()).toBe('vq-cpu')
  })

  test('normalises as transformers does', async () => {
    const config = { image_processor_type: 'CLIPImageProcessor', size: { shortest_edge: 9 }, crop_size: 8 }
    const y = (await (await processorIn(config)).process(noise)).dataSync()
    const expected = stored.normalised!.data as Float32Array
    for (let i = 0; i < y.length; i++) expect(Math.abs(y[i]! - expected[i]!)).toBeLessThan(1e-6)
  })

  test.skipIf(!existsSync(photos))(
    'makes of photos what transformers makes of them, to one of 255 steps (skipped without the photos)',
    async () => {
      const { most, compared } = await comparePhotos(stored, 24)
      expect(compared).toBe(44)
      expect(most).toBeLessThanOrEqual(1)
    },
  )

  const python = process.env.VQ_PYTHON
  test.skipIf(!python || !existsSync(photos))(
    'does so at 224 pixels (skipped unless VQ_PYTHON names a Python with transformers)',
    async () => {
      const file = join(folder, 'expected.safetensors')
      execFileSync(python!, [join(oracle, 'preprocess.py'), file, '224'], { stdio: 'pipe' })
      const { most, compared } = await comparePhotos((await loadSafetensors(file)).tensors, 224)
      expect(compared).toBe(44)
      expect(most).toBeLessThanOrEqual(1)
    },
  )

  test('names what it does not support', async () => {
    await expect(processorIn({ image_processor_type: 'SamImageProcessor' })).rejects.toThrow(VqConfigError)
    await expect(processorIn({ image_processor_type: 'ViTImageProcessor', do_pad: true })).rejects.toThrow(
      /do_pad/,
    )
    await expect(new ImageProcessor({}).process(join(folder, 'none.png'))).rejects.toThrow(VqFormatError)
    await expect(new ImageProcessor({}).process(new Uint8Array([1, 2, 3]))).rejects.toThrow(VqFormatError)
    const two = [noise, { ...noise, width: noise.height, height: noise.width }]
    await expect(new ImageProcessor({}).process(two)).rejects.toThrow(/one size/)
  })
})

test('nearest adds its steps up as Pillow does, also where their rounding decides', () => {
  const ramp = { data: Uint8Array.from({ length: 20 }, (_, i) => i), width: 20, height: 1, channels: 1 }
  // What Pillow gives for a row of 20 numbers: the place 6 comes out as 5.99….
  const expected = [0, 2, 3, 4, 5, 7, 8, 10, 11, 12, 14, 15, 16, 18, 19]
  expect(Array.from(resizeImage(ramp, 15, 1, 'nearest').data)).toEqual(expected)
})
