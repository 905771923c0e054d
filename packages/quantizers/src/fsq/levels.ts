import type { FsqBound } from '@vq/core'

/** The distance of neighbouring levels of each dimension. */
export function levelSteps(levels: readonly number[], bound: FsqBound): number[] {
  return levels.map(l => (bound === 'symmetric' ? 2 / (l - 1) : 1 / Math.floor(l / 2)))
}
