// Source: Parkhi, Vedaldi, Zisserman and Jawahar 2012, "Cats and Dogs", https://www.robots.ox.ac.uk/~vgg/data/pets/
import { join } from 'node:path'
import { expectOneOf, VqConfigError } from '@vq/core'
import { damaged, isFile, isFolder, missing, readWhole } from '../files/places.js'
import { readCsv } from '../text/csv.js'
import { decodeUtf8 } from '../text/utf8.js'
import {
  ignoredClass,
  type MaskedImages,
  type MaskedImagesOptions,
  type MaskedItem,
  type MaskMeaning,
  maskedImages,
} from './masked-images.js'

/** What becomes of the border between pet and background, in which the trimaps do not say which it is. */
export type Border = 'class' | 'ignore' | 'pet' | 'background'

export interface OxfordPetOptions extends MaskedImagesOptions {
  /** Of the original layout. Default 'all'. */
  split?: 'all' | 'trainval' | 'test'
  /** 'class': a third class; 'ignore': −1; or as one of the others. Default 'class'. */
  border?: Border
  /** Where index.csv has a column `faithful`: only the rows with 1 there. Default true. */
  faithful?: boolean
}

/** What the values 1 pet, 2 background and 3 border of a trimap become: 0 pet, 1 background and, as a class, 2 border. */
export function trimapMeaning(border: Border): MaskMeaning {
  expectOneOf('oxfordPet', 'border', border, ['class', 'ignore', 'pet', 'background'])
  const third = { class: 2, ignore: ignoredClass, pet: 0, background: 1 }[border]
  return {
    maskClasses: border === 'class' ? ['pet', 'background', 'border'] : ['pet', 'background'],
    classOf: new Map([
      [1, 0],
      [2, 1],
      [3, third],
    ]),
  }
}

/**
 * Oxford-IIIT Pet: images with a mask of pet, background and border, and with their breed as `label`. `folder` is laid out as the
 * original archives are (`images/`, `annotations/trimaps/`, `annotations/list.txt`, `trainval.txt`, `test.txt`), or has
 * `images/`, `trimaps/` and an `index.csv` with the columns `image_id` and `breed`. Throws VqConfigError where something is
 * missing, VqFormatError for lists that cannot be read, and as `maskedImages` does.
 */
export async function oxfordPet(folder: string, options: OxfordPetOptions = {}): Promise<MaskedImages> {
  const { split = 'all', border = 'class', faithful = true } = options
  expectOneOf('oxfordPet', 'split', split, ['all', 'trainval', 'test'])
  const meaning = trimapMeaning(border)
  const index = join(folder, 'index.csv')
  if (await isFile(index)) {
    if (split !== 'all')
      throw missing(
        'oxfordPet',
        "split 'all', since index.csv knows no other",
        `'${split}'`,
        'Use splitDataset.',
      )
    return maskedImages(folder, await fromIndex(index, faithful), meaning, options)
  }
  for (const needed of ['images', 'annotations/trimaps'])
    if (!(await isFolder(join(folder, needed))))
      throw missing(
        'oxfordPet',
        `the folder ${needed} in ${folder}`,
        'none',
        "Unpack images.tar.gz and annotations.tar.gz there, with downloadDataset('oxford-pet', folder) where the network allows.",
      )
  return maskedImages(folder, await fromLists(join(folder, 'annotations'), split), meaning, options)
}

const idPattern = /^[\w-]+$/

async function fromLists(annotations: string, split: string): Promise<MaskedItem[]> {
  const path = join(annotations, split === 'all' ? 'list.txt' : `${split}.txt`)
  const text = decodeUtf8(await readWhole('oxfordPet', path, 2 ** 26), path)
  const items: MaskedItem[] = []
  for (const [at, line] of text.split(/\r?\n/).entries()) {
    if (line.trim() === '' || line.startsWith('#')) continue
    const [id, ...numbers] = line.trim().split(/\s+/)
    if (!idPattern.test(id) || numbers.length !== 3 || !numbers.every(n => /^\d+$/.test(n)))
      throw damaged(path, 'a list of pets', `a name and three numbers in line ${at + 1}`, line.slice(0, 80))
    items.push(item(id, id.replace(/_\d+$/, ''), 'annotations/trimaps'))
  }
  return items
}

async function fromIndex(path: string, faithful: boolean): Promise<MaskedItem[]> {
  const { columns, rows } = await readCsv(path, { header: true })
  const at = (name: string): number => columns.indexOf(name)
  if (at('image_id') < 0 || at('breed') < 0)
    throw new VqConfigError({
      operation: 'oxfordPet',
      expected: `the columns image_id and breed in ${path}`,
      received: columns.join(', ').slice(0, 200),
      remedy: 'Name the columns in the first line.',
    })
  const wanted = rows.filter(row => !faithful || at('faithful') < 0 || row[at('faithful')] === '1')
  return wanted.map(row => {
    const id = row[at('image_id')]
    if (!idPattern.test(id)) throw damaged(path, 'a list of pets', 'names of images', id.slice(0, 80))
    return item(id, row[at('breed')], 'trimaps')
  })
}

function item(id: string, label: string, masks: string): MaskedItem {
  return { id, image: `images/${id}.jpg`, mask: `${masks}/${id}.png`, label }
}
