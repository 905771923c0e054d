import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { expectOneOf, VqConfigError } from '@vq/core'
import {
  type Border,
  downloadDataset,
  type MaskedImages,
  type OxfordPetOptions,
  oxfordPet,
} from '@vq/models/data'
import { MaskDataModule, type MaskDataOptions } from './module.js'

export interface OxfordPetDataOptions extends MaskDataOptions {
  /**
   * What becomes of the trimaps' third value, which marks the band that annotators left open: 'class' (pet, background and border
   * are three classes), 'ignore' (it counts nowhere), 'pet' or 'background'. Default 'class'.
   */
  border?: Border
  /** Fetch the two archives into `dataPath` where they are missing. Default false. */
  download?: boolean
}

/**
 * Oxford-IIIT Pet: a folder as the original archives unpack (`images/`, `annotations/`; validation is every fifth image of
 * trainval, test is test), also inside `oxford-iiit-pet/` as torchvision lays it, or one with `images/`, `trimaps/` and `index.csv`
 * (every fifth in its order is validation and test).
 *
 * @example
 * const data = new OxfordPetDataModule({ dataPath: './data', batchSize: 4 })
 * await data.setup()
 * const batch = await data.trainDataloader().next()
 */
export class OxfordPetDataModule extends MaskDataModule {
  readonly border: Border
  private readonly download: boolean

  constructor(options: OxfordPetDataOptions) {
    super(options)
    const { border = 'class' } = options
    expectOneOf('OxfordPetDataModule', 'border', border, ['class', 'ignore', 'pet', 'background'])
    this.border = border
    this.download = options.download ?? false
  }

  protected async open(): Promise<{ all: MaskedImages; test?: MaskedImages }> {
    const there = await this.found()
    if (there === undefined && !this.download)
      throw new VqConfigError({
        operation: 'OxfordPetDataModule',
        expected: `Oxford-IIIT Pet in ${this.dataPath}: images/ and annotations/, or index.csv`,
        received: 'neither',
        remedy: 'Unpack images.tar.gz and annotations.tar.gz there, or pass --download (download: true).',
      })
    if (there === undefined) await downloadDataset('oxford-pet', this.dataPath)
    const folder = there ?? this.dataPath
    const options: OxfordPetOptions = { size: this.imageSize, border: this.border, damaged: 'skip' }
    if (await isThere(join(folder, 'index.csv'))) return { all: await oxfordPet(folder, options) }
    return {
      all: await oxfordPet(folder, { ...options, split: 'trainval' }),
      test: await oxfordPet(folder, { ...options, split: 'test' }),
    }
  }

  private async found(): Promise<string | undefined> {
    for (const folder of [this.dataPath, join(this.dataPath, 'oxford-iiit-pet')]) {
      if (await isThere(join(folder, 'index.csv'))) return folder
      // One of the two archives alone: the other is fetched.
      const needed = this.download ? ['annotations', 'images'] : ['annotations']
      if ((await Promise.all(needed.map(name => isThere(join(folder, name))))).every(Boolean)) return folder
    }
    return undefined
  }
}

async function isThere(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined)) !== undefined
}
