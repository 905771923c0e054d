import { expectInteger } from '@vq/core'

// Sizes up to 64 are ours: the paper's table begins at 2^8.
const table: readonly (readonly number[])[] = [
  [2],
  [2, 2],
  [3, 3],
  [4, 4],
  [6, 5],
  [4, 4, 4],
  [5, 5, 5],
  [8, 6, 5],
  [8, 8, 8],
  [8, 5, 5, 5],
  [8, 8, 6, 5],
  [7, 5, 5, 5, 5],
  [8, 8, 5, 5, 5],
  [8, 8, 8, 6, 5],
  [8, 8, 8, 8, 8],
  [8, 8, 8, 5, 5, 5],
]

/**
 * Levels whose product comes closest to a number of codes, by ratio: those that Mentzer et al. recommend for 2^8, 2^10, 2^12,
 * 2^14 and 2^16 codes, and sizes between and below. Throws VqConfigError outside of 2 … 2^20.
 * Source: Mentzer et al. 2023, https://arxiv.org/abs/2309.15505, table 1.
 *
 * @example
 * fsqLevels(1024)   // [8, 5, 5, 5], which is 1,000 codes
 */
export function fsqLevels(codebookSize: number): number[] {
  expectInteger('fsqLevels', 'codebookSize', codebookSize, 2, 2 ** 20)
  const away = (levels: readonly number[]): number =>
    Math.abs(Math.log(levels.reduce((a, b) => a * b, 1) / codebookSize))
  return [...table.reduce((best, levels) => (away(levels) < away(best) ? levels : best))]
}
