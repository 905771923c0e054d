import { expectConfig } from '@vq/core'

/** [T, H, W, C] of videos. */
export function videoDim(name: string, dim: unknown): [number, number, number, number] {
  const fits = Array.isArray(dim) && dim.length === 4 && dim.every(n => Number.isInteger(n) && n >= 1)
  expectConfig(fits, name, 'inputDim [T, H, W, C]', dim, 'Pass for example [16, 32, 32, 3]: channels last.')
  return [...(dim as [number, number, number, number])]
}
