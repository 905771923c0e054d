import { expectConfig, expectInteger, expectNumber, expectOneOf, tf } from '@vq/core'
import type { HubOptions } from '../pretrained/environment.js'
import { openModel, readJson } from '../pretrained/model-files.js'
import { type ImageProcessorOptions, processorOptions } from './configuration.js'
import { decodeRgb, type ImageSource } from './decode.js'
import { centreCrop, filters, type RawImage, resizeImage } from './resize.js'

/**
 * Turns images into what a pretrained model expects: resized as Pillow does it, cropped, scaled and normalised.
 *
 * @example
 * const processor = await ImageProcessor.fromPretrained('google/vit-base-patch16-224')
 * const images = await processor.process(['cat.jpg', 'dog.png'])   // [2, 224, 224, 3]
 * const { embedding } = encoder.forward(images)
 */
export class ImageProcessor {
  readonly options: Readonly<ImageProcessorOptions>

  constructor(options: ImageProcessorOptions) {
    const name = 'ImageProcessor'
    expectConfig(
      typeof options === 'object' && options !== null,
      name,
      'options',
      options,
      'Pass { resize, … }.',
    )
    const { resize, crop, filter = 'bilinear', rescale = 1 / 255, mean, std } = options
    for (const [what, sizes] of Object.entries({ resize, crop }))
      for (const n of Object.values(sizes ?? {})) expectInteger(name, what, n, 1, 2 ** 16)
    expectOneOf(name, 'filter', filter, filters)
    expectNumber(name, 'rescale', rescale, -1e6, 1e6)
    for (const list of [mean, std])
      expectConfig(
        list === undefined || (Array.isArray(list) && list.length === 3 && list.every(Number.isFinite)),
        name,
        'mean and std to be three numbers',
        list,
        'Pass one per channel.',
      )
    this.options = { ...options, filter, rescale }
  }

  /**
   * The steps of a model's own `preprocessor_config.json`. Throws VqConfigError for steps that are not supported, VqFormatError
   * where there is no such file.
   */
  static async fromPretrained(idOrFolder: string, options: HubOptions = {}): Promise<ImageProcessor> {
    const files = await openModel(idOrFolder, options)
    const joint = 'processor_config.json'
    const own = (await files.find('preprocessor_config.json')) !== undefined
    const together = own || (await files.find(joint)) === undefined ? undefined : await readJson(files, joint)
    const nested = together?.image_processor
    const values = nested ?? (await readJson(files, 'preprocessor_config.json'))
    return new ImageProcessor(
      processorOptions(values as Record<string, unknown>, `preprocessor_config.json of '${idOrFolder}'`),
    )
  }

  /** Paths, files or pixels as float32 [B, H, W, 3]. Throws VqFormatError for what is no image, VqConfigError where sizes differ. */
  async process(images: ImageSource | readonly ImageSource[]): Promise<tf.Tensor4D> {
    const list = Array.isArray(images) ? (images as readonly ImageSource[]) : [images as ImageSource]
    const made: RawImage[] = []
    for (const image of list) made.push(this.resized(await decodeRgb(image)))
    const [first] = made
    expectConfig(
      first !== undefined && made.every(m => m.width === first.width && m.height === first.height),
      'ImageProcessor.process',
      'images that come out at one size',
      made.map(m => `${m.height} × ${m.width}`).join(', '),
      'Pass at least one; set `crop`, or process them one at a time.',
    )
    const { width, height, channels } = first
    const values = new Float32Array(made.length * width * height * channels)
    for (const [i, { data }] of made.entries()) this.normalise(data, values.subarray(i * data.length))
    return tf.tensor4d(values, [made.length, height, width, channels])
  }

  private resized(image: RawImage): RawImage {
    const { resize, crop, filter = 'bilinear' } = this.options
    let result = image
    if (resize !== undefined) {
      const [width, height] =
        'height' in resize ? [resize.width, resize.height] : edges(image, resize.shortestEdge)
      result = resizeImage(result, width, height, filter)
    }
    return crop === undefined ? result : centreCrop(result, crop.width, crop.height)
  }

  // A table per channel: bytes have 256 values.
  private normalise(bytes: Uint8Array, values: Float32Array): void {
    const { rescale = 1 / 255, mean = [0, 0, 0], std = [1, 1, 1] } = this.options
    const tables = mean.map((m, c) =>
      Float32Array.from({ length: 256 }, (_, v) => {
        const centred = Math.fround(Math.fround(v * rescale) - Math.fround(m))
        return centred / Math.fround(std[c]!)
      }),
    )
    for (let i = 0; i < bytes.length; i++) values[i] = tables[i % 3]![bytes[i]!]!
  }
}

/** Width and height with the shorter at `edge`, the longer rounded down. */
function edges({ width, height }: RawImage, edge: number): [number, number] {
  if (width <= height) return [edge, Math.trunc((edge * height) / width)]
  return [Math.trunc((edge * width) / height), edge]
}
