import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expectConfig, VqConfigError } from '@vq/core'
import { imageMaskFolder, type MaskedImages } from '@vq/models/data'
import { MaskDataModule, type MaskDataOptions } from './module.js'

export interface ImageMaskDataOptions extends MaskDataOptions {
  /** Names of the classes 0, 1, …: a mask's value is its class. Default: the lines of `classes.txt` in the folder. */
  classes?: readonly string[] | undefined
}

/**
 * A folder with `images/` and `masks/` of the same names: grey masks of 8 bits whose values are classes, 255 where a pixel does
 * not count. Every fifth image by name is held out.
 */
export class ImageMaskDataModule extends MaskDataModule {
  private readonly given: readonly string[] | undefined

  constructor(options: ImageMaskDataOptions) {
    super(options)
    const { classes } = options
    if (classes !== undefined) expectNames('ImageMaskDataModule', classes)
    this.given = options.classes
  }

  protected async open(): Promise<{ all: MaskedImages }> {
    const maskClasses = this.given ?? (await this.listed())
    const options = { maskClasses, size: this.imageSize, damaged: 'skip' as const }
    return { all: await imageMaskFolder(this.dataPath, options) }
  }

  private async listed(): Promise<string[]> {
    const path = join(this.dataPath, 'classes.txt')
    const text = await readFile(path, 'utf8').catch(() => '')
    const names = text
      .split(/\r?\n/)
      .map(line => line.trim())
      .filter(line => line !== '')
    if (names.length > 0) {
      expectNames(path, names)
      return names
    }
    throw new VqConfigError({
      operation: 'ImageMaskDataModule',
      expected: `names of the classes, one a line, in ${path}`,
      received: 'none',
      remedy: 'Write the file, or pass --classes background,pet (classes: […]).',
    })
  }
}

function expectNames(operation: string, names: readonly string[]): void {
  expectConfig(
    Array.isArray(names) &&
      names.every(name => typeof name === 'string' && name !== '') &&
      new Set(names).size === names.length,
    operation,
    'classes to be different names',
    Array.isArray(names) ? names.join(', ') : names,
    "Name each class once, such as ['background', 'pet'].",
  )
}
