import { expectConfig, expectInteger, expectOneOf } from '../check.js'

/** How a number is bounded before it is rounded to one of L levels; see {@link fsqEncode}. */
export type FsqBound = 'original' | 'symmetric'
/** In the order of the native enumeration. */
export const fsqBounds: readonly FsqBound[] = ['original', 'symmetric']

/** More levels of one dimension than float32 tells apart between −1 and 1. */
export const mostLevels = 65536

/** Number of codes of finite scalar quantization, Π levels. Throws VqConfigError for levels out of range. */
export function codesOfLevels(operation: string, levels: unknown, bound: unknown = 'original'): number {
  expectConfig(
    Array.isArray(levels) && levels.length > 0,
    operation,
    'levels to be a list of at least one number of levels',
    levels,
    'Pass for instance [8, 5, 5, 5].',
  )
  for (const [i, l] of levels.entries()) expectInteger(operation, `levels[${i}]`, l, 2, mostLevels)
  expectOneOf(operation, 'bound', bound, fsqBounds)
  const size = (levels as number[]).reduce((a, b) => a * b, 1)
  expectConfig(
    size < 2 ** 31,
    operation,
    'the product of levels to be at most 2147483647, since codes are int32',
    size,
    'Use fewer levels, or several codebooks of fewer dimensions each (numCodebooks of FSQ).',
  )
  return size
}
