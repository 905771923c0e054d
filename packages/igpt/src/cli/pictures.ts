import { VqFormatError } from '@vq/core'
import { sampleGrid } from '@vq/models/plot'
import sharp from 'sharp'
import type { ImageModel } from '../images/image-model.js'
import { codesOf } from './figures.js'

/** The codes of an image file, scaled to cover a square of `edge` pixels. */
export async function readPixels(file: string, images: ImageModel, edge: number): Promise<Int32Array> {
  let raw: Buffer
  try {
    raw = await sharp(file)
      .resize(edge, edge, { fit: 'cover' })
      .removeAlpha()
      .toColourspace('srgb')
      .raw()
      .toBuffer()
  } catch (cause) {
    throw new VqFormatError({
      operation: `reading ${file}`,
      expected: 'an image',
      received: (cause as Error).message,
      remedy: 'Pass a JPEG, PNG or WebP file.',
      cause,
    })
  }
  const values = Float32Array.from(raw, byte => byte / 255)
  const [codes] = await codesOf(images, values, [1, edge, edge, 3])
  return codes as Int32Array
}

/** A grid of images with captions below. */
export async function savePicture(
  file: string,
  { values, shape }: { values: Float32Array; shape: number[] },
  captions: readonly string[],
  title: string,
): Promise<void> {
  const said = captions.some(c => c !== '') ? { captions } : {}
  await (await sampleGrid(values, { shape, title, ...said })).save(file)
}
