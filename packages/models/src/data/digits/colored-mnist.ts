import { expectConfig, expectInteger, Random } from '@vq/core'
import { expectIndices } from '../dataset.js'
import { type LabeledDataset, labeled } from '../images/byte-images.js'
import { type MnistFiles, type MnistOptions, mnist } from '../images/mnist.js'
import { contrasting, namedColors } from './colors.js'
import { caption } from './draw.js'

export interface ColoredMnistOptions extends Partial<MnistFiles>, Pick<MnistOptions, 'split'> {
  /** A folder with MNIST's files, instead of `images` and `labels`. */
  folder?: string
  /** Default: as many as MNIST's images; more go over these again in other colours. */
  count?: number
  /** Edge of the square images in pixels, at least that of the digits, which lie in the middle. Default 28. */
  size?: number
  seed?: number
  /** Number of the first item: the same seed with `offset: 1000` goes on where 1,000 items ended. Default 0. */
  offset?: number
  /** Two colours alone, cut at half of the full brightness; else colours are mixed along the edges. Default true. */
  binarize?: boolean
}

export interface ColoredMnist extends LabeledDataset {
  readonly ids: readonly string[]
  /** "<shade> <colour> <digit> on <shade> <colour>" */
  readonly captions: readonly string[]
}

/**
 * MNIST's digits, each in one of the 65 named colours on a background of another that stands out from it. Item i is MNIST's
 * image (offset + i) modulo their number, in colours that depend on `seed` and `offset + i` alone. Images [size, size, 3],
 * values k/255; extra `label`. Throws as `mnist` does, and VqConfigError for digits that are no digits or larger than `size`.
 */
export async function coloredMnist(options: ColoredMnistOptions): Promise<ColoredMnist> {
  const { folder, images, labels, split = 'train', seed = 0, offset = 0, binarize = true } = options
  const files = images !== undefined && labels !== undefined
  expectConfig(
    files !== (folder !== undefined),
    'coloredMnist',
    "either `folder` or both `images` and `labels`, MNIST's files",
    folder ?? images,
    'Pass where the files are; coloredDigits draws digits without any.',
  )
  const digits = await mnist(folder ?? { images: images as string, labels: labels as string }, { split })
  const [height, width] = digits.shape
  const { size = Math.max(height, width), count = digits.length } = options
  expectInteger('coloredMnist', 'size', size, Math.max(height, width), 1024)
  expectInteger('coloredMnist', 'count', count, 1, 1e9)
  expectInteger('coloredMnist', 'offset', offset, 0)
  const random = new Random(seed)
  const numbers = Array.from({ length: count }, (_, i) => offset + i)
  const choices = numbers.map(number => {
    random.seed(seed, number)
    const ink = random.integer(namedColors.length)
    const papers = contrasting[ink]
    return {
      digit: digits.labelIds[number % digits.length],
      ink,
      paper: papers[random.integer(papers.length)],
    }
  })
  const [top, left] = [(size - height) >> 1, (size - width) >> 1]
  const pixels = size * size
  return {
    length: count,
    shape: [size, size, 3],
    ids: numbers.map(number => `mnist-${split}-${String(number).padStart(6, '0')}`),
    captions: choices.map(caption),
    ...labeled(
      'coloredMnist',
      Int32Array.from(choices, choice => choice.digit),
      digits.classes,
    ),
    batch: async indices => {
      expectIndices('coloredMnist.batch', { length: count }, indices)
      const grey = await digits.batch(indices.map(i => (offset + i) % digits.length))
      const out = new Float32Array(indices.length * pixels * 3)
      for (let n = 0; n < indices.length; n++) {
        const front = namedColors[choices[indices[n]].ink].rgb
        const back = namedColors[choices[indices[n]].paper].rgb
        for (let p = 0; p < pixels; p++) {
          const [y, x] = [Math.floor(p / size) - top, (p % size) - left]
          const inside = y >= 0 && y < height && x >= 0 && x < width
          const value = inside ? grey[(n * height + y) * width + x] : 0
          const cover = binarize ? (value >= 0.5 ? 1 : 0) : value
          for (let c = 0; c < 3; c++)
            out[(n * pixels + p) * 3 + c] = Math.round(back[c] + (front[c] - back[c]) * cover) / 255
        }
      }
      return out
    },
  }
}
