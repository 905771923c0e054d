import { type Random, tf } from '@vq/core'
import { unitRows } from '../base/unit-rows.js'
import type { ResolvedCodebook } from './options.js'
import { assignmentCrossEntropy, orthogonalLoss, usageEntropy } from './soft-assignment.js'
import type { ResolvedTraining } from './training-options.js'

type Resolved = ResolvedCodebook & ResolvedTraining

/** The rows and codes of a codebook, and the codes that the rows chose in it. */
export interface Group {
  z: tf.Tensor2D
  codes: tf.Tensor2D
  chosen: tf.Tensor1D
}

/** β times the mean over groups of the cross-entropy of softmax(−‖z − e‖²), or of cos(z, e), with the codes chosen. */
export function crossEntropyCommitment(
  groups: Group[],
  { metric, commitmentCost }: Pick<Resolved, 'metric' | 'commitmentCost'>,
): tf.Scalar {
  const parts = groups.map(({ z, codes, chosen }) =>
    assignmentCrossEntropy(z, codes, chosen, { metric, temperature: 1 }),
  )
  return tf.mul(tf.addN(parts), commitmentCost / parts.length)
}

/** The weighted terms besides equation 3. `random` draws codes in training; evaluation, which draws nothing, looks at all. */
export function regularizers(
  groups: Group[],
  options: Resolved,
  random: Random | undefined,
): Record<string, tf.Scalar> {
  const { diversityWeight, orthogonalWeight } = options
  const losses: Record<string, tf.Scalar> = {}
  if (diversityWeight > 0) losses.diversity = diversity(groups, options)
  if (orthogonalWeight > 0) losses.orthogonal = orthogonal(groups, options, random)
  return losses
}

function diversity(groups: Group[], options: Resolved): tf.Scalar {
  const { metric, diversityTemperature: temperature, diversityWeight, numEmbeddings } = options
  const entropies = groups.map(({ z, codes }) => usageEntropy(z, codes, { metric, temperature }))
  const mean = tf.div(tf.addN(entropies), groups.length)
  return tf.mul(tf.sub(Math.log(numEmbeddings), mean), diversityWeight)
}

function orthogonal(groups: Group[], options: Resolved, random: Random | undefined): tf.Scalar {
  const { numEmbeddings: k, orthogonalWeight, orthogonalActiveOnly, orthogonalMaxCodes } = options
  const parts = groups.map(({ codes, chosen }) => {
    const active = orthogonalActiveOnly ? new Set(chosen.dataSync()) : undefined
    let places = Int32Array.from({ length: k }, (_, i) => i)
    if (active !== undefined) places = places.filter(i => active.has(i))
    if (random !== undefined && places.length > orthogonalMaxCodes)
      places = random.shuffle(places).slice(0, orthogonalMaxCodes)
    const some = places.length === k ? codes : tf.gather(codes, tf.tensor1d(places, 'int32'))
    return orthogonalLoss(unitRows(some))
  })
  return tf.mul(tf.addN(parts), orthogonalWeight / groups.length)
}
