import { VqFormatError } from '@vq/core'
import { sampleGrid } from '@vq/models/plot'
import sharp from 'sharp'

/** The pixels of an image file, 0 to 1, scaled to cover a square of `edge` pixels. */
export async function readPixels(file: string, edge: number): Promise<Float32Array> {
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
  return Float32Array.from(raw, byte => byte / 255)
}

/** A grid of images, with captions below where there are some. */
export async function savePicture(
  file: string,
  { values, shape }: { values: Float32Array; shape: number[] },
  title: string,
  captions?: readonly string[],
): Promise<void> {
  await (await sampleGrid(values, { shape, title, ...(captions && { captions }) })).save(file)
}
