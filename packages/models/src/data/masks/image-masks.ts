import { join } from 'node:path'
import { expectInteger } from '@vq/core'
import { isFolder, missing } from '../files/places.js'
import { scanImages } from '../scan.js'
import { ignoredClass, type MaskedImages, type MaskedImagesOptions, maskedImages } from './masked-images.js'

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
  const stem = (file: string): string => file.replace(/\.[^.]*$/, '')
  const masked = new Map((await scanImages(join(folder, masks))).files.map(file => [stem(file), file]))
  const items = (await scanImages(join(folder, images))).files.map(file => {
    const mask = masked.get(stem(file))
    if (mask === undefined)
      throw missing(
        'imageMaskFolder',
        `a mask of ${images}/${file} in ${masks}`,
        'none',
        'Add it, or remove the image.',
      )
    return { id: file, image: `${images}/${file}`, mask: `${masks}/${mask}` }
  })
  const classOf = new Map([
    [ignoreValue, ignoredClass],
    ...maskClasses.map((_, i): [number, number] => [i, i]),
  ])
  return maskedImages(folder, items, { maskClasses, classOf }, options)
}
