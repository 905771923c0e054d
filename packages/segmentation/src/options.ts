import { expectConfig } from '@vq/core'
import type { Dataset } from '@vq/models/data'

/** Throws VqConfigError unless it is the path of something. */
export function expectPath(name: string, path: unknown): asserts path is string {
  expectConfig(typeof path === 'string' && path !== '', name, 'a path', path, 'Name a file or a folder.')
}

/** Throws VqConfigError unless it is a data set. */
export function expectDataset(name: string, data: unknown): asserts data is Dataset {
  const { batch, length, shape } = (data ?? {}) as Partial<Dataset>
  const is = typeof batch === 'function' && typeof length === 'number' && Array.isArray(shape)
  expectConfig(is, name, 'a data set', data, 'Pass one such as oxfordPet(folder) gives.')
}
