// Source: https://www.cs.toronto.edu/~kriz/cifar.html, binary version: per record the label bytes, then 32×32 bytes of red,
// of green and of blue.
import { expectConfig, expectInteger, expectOneOf, VqValueError } from '@vq/core'
import { damaged, findFile, isFile, readWhole } from '../files/places.js'
import { byteImages, type LabeledDataset } from './byte-images.js'

export interface CifarOptions {
  /** Which files of a folder. Default 'train'. */
  split?: 'train' | 'test'
  /** Only the first so many. */
  limit?: number
}

export const cifar10Classes: readonly string[] = [
  'airplane',
  'automobile',
  'bird',
  'cat',
  'deer',
  'dog',
  'frog',
  'horse',
  'ship',
  'truck',
]

const plane = 32 * 32
const maxBytes = 2 ** 30
const trainFiles = Array.from({ length: 5 }, (_, i) => `data_batch_${i + 1}.bin`)

/**
 * CIFAR-10's binary version, from the folder that its archive holds (or the one around it), or from any files of its format, in
 * that order. Images [32, 32, 3], values k/255, kept as bytes; extra `label`.
 * Throws VqConfigError where a file is missing, VqFormatError where one has a part of a record, VqValueError for a label
 * over 9.
 */
export async function cifar10(
  source: string | readonly string[],
  options: CifarOptions = {},
): Promise<LabeledDataset> {
  const { split = 'train' } = options
  expectOneOf('cifar10', 'split', split, ['train', 'test'])
  const names = split === 'train' ? trainFiles : ['test_batch.bin']
  const files = await locate('cifar10', source, names, 'cifar-10-batches-bin')
  return readRecords('cifar10', files, { bytes: 1, at: 0 }, cifar10Classes, options.limit)
}

export interface Cifar100Options extends CifarOptions {
  /** The 100 classes or their 20 groups. Default 'fine'. */
  labels?: 'fine' | 'coarse'
}

/**
 * CIFAR-100's binary version, as `cifar10` reads its own. Classes are named by `fine_label_names.txt` or
 * `coarse_label_names.txt` where that lies in the folder, else by number.
 */
export async function cifar100(
  source: string | readonly string[],
  options: Cifar100Options = {},
): Promise<LabeledDataset> {
  const { split = 'train', labels = 'fine' } = options
  expectOneOf('cifar100', 'split', split, ['train', 'test'])
  expectOneOf('cifar100', 'labels', labels, ['fine', 'coarse'])
  const files = await locate('cifar100', source, [`${split}.bin`], 'cifar-100-binary')
  const count = labels === 'fine' ? 100 : 20
  const beside = files[0].replace(/[^\\/]*$/, `${labels}_label_names.txt`)
  const classes = (await isFile(beside))
    ? (await readWhole('cifar100', beside, 1 << 20)).toString('utf8').split(/\r?\n/).filter(Boolean)
    : Array.from({ length: count }, (_, i) => String(i))
  if (classes.length !== count)
    throw damaged(beside, 'names of classes', `${count} lines`, `${classes.length}`)
  return readRecords('cifar100', files, { bytes: 2, at: labels === 'fine' ? 1 : 0 }, classes, options.limit)
}

async function locate(
  operation: 'cifar10' | 'cifar100',
  source: string | readonly string[],
  names: readonly string[],
  subfolder: string,
): Promise<readonly string[]> {
  if (typeof source !== 'string') {
    expectConfig(source.length > 0, operation, 'at least one file', source, 'Pass the paths of the files.')
    return source
  }
  if (await isFile(source)) return [source]
  const remedy = `Fetch the archive and unpack it there, with downloadDataset('${operation}', folder) where the network allows.`
  return Promise.all(names.map(name => findFile(operation, source, [name], [subfolder], remedy)))
}

async function readRecords(
  name: string,
  files: readonly string[],
  label: { bytes: number; at: number },
  classes: readonly string[],
  limit = Number.POSITIVE_INFINITY,
): Promise<LabeledDataset> {
  if (limit !== Number.POSITIVE_INFINITY) expectInteger(name, 'limit', limit, 1)
  const record = label.bytes + 3 * plane
  const parts: Uint8Array[] = []
  const labelIds: number[] = []
  for (const file of files) {
    if (labelIds.length >= limit) break
    const bytes = await readWhole(name, file, maxBytes)
    if (bytes.length === 0 || bytes.length % record !== 0)
      throw damaged(file, `${name}'s binary version`, `records of ${record} bytes`, `${bytes.length} bytes`)
    const count = Math.min(bytes.length / record, limit - labelIds.length)
    const pixels = new Uint8Array(count * 3 * plane)
    for (let i = 0; i < count; i++) {
      const id = bytes[i * record + label.at]
      if (id >= classes.length)
        throw new VqValueError({
          operation: `reading ${file} as ${name}'s binary version`,
          expected: `labels from 0 to ${classes.length - 1}`,
          received: `${id} for record ${i}`,
          remedy: 'The file is damaged or of another data set: fetch it again.',
        })
      labelIds.push(id)
      const from = i * record + label.bytes
      for (let p = 0; p < plane; p++)
        for (let c = 0; c < 3; c++) pixels[(i * plane + p) * 3 + c] = bytes[from + c * plane + p]
    }
    parts.push(pixels)
  }
  return byteImages({
    pixels: parts.length === 1 ? parts[0] : Buffer.concat(parts),
    shape: [32, 32, 3],
    labelIds: Int32Array.from(labelIds),
    classes,
    name,
  })
}
