import { expectConfig, expectInteger, expectOneOf, type FsqBound } from '@vq/core'

export type FsqBoundName = FsqBound

/** Number of codes, Π levels. Throws VqConfigError for levels out of range. */
export function sizeOfLevels(operation: string, levels: unknown, bound: unknown = 'original'): number {
  expectConfig(
    Array.isArray(levels) && levels.length > 0,
    operation,
    'levels to be a list of at least one number of levels',
    levels,
    'Pass for instance [8, 5, 5, 5].',
  )
  for (const [i, l] of (levels as unknown[]).entries()) expectInteger(operation, `levels[${i}]`, l, 2, 65536)
  expectOneOf(operation, 'bound', bound, ['original', 'symmetric'])
  const size = (levels as number[]).reduce((a, b) => a * b, 1)
  expectConfig(
    size < 2 ** 31,
    operation,
    'the product of levels to be at most 2147483647, since codes are int32',
    size,
    'Use fewer levels, or several codebooks of fewer dimensions each (numCodebooks).',
  )
  return size
}

/** The distance of neighbouring levels of each dimension. */
export function levelSteps(levels: readonly number[], bound: FsqBoundName): number[] {
  return levels.map(l => (bound === 'symmetric' ? 2 / (l - 1) : 1 / Math.floor(l / 2)))
}
