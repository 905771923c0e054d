// The real data that the results are measured on, where they lie beside the repository; nothing is downloaded.
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { cifar10, mnist } from '../../../packages/models/dist/data/index.js'
import { openSource } from '../../../packages/pipeline/dist/index.js'

const folder = fileURLToPath(new URL('../../../../shared/data/', import.meta.url))
const sets = {
  cifar10: {
    files: ['cifar10/cifar10_jpegdecoded_train4000.bin', 'cifar10/cifar10_jpegdecoded_test1000.bin'],
    read: () => imagesOf(sets.cifar10.files.map(file => cifar10([folder + file]))),
  },
  mnist: {
    files: ['train-images-idx3', 'train-labels-idx1', 't10k-images-idx3', 't10k-labels-idx1'].map(
      name => `mnist/${name}-ubyte.gz`,
    ),
    read: () => imagesOf(['train', 'test'].map(split => mnist(`${folder}mnist`, { split }))),
  },
  cifarJpegs: {
    files: ['cifar10/jpeg'],
    read: async () => ({ path: `${folder}cifar10/jpeg` }),
  },
  pets: {
    files: ['pets/index.csv', 'pets/images', 'pets/trimaps'],
    read: async () => ({ path: `${folder}pets` }),
  },
  // What a job draws by itself.
  drawn: { files: [], read: async () => ({}) },
  agNews: {
    files: ['text/ag_news_test.csv'],
    read: () =>
      textsOf(`${folder}text/ag_news_test.csv`, { column: ['1', '2'], labelColumn: '0', header: false }),
  },
}

/**
 * Images: { train, test, shape, labels: { train, test } }, float32 [N, H, W, C] from 0 to 1; texts: { texts, labels }. Undefined
 * where a file is missing.
 */
export async function load(name) {
  const { files, read } = sets[name]
  if (!files.every(file => existsSync(folder + file))) return undefined
  return await read()
}

async function imagesOf(sets) {
  const both = await Promise.all(sets)
  const [train, test] = await Promise.all(both.map(set => set.batch(everyItem(set))))
  const [seen, held] = await Promise.all(
    both.map(async set => (await set.extras(everyItem(set))).label.values),
  )
  return { train, test, shape: both[0].shape, labels: { train: seen, test: held } }
}

async function textsOf(path, options) {
  const source = await openSource(path, { modality: 'text', ...options })
  const { values } = await source.read(everyItem(source))
  return { texts: values, labels: source.labels }
}

const everyItem = ({ length }) => Int32Array.from({ length }, (_, i) => i)

/** What a run that finds no data says. */
export function missing(name) {
  return `${name} is not there: put ${sets[name].files.join(' and ')} into ${folder}`
}
