// The real images that the results are measured on, where they lie beside the repository; nothing is downloaded.
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { cifar10, mnist } from '../../../packages/models/dist/data/index.js'

const folder = fileURLToPath(new URL('../../../../shared/data/', import.meta.url))
const sets = {
  cifar10: {
    files: ['cifar10/cifar10_jpegdecoded_train4000.bin', 'cifar10/cifar10_jpegdecoded_test1000.bin'],
    read: () => sets.cifar10.files.map(file => cifar10([folder + file])),
  },
  mnist: {
    files: ['train-images-idx3', 'train-labels-idx1', 't10k-images-idx3', 't10k-labels-idx1'].map(
      name => `mnist/${name}-ubyte.gz`,
    ),
    read: () => ['train', 'test'].map(split => mnist(`${folder}mnist`, { split })),
  },
}

/** { train, test, shape } with float32 images [N, H, W, C] from 0 to 1; undefined where a file is missing. */
export async function load(name) {
  const { files, read } = sets[name]
  if (!files.every(file => existsSync(folder + file))) return undefined
  const both = await Promise.all(read())
  const [train, test] = await Promise.all(both.map(all))
  return { train, test, shape: both[0].shape }
}

// Every image of a data set.
async function all(set) {
  return await set.batch(Int32Array.from({ length: set.length }, (_, i) => i))
}

/** What a run that finds no data says. */
export function missing(name) {
  return `${name} is not there: put ${sets[name].files.join(' and ')} into ${folder}`
}
