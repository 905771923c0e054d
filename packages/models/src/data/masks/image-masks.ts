import { join } from 'node:path'
import { expectInteger } from '@vq/core'
import { isFolder, missing } from '../files/places.js'
import { type Skipped, scanImages } from '../scan.js'
import {
  ignoredClass,
  type MaskedImages,
  type MaskedImagesOptions,
  type MaskedItem,
  maskedImages,
} from './masked-images.js'

export interface ImageMaskFolderOptions extends MaskedImagesOptions {
  /** Names of the classes 0, 1, …: a mask's value is its class. */
  maskClasses: readonly string[]
  /** A value of masks whose pixels do not count. Default 255. */
  ignoreValue?: number
  /** Default 'images'. */
  images?: string
  /** Default 'masks'. */
  masks?: string
}

/**
 * A folder of images and one of grey masks of the same names, such as images/a.jpg and masks/a.png. Throws VqConfigError where a
 * folder or an image's mask is missing, and as `maskedImages` does.
 */
export async function imageMaskFolder(
  folder: string,
  options: ImageMaskFolderOptions,
): Promise<MaskedImages> {
  const { maskClasses, ignoreValue = 255, images = 'images', masks = 'masks' } = options
  expectInteger('imageMaskFolder', 'the number of maskClasses', maskClasses.length, 1, 127)
  expectInteger('imageMaskFolder', 'ignoreValue', ignoreValue, 0, 255)
  for (const needed of [images, masks])
    if (!(await isFolder(join(folder, needed))))
      throw missing('imageMaskFolder', `the folder ${needed} in ${folder}`, 'none', 'Check the path.')
  const masked = await byStem(folder, masks)
  const items: MaskedItem[] = []
  const skipped: Skipped[] = []
  for (const [name, file] of await byStem(folder, images)) {
    const mask = masked.get(name)
    if (mask !== undefined) items.push({ id: file, image: `${images}/${file}`, mask: `${masks}/${mask}` })
    else if (options.damaged === 'skip')
      skipped.push({ file: `${images}/${file}`, reason: `no mask of it in ${masks}` })
    else
      throw missing(
        'imageMaskFolder',
        `a mask of ${images}/${file} in ${masks}`,
        'none',
        'Add it, or remove the image.',
      )
  }
  const classOf = new Map([
    [ignoreValue, ignoredClass],
    ...maskClasses.map((_, i): [number, number] => [i, i]),
  ])
  const data = await maskedImages(folder, items, { maskClasses, classOf }, options)
  return { ...data, skipped: [...skipped, ...data.skipped] }
}

/** Images under a folder by their names without the ending. Throws VqConfigError for two of one name. */
async function byStem(folder: string, part: string): Promise<Map<string, string>> {
  const found = new Map<string, string>()
  for (const file of (await scanImages(join(folder, part))).files) {
    const name = file.replace(/\.[^.]*$/, '')
    const other = found.get(name)
    if (other !== undefined)
      throw missing(
        'imageMaskFolder',
        `one file named ${name} in ${join(folder, part)}, whatever its ending`,
        `${other} and ${file}`,
        'Rename or remove one: images and masks are paired by name.',
      )
    found.set(name, file)
  }
  return found
}
