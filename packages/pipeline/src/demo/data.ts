import { VqConfigError } from '@vq/core'
import {
  coloredDigits,
  type Dataset,
  imageFolder,
  randomCrops,
  type Skipped,
  splitDataset,
  subset,
} from '@vq/models/data'
import type { DemoSettings } from './settings.js'

export interface DemoData {
  /** "coloured digits" */
  name: string
  /** What the training loop sees: random crops where there are few images. */
  training: Dataset
  /** The training images themselves. */
  train: Dataset
  heldOut: Dataset
  skipped: readonly Skipped[]
}

// Below this many images a folder is trained on random crops, which make about as many out of them.
const enough = 5000
const mostHeldOut = 1000

/** The embedded data set, or a folder with a tenth of its images held out. */
export async function demoData(settings: DemoSettings, signal: AbortSignal): Promise<DemoData> {
  const { data, size, seed } = settings
  if (data === null) {
    const train = coloredDigits({ count: settings.trainImages, size, seed })
    const heldOut = coloredDigits({ count: settings.heldOutImages, size, seed, offset: settings.trainImages })
    return { name: 'coloured digits', training: train, train, heldOut, skipped: [] }
  }
  const folder = await imageFolder(data, { size, signal })
  if (folder.length < 2)
    throw new VqConfigError({
      operation: 'vq demo',
      expected: 'at least 2 usable images, one of them to hold out',
      received: `${folder.length} in ${data}${folder.skipped.length > 0 ? `, ${folder.skipped.length} skipped` : ''}`,
      remedy: 'Add images.',
    })
  const { train, heldOut } = splitDataset(folder, {
    heldOut: Math.min(0.1, mostHeldOut / folder.length),
    seed,
  })
  const few = train.length < enough
  return {
    name: 'images',
    training: few ? await crops(data, train, settings, signal) : train,
    train,
    heldOut,
    skipped: folder.skipped,
  }
}

// The crops come from images of twice the size, so that they are not blurred.
async function crops(
  data: string,
  train: Dataset,
  settings: DemoSettings,
  signal: AbortSignal,
): Promise<Dataset> {
  const { size, seed } = settings
  const large = await imageFolder(data, { size: 2 * size, signal })
  const positions = new Map(large.ids.map((id, i) => [id, i]))
  const source = subset(
    large,
    train.ids!.map(id => positions.get(id) ?? -1),
  )
  return randomCrops(source, { size, copies: Math.ceil((2 * enough) / source.length), seed })
}
