import { expectInteger, expectOneOf } from '@vq/core'
import { damaged, findFile, readMaybeGzip } from '../files/places.js'
import { byteImages, type LabeledDataset } from './byte-images.js'
import { parseIdx } from './idx.js'

export interface MnistOptions {
  /** Default 'train'. */
  split?: 'train' | 'test'
  /** Only the first so many. */
  limit?: number
  /** Names of the classes. Default '0' to '9'. */
  classes?: readonly string[]
}

/** The files of one split, idx or gzipped idx. */
export interface MnistFiles {
  images: string
  labels: string
}

export const fashionClasses: readonly string[] = [
  'T-shirt/top',
  'Trouser',
  'Pullover',
  'Dress',
  'Coat',
  'Sandal',
  'Shirt',
  'Sneaker',
  'Bag',
  'Ankle boot',
]

const maxBytes = 2 ** 30
const subfolders = ['raw', 'MNIST/raw', 'FashionMNIST/raw']

/**
 * MNIST, or another set in its format, from a folder with the four files (`train-images-idx3-ubyte.gz` and so on, gzipped or
 * not, also as torchvision lays them) or from two files. Images [28, 28, 1], values k/255, kept as bytes; extra `label`.
 * Throws VqConfigError where a file is missing, VqFormatError where one is not idx or damaged, VqValueError for a label
 * without a class. Source: LeCun, Cortes and Burges, http://yann.lecun.com/exdb/mnist/
 */
export async function mnist(
  source: string | MnistFiles,
  options: MnistOptions = {},
): Promise<LabeledDataset> {
  const { split = 'train', limit, classes = Array.from('0123456789') } = options
  expectOneOf('mnist', 'split', split, ['train', 'test'])
  if (limit !== undefined) expectInteger('mnist', 'limit', limit, 1)
  const { images, labels } = typeof source === 'string' ? await locate(source, split) : source
  const pixels = parseIdx(await readMaybeGzip('mnist', images, maxBytes), 3, images)
  const ids = parseIdx(await readMaybeGzip('mnist', labels, maxBytes), 1, labels)
  const [count, height, width] = pixels.shape
  if (ids.shape[0] !== count || count === 0)
    throw damaged(
      labels,
      'idx',
      `a label for each of ${count} images, at least one`,
      `${ids.shape[0]} labels`,
    )
  if (height === 0 || width === 0)
    throw damaged(images, 'idx', 'images of at least a pixel', `${height}×${width}`)
  const kept = Math.min(count, limit ?? count)
  const size = height * width
  return byteImages({
    // Fewer in memory of their own, so that the rest can go.
    pixels: kept < count ? pixels.data.slice(0, kept * size) : pixels.data,
    shape: [height, width, 1],
    labelIds: Int32Array.from(ids.data.subarray(0, kept)),
    classes,
    name: 'mnist',
  })
}

/** Fashion-MNIST: MNIST's format with `fashionClasses`. Source: https://github.com/zalandoresearch/fashion-mnist */
export function fashionMnist(
  source: string | MnistFiles,
  options: Omit<MnistOptions, 'classes'> = {},
): Promise<LabeledDataset> {
  return mnist(source, { ...options, classes: fashionClasses })
}

async function locate(folder: string, split: 'train' | 'test'): Promise<MnistFiles> {
  const start = split === 'train' ? 'train' : 't10k'
  const find = (kind: string, axes: number): Promise<string> => {
    const names = ['-', '.'].map(mark => `${start}-${kind}${mark}idx${axes}-ubyte`)
    return findFile(
      'mnist',
      folder,
      [names[0], `${names[0]}.gz`, names[1], `${names[1]}.gz`],
      subfolders,
      "Fetch the four files there, with downloadDataset('mnist', folder) where the network allows.",
    )
  }
  return { images: await find('images', 3), labels: await find('labels', 1) }
}
