import { expectInteger, Random } from '@vq/core'
import { expectIndices } from '../dataset.js'
import { type LabeledDataset, labeled } from '../images/byte-images.js'
import { caption, choose, draw } from './draw.js'

export { ciede2000, type Lab, srgbToLab } from './ciede2000.js'
export { type ColoredMnist, type ColoredMnistOptions, coloredMnist } from './colored-mnist.js'
export {
  contrasting,
  hues,
  leastDifference,
  type NamedColor,
  namedColors,
  type Rgb,
  type Shade,
  shades,
} from './colors.js'

export interface ColoredDigitsOptions {
  count: number
  /** Edge of the square images in pixels, 8 to 1024. Default 32. */
  size?: number
  seed?: number
  /** Number of the first item: the same seed with `offset: 1000` goes on where 1,000 items ended. Default 0. */
  offset?: number
}

/** The classes are the digits. */
export interface ColoredDigits extends LabeledDataset {
  readonly ids: readonly string[]
  /** "<shade> <colour> <digit> on <shade> <colour>" */
  readonly captions: readonly string[]
}

/**
 * Handwritten-looking digits 0–9, each in one named colour on a background of another that stands out from it, drawn by
 * the program itself: no files, no download. Item i depends on `seed` and `offset + i` alone. Values are k/255, so that
 * the images survive an 8-bit file unchanged.
 */
export function coloredDigits(options: ColoredDigitsOptions): ColoredDigits {
  const { count, size = 32, seed = 0, offset = 0 } = options
  expectInteger('coloredDigits', 'count', count, 1, 1e9)
  expectInteger('coloredDigits', 'size', size, 8, 1024)
  expectInteger('coloredDigits', 'offset', offset, 0)
  const random = new Random(seed)
  const numbers = Array.from({ length: count }, (_, i) => offset + i)
  const choices = numbers.map(number => choose(random.seed(seed, number)))
  const distance = new Float32Array(size * size)
  const bytes = size * size * 3
  return {
    length: count,
    shape: [size, size, 3],
    ids: numbers.map(number => `digit-${String(number).padStart(6, '0')}`),
    captions: choices.map(caption),
    ...labeled(
      'coloredDigits',
      Int32Array.from(choices, choice => choice.digit),
      Array.from('0123456789'),
    ),
    batch: indices => {
      expectIndices('coloredDigits.batch', { length: count }, indices)
      const out = new Float32Array(indices.length * bytes)
      for (let n = 0; n < indices.length; n++) {
        draw(random.seed(seed, offset + indices[n]!), size, out, n * bytes, distance)
      }
      return out
    },
  }
}
