import { expectInteger, expectShape } from '@vq/core'
import { wholeCodes } from './codes.js'

/**
 * Normalised mutual information of codes and labels, 0 (independent) to 1 (each tells the other):
 * I(codes; labels) / ((H(codes) + H(labels)) / 2), and 1 where both have a single value. Names of codes and labels do not
 * matter. Equal to scikit-learn's `normalized_mutual_info_score` with its default, the arithmetic average.
 *
 * codes: [N, levels] whole numbers, row by row; with several levels the full code counts. labels: [N] whole numbers. Rows
 * whose first code is −1 (masked) are left out. Many more codes than rows per code push the figure up: compare codebooks
 * of one size. Source: Vinh et al. 2010, "Information theoretic measures for clusterings comparison", JMLR 11, table 2
 * (NMI_sum).
 *
 * Throws VqConfigError, VqShapeError (lengths; no row left) and VqValueError (not whole numbers).
 *
 * @example
 * normalizedMutualInformation([5, 5, 0, 0], [1, 1, 2, 2]) // 1
 */
export function normalizedMutualInformation(
  codes: ArrayLike<number>,
  labels: ArrayLike<number>,
  options: { levels?: number } = {},
): number {
  const operation = 'normalizedMutualInformation'
  const { levels = 1 } = options
  expectInteger(operation, 'levels', levels, 1)
  expectShape(
    labels?.length > 0 && codes?.length === labels.length * levels,
    operation,
    `${levels} codes for each label, at least one label`,
    `${codes?.length ?? 'no'} codes and ${labels?.length ?? 'no'} labels`,
    'Pass the codes of a vector behind one another, and one label for each vector.',
  )
  const whole = wholeCodes(operation, codes)
  const named = wholeCodes(operation, labels)
  const clusters = new Map<string | number, number>()
  const classes = new Map<number, number>()
  const joint = new Map<string, number>()
  let n = 0
  for (let i = 0; i < named.length; i++) {
    if (whole[i * levels] === -1) continue
    const code = levels === 1 ? whole[i] : whole.subarray(i * levels, (i + 1) * levels).join()
    n++
    count(clusters, code)
    count(classes, named[i])
    count(joint, `${code}:${named[i]}`)
  }
  expectShape(n > 0, operation, 'at least one row that is not masked', 'only −1', 'Pass some codes.')
  return ofCounts([...clusters.values()], [...classes.values()], [...joint.values()])
}

/**
 * The same from counts: how often each cluster occurs, each class, and each pair of both (zeros may be left out), in any
 * order. For millions of rows whose counts are known already. Throws VqShapeError for totals that differ or are 0.
 */
export function normalizedMutualInformationOfCounts(
  clusters: ArrayLike<number>,
  classes: ArrayLike<number>,
  joint: ArrayLike<number>,
): number {
  const [a, b, c] = [clusters, classes, joint].map(total)
  expectShape(
    a > 0 && a === b && b === c,
    'normalizedMutualInformationOfCounts',
    'counts of the same rows, at least one',
    `totals of ${a}, ${b} and ${c}`,
    'Count clusters, classes and pairs of the same rows.',
  )
  return ofCounts(clusters, classes, joint)
}

function ofCounts(clusters: ArrayLike<number>, classes: ArrayLike<number>, joint: ArrayLike<number>): number {
  const n = total(joint)
  // A single cluster and a single class: the one pair is all rows.
  const single = (of: ArrayLike<number>): boolean => Array.prototype.includes.call(of, n)
  if (single(clusters) && single(classes)) return 1
  const [h1, h2, h12] = [clusters, classes, joint].map(of => nats(of, n))
  // Below rounding there is none: h1 + h2 − h12 of independent labels is a few units of the last place, on either side.
  const information = h1 + h2 - h12
  if (information <= 4 * Number.EPSILON * h12) return 0
  return Math.min(1, information / ((h1 + h2) / 2))
}

function total(counts: ArrayLike<number>): number {
  let sum = 0
  for (let i = 0; i < counts.length; i++) sum += counts[i]
  return sum
}

function count<K>(counts: Map<K, number>, key: K): void {
  counts.set(key, (counts.get(key) ?? 0) + 1)
}

// Σ p·ln(1/p); every term is at least 0, so nothing cancels.
function nats(counts: ArrayLike<number>, n: number): number {
  let sum = 0
  for (let i = 0; i < counts.length; i++) if (counts[i] > 0) sum += (counts[i] / n) * Math.log(n / counts[i])
  return sum
}
