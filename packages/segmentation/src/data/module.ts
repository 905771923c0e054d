import { expectConfig, expectInteger, expectOneOf, VqConfigError, VqFormatError } from '@vq/core'
import { expectOptions } from '@vq/core/nn'
import { DataLoader, type Dataset, type MaskedImages, subset } from '@vq/models/data'

export type Split = 'train' | 'val' | 'test'
export const splits: readonly Split[] = ['train', 'val', 'test']

/**
 * The base of data for training: a subclass finds its images in `setup` and says what the three splits are. Items are images
 * [S, S, 3], values 0..1, with the extra `mask` [N, S, S] int32 of class numbers, −1 where a pixel does not count.
 */
export abstract class BaseDataModule {
  /** Names of the classes, by number. */
  abstract readonly classes: readonly string[]
  /** Opens and checks the data, so that nothing is missing later. */
  abstract setup(): Promise<void>
  abstract dataset(split: Split): Dataset
  abstract readonly batchSize: number
  readonly seed: number = 0

  trainDataloader(): DataLoader {
    const { batchSize, seed } = this
    const data = this.dataset('train')
    return new DataLoader(data, { batchSize, seed, dropLast: data.length > batchSize })
  }

  valDataloader(): DataLoader {
    return new DataLoader(this.dataset('val'), { batchSize: this.batchSize, shuffle: false })
  }

  testDataloader(): DataLoader {
    return new DataLoader(this.dataset('test'), { batchSize: this.batchSize, shuffle: false })
  }
}

export interface MaskDataOptions {
  /** Where the images are. */
  dataPath: string
  /** Edge of the square images in pixels. Default 224. */
  imageSize?: number
  /** Default 4. */
  batchSize?: number
  /** Only so many images, evenly spread over all. Default all. */
  subsetSize?: number | undefined
  /** Orders the batches. Default 0. */
  seed?: number
  /** 'throw': a file that cannot be used ends `setup`. 'skip': it is left out, and listed in `skipped`. Default 'throw'. */
  damaged?: 'throw' | 'skip'
}

/**
 * Images with masks: every file is decoded in `setup`, so that a damaged one is found before training and not in its middle.
 * Without a split of its own every fifth image is held out, for validation and test alike.
 */
export abstract class MaskDataModule extends BaseDataModule {
  readonly dataPath: string
  readonly imageSize: number
  readonly batchSize: number
  override readonly seed: number
  /** Files that were left out, and why. */
  skipped: readonly { file: string; reason: string }[] = []
  protected readonly subsetSize: number | undefined
  protected readonly damaged: 'throw' | 'skip'
  private parts: Record<Split, Dataset> | undefined
  private names: readonly string[] | undefined

  constructor(options: MaskDataOptions) {
    super()
    const name = new.target.name
    expectOptions(name, options, "{ dataPath: './data' }")
    const { dataPath, imageSize = 224, batchSize = 4, subsetSize, seed = 0, damaged = 'throw' } = options
    expectConfig(
      typeof dataPath === 'string' && dataPath !== '',
      name,
      'dataPath',
      dataPath,
      'Name a folder.',
    )
    expectOneOf(name, 'damaged', damaged, ['throw', 'skip'])
    expectInteger(name, 'imageSize', imageSize, 8, 4096)
    expectInteger(name, 'batchSize', batchSize, 1)
    expectInteger(name, 'seed', seed, 0)
    if (subsetSize !== undefined) expectInteger(name, 'subsetSize', subsetSize, 2)
    this.dataPath = dataPath
    this.imageSize = imageSize
    this.batchSize = batchSize
    this.subsetSize = subsetSize
    this.seed = seed
    this.damaged = damaged
  }

  /** Opens the images, each with its mask; damaged ones are left out and listed. `test`: those of a split of their own. */
  protected abstract open(): Promise<{ all: MaskedImages; test?: MaskedImages }>

  get classes(): readonly string[] {
    if (this.names === undefined) throw this.early()
    return this.names
  }

  dataset(split: Split): Dataset {
    if (this.parts === undefined) throw this.early()
    return this.parts[split]
  }

  /** Throws VqConfigError where something is missing or too little, VqFormatError for a file that cannot be used. */
  async setup(): Promise<void> {
    const { all, test } = await this.open()
    this.skipped = [...all.skipped, ...(test?.skipped ?? [])]
    const [first] = this.skipped
    if (first !== undefined && this.damaged === 'throw')
      throw new VqFormatError({
        operation: `reading ${this.dataPath}`,
        expected: 'images and masks that can be used',
        received: `${first.file}: ${first.reason}${this.skipped.length > 1 ? `; so are ${this.skipped.length - 1} more` : ''}`,
        remedy: "Repair or remove them, or pass damaged: 'skip' (--damaged skip).",
      })
    const used = this.some(all)
    const heldOut = Array.from({ length: used.length }, (_, i) => i % 5 === 4)
    const at = (held: boolean): number[] => [...heldOut.keys()].filter(i => heldOut[i] === held)
    if (!heldOut.includes(true))
      throw new VqConfigError({
        operation: `reading ${this.dataPath}`,
        expected: 'at least five images, of which every fifth is held out',
        received: `${used.length}`,
        remedy: 'Add images, or choose a larger --subset-size.',
      })
    if (all.maskClasses.length < 2)
      throw new VqConfigError({
        operation: `reading ${this.dataPath}`,
        expected: 'at least two classes of pixels',
        received: all.maskClasses.join(', '),
        remedy: 'With one class there is nothing to tell apart: name the background as a class too.',
      })
    const val = subset(used, at(true))
    this.names = all.maskClasses
    this.parts = { train: subset(used, at(false)), val, test: test === undefined ? val : this.some(test) }
  }

  private some(data: MaskedImages): Dataset {
    const { subsetSize = data.length } = this
    if (subsetSize >= data.length) return data
    return subset(
      data,
      Array.from({ length: subsetSize }, (_, i) => Math.floor((i * data.length) / subsetSize)),
    )
  }

  private early(): VqConfigError {
    return new VqConfigError({
      operation: this.constructor.name,
      expected: 'setup() before its data are used',
      received: 'none',
      remedy: 'await data.setup() first.',
    })
  }
}
