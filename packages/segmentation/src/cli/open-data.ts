import { VqConfigError } from '@vq/core'
import { ImageMaskDataModule } from '../data/folder.js'
import type { MaskDataModule } from '../data/module.js'
import { OxfordPetDataModule } from '../data/pets.js'
import type { DataFlags } from './flags.js'

/** The data of the command line, opened and checked; says what was left out. */
export async function openData(
  flags: DataFlags & { imageSize: number; seed?: number },
  say: (line: string) => void,
): Promise<MaskDataModule> {
  const { dataset, dataPath, imageSize, batchSize, subsetSize, seed = 0, damaged, border, classes } = flags
  const options = { dataPath, imageSize, batchSize, subsetSize, seed, damaged }
  if (classes !== undefined && dataset !== 'folder')
    throw new VqConfigError({
      operation: '--classes',
      expected: '--dataset folder',
      received: `--dataset ${dataset}`,
      remedy: 'Leave it out: Oxford-IIIT Pet has its own classes.',
    })
  if (dataset === 'folder' && (flags.download || border !== 'class'))
    throw new VqConfigError({
      operation: flags.download ? '--download' : '--border',
      expected: '--dataset oxford_pet',
      received: '--dataset folder',
      remedy: 'Leave it out: masks of a folder say 255 where a pixel does not count.',
    })
  const data =
    dataset === 'folder'
      ? new ImageMaskDataModule({ ...options, classes: classes?.split(',').map(c => c.trim()) })
      : new OxfordPetDataModule({ ...options, border, download: flags.download ?? false })
  await data.setup()
  for (const { file, reason } of data.skipped.slice(0, 20)) say(`left out ${file}: ${reason}`)
  const [train, val, test] = (['train', 'val', 'test'] as const).map(split => data.dataset(split).length)
  say(
    `${train} images to train on, ${val} to validate, ${test} to test; classes: ${data.classes.join(', ')}` +
      `${dataset === 'oxford_pet' ? ` (border: ${border})` : ''}`,
  )
  return data
}
