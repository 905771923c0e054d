import { expectInteger, Random } from '@vq/core'
import { expectIndices } from '../dataset.js'
import { type LabeledDataset, labeled } from '../images/byte-images.js'
import { type Choice, caption, choose, draw, drawGray } from './draw.js'

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
  const { choices, ...digits } = drawnDigits('coloredDigits', 3, draw, options)
  return { ...digits, captions: choices.map(caption) }
}

/** The classes are the digits. */
export interface GrayDigits extends LabeledDataset {
  readonly ids: readonly string[]
}

/** The digits of `coloredDigits` without their colours: white on black, [size, size, 1]. */
export function grayDigits(options: ColoredDigitsOptions): GrayDigits {
  const { choices, ...digits } = drawnDigits('grayDigits', 1, drawGray, options)
  return digits
}

function drawnDigits(
  name: string,
  channels: number,
  drawInto: typeof draw,
  options: ColoredDigitsOptions,
): GrayDigits & { choices: Choice[] } {
  const { count, size = 32, seed = 0, offset = 0 } = options
  expectInteger(name, 'count', count, 1, 1e9)
  expectInteger(name, 'size', size, 8, 1024)
  expectInteger(name, 'offset', offset, 0)
  const random = new Random(seed)
  const numbers = Array.from({ length: count }, (_, i) => offset + i)
  const choices = numbers.map(number => choose(random.seed(seed, number)))
  const distance = new Float32Array(size * size)
  const length = size * size * channels
  return {
    length: count,
    shape: [size, size, channels],
    ids: numbers.map(number => `digit-${String(number).padStart(6, '0')}`),
    choices,
    ...labeled(
      name,
      Int32Array.from(choices, choice => choice.digit),
      Array.from('0123456789'),
    ),
    batch: indices => {
      expectIndices(`${name}.batch`, { length: count }, indices)
      const out = new Float32Array(indices.length * length)
      for (let n = 0; n < indices.length; n++) {
        drawInto(random.seed(seed, offset + indices[n]!), size, out, n * length, distance)
      }
      return out
    },
  }
}
