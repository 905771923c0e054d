import { join } from 'node:path'
import { expectOneOf, VqDeviceError } from '@vq/core'
import { isFile, isFolder } from '../files/places.js'
import { type DownloadOptions, download } from './download.js'
import { extractTar } from './extract.js'
import { describeFile } from './failures.js'

/** A published file of a data set. */
export interface RemoteFile {
  name: string
  url: string
  /** Bytes. */
  size?: number
  /** As published; MD5 is what the data sets' pages and torchvision give. */
  md5: string
  /** The folder that the archive holds, where it is one. */
  unpacksTo?: string
}

const lecun = 'https://ossci-datasets.s3.amazonaws.com/mnist'
const zalando = 'http://fashion-mnist.s3-website.eu-central-1.amazonaws.com'
const toronto = 'https://www.cs.toronto.edu/~kriz'
const oxford = 'https://www.robots.ox.ac.uk/~vgg/data/pets/data'

const idxFiles = (base: string, md5s: readonly string[]): RemoteFile[] =>
  ['train-images-idx3', 'train-labels-idx1', 't10k-images-idx3', 't10k-labels-idx1'].map((name, i) => ({
    name: `${name}-ubyte.gz`,
    url: `${base}/${name}-ubyte.gz`,
    md5: md5s[i],
  }))

const archive = (base: string, name: string, md5: string, size: number, unpacksTo: string): RemoteFile => ({
  name,
  url: `${base}/${name}`,
  md5,
  size,
  unpacksTo,
})

/** The files of the data sets that `downloadDataset` knows. Mind their licences. */
export const remoteDatasets: {
  readonly [name in 'mnist' | 'fashion-mnist' | 'cifar10' | 'cifar100' | 'oxford-pet']: readonly RemoteFile[]
} = {
  mnist: idxFiles(lecun, [
    'f68b3c2dcbeaaa9fbdd348bbdeb94873',
    'd53e105ee54ea40749a09fcbcd1e9432',
    '9fb629c4189551a2d022fa330f9573f3',
    'ec29112dd5afa0611ce80d1b7f02629c',
  ]),
  'fashion-mnist': idxFiles(zalando, [
    '8d4fb7e6c68d591d4c3dfef9ec88bf0d',
    '25c81989df183df01b3e8a0aad5dffbe',
    'bef4ecab320f06d8554ea6380940ec79',
    'bb300cfdad3c16e7a12a480ee83cd310',
  ]),
  cifar10: [
    archive(
      toronto,
      'cifar-10-binary.tar.gz',
      'c32a1d4ab5d03f1284b67883e8d87530',
      170_052_171,
      'cifar-10-batches-bin',
    ),
  ],
  cifar100: [
    archive(
      toronto,
      'cifar-100-binary.tar.gz',
      '03b5dce01913d631647c71ecec9e9cb8',
      168_513_733,
      'cifar-100-binary',
    ),
  ],
  'oxford-pet': [
    archive(oxford, 'images.tar.gz', '5c4f3ee8e5d25df40f4fd59a7f44e54c', 791_918_971, 'images'),
    archive(oxford, 'annotations.tar.gz', '95a8c909bbe2e81eed6a22bccdf3f68f', 19_173_078, 'annotations'),
  ],
}

export interface DownloadDatasetOptions
  extends Pick<DownloadOptions, 'onProgress' | 'signal' | 'retries' | 'retryMs'> {
  /** Fetch from a mirror: the file's name is put behind this address. Hashes are checked all the same. */
  mirror?: string
}

/**
 * Fetches the files of a known data set into `folder`, checks them and unpacks archives there; what is there stays. Then
 * `mnist(folder)`, `cifar10(folder)` and so on read it. Throws as `download` and `extractTar` do; without a network the error names
 * every file that is missing.
 *
 * @example
 * await downloadDataset('cifar10', 'data/cifar10')
 * const train = await cifar10('data/cifar10')
 */
export async function downloadDataset(
  name: keyof typeof remoteDatasets,
  folder: string,
  options: DownloadDatasetOptions = {},
): Promise<void> {
  const names = Object.keys(remoteDatasets) as (keyof typeof remoteDatasets)[]
  expectOneOf('downloadDataset', 'name', name, names)
  await fetchFiles(name, remoteDatasets[name], folder, options)
}

/** Fetches, checks and unpacks the files of a data set. */
export async function fetchFiles(
  name: string,
  files: readonly RemoteFile[],
  folder: string,
  options: DownloadDatasetOptions,
): Promise<void> {
  const { mirror, ...rest } = options
  const wanted: DownloadOptions[] = files.map(file => ({
    ...rest,
    url: mirror === undefined ? file.url : `${mirror.replace(/\/$/, '')}/${file.name}`,
    md5: file.md5,
    ...(file.size !== undefined && { size: file.size }),
    to: join(folder, file.name),
  }))
  for (const [i, file] of files.entries()) {
    const { unpacksTo } = file
    if (unpacksTo !== undefined && (await isFolder(join(folder, unpacksTo)))) continue
    try {
      await download(wanted[i])
    } catch (error) {
      if (!(error instanceof VqDeviceError)) throw error
      const lacking: string[] = []
      for (const other of wanted.slice(i)) if (!(await isFile(other.to))) lacking.push(describeFile(other))
      throw new VqDeviceError({
        operation: `downloadDataset: ${name}`,
        expected: error.expected,
        received: error.received,
        remedy: `Fetch on another machine and put into ${folder} under the same names: ${lacking.join('; ')}. Then call again.`,
        cause: error,
      })
    }
    if (unpacksTo !== undefined) await extractTar(wanted[i].to, folder)
  }
}
