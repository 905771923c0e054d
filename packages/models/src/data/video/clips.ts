import { expectConfig } from '@vq/core'
import type { Dataset } from '../dataset.js'
import { type VectorsOptions, vectors } from '../vectors.js'

/**
 * Decoded clips from a `.npy` file of bytes [N, T, H, W, C] as a data set of clips [T, H, W, C], values k/255. Throws
 * VqConfigError for another number of axes, and as `vectors` does.
 */
export async function videoClips(
  path: string,
  options: Omit<VectorsOptions, 'divisor'> = {},
): Promise<Dataset> {
  const clips = await vectors(path, { ...options, divisor: 255, types: ['U8'] })
  expectConfig(
    clips.shape.length === 4,
    'videoClips',
    `clips [N, T, H, W, C] in ${path}`,
    `[N, ${clips.shape.join(', ')}]`,
    'Save them with five axes.',
  )
  return clips
}
