import { VqConfigError } from '@vq/core'
import { coloredDigits, coloredMnist, type Dataset, imageFolder, pickledImages, splitDataset, subset } from '@vq/models/data' // biome-ignore format: one line
import type { Captioned } from '../train/two-stage.js'
import type { IgptConfig } from './config.js'

export interface DataOptions {
  data?: string
  captions?: string
  images?: string
}

export interface Split<T extends Dataset = Dataset> {
  train: T
  test: T
}

export const dataOption = [
  '--data <folder|file.pkl>',
  "MNIST's files, images with captions, or the course's colored_mnist_with_text.pkl; without it digits that the program draws",
] as const
export const captionsOption = [
  '--captions <txt|file.csv>',
  "captions of --data: 'txt' files beside the images, or a CSV file of file and caption",
] as const
export const imagesOption = [
  '--images <folder|file.pkl>',
  "images for the first stage where they are not those of --data: a folder, or the course's mnist_colored.pkl",
] as const

/** What both stages train on: images, and images with captions. */
export async function dataOf(
  options: DataOptions,
  config: IgptConfig,
): Promise<{ images: Split; pairs: Split<Captioned> }> {
  const pairs = await pairsOf(options, config)
  const images = options.images === undefined ? pairs : await imagesOf(options.images, config)
  return { images, pairs }
}

async function pairsOf({ data, captions }: DataOptions, config: IgptConfig): Promise<Split<Captioned>> {
  const { train_images: count, test_images: held, image_size: size, seed } = config
  if (data === undefined) {
    const digits = (n: number, offset: number): Captioned => coloredDigits({ count: n, size, seed, offset })
    return { train: digits(count, 0), test: digits(held, count) }
  }
  if (isPickle(data)) return captioned(data, await pickled(data, config))
  if (captions === undefined)
    return {
      train: await coloredMnist({ folder: data, split: 'train', count, size, seed }),
      test: await coloredMnist({ folder: data, split: 'test', count: held, size, seed, offset: count }),
    }
  return captioned(data, halves(await imageFolder(data, { size, captions }), config))
}

async function imagesOf(path: string, config: IgptConfig): Promise<Split> {
  if (isPickle(path)) return pickled(path, config)
  return halves(await imageFolder(path, { size: config.image_size }), config)
}

const isPickle = (path: string): boolean => /\.(pkl|pickle)$/i.test(path)

async function pickled(path: string, config: IgptConfig): Promise<Split> {
  const { train, test } = await pickledImages(path)
  const [height, width, channels] = train.shape
  const { image_size: size } = config
  if (height !== size || width !== size || channels !== 3)
    throw wrong(path, `images [${size}, ${size}, 3], as image_size says`, `[${train.shape.join(', ')}]`, 'Set image_size.') // biome-ignore format: one line
  return { train: first(train, config.train_images), test: first(test, config.test_images) }
}

function first(data: Dataset, count: number): Dataset {
  if (count >= data.length) return data
  return subset(
    data,
    Array.from({ length: count }, (_, i) => i),
  )
}

function halves(all: Dataset, { test_images, seed }: IgptConfig): Split {
  if (all.length < 2)
    throw wrong('--data', 'at least two images', `${all.length}`, 'Add images: one at least is held out.')
  const heldOut = Math.min(test_images, Math.ceil(all.length / 10))
  const { train, heldOut: test } = splitDataset(all, { heldOut, seed })
  return { train, test }
}

function captioned(source: string, { train, test }: Split): Split<Captioned> {
  if (train.captions === undefined || test.captions === undefined)
    throw wrong(source, 'a caption for each image', 'images without', 'Pass --captions txt, a CSV file, or a pickle with texts.') // biome-ignore format: one line
  return { train: train as Captioned, test: test as Captioned }
}

function wrong(source: string, expected: string, received: string, remedy: string): VqConfigError {
  return new VqConfigError({ operation: `vq-igpt, ${source}`, expected, received, remedy })
}
