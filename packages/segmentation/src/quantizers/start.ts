import { expectShape, tf } from '@vq/core'
import type { StateDict } from '@vq/core/io'
import { type BaseQuantizer, ResidualVQ, VectorQuantizer } from '@vq/quantizers'
import { expectQuantizer } from './create.js'
import { principalAxes } from './principal-axes.js'

/**
 * Starts a quantizer from feature vectors [N, inputDim]: its linear layers lead along the principal axes and back (for FSQ and
 * LFQ each divided by its deviation, so that all levels and both signs are met), and its codes are the k-means centroids of
 * what comes out. Does nothing for what a quantizer does not have. Throws VqShapeError for fewer vectors than codes.
 */
export async function startQuantizer(quantizer: BaseQuantizer, vectors: tf.Tensor2D): Promise<void> {
  expectQuantizer('startQuantizer', quantizer)
  expectShape(
    vectors instanceof tf.Tensor && vectors.rank === 2 && vectors.shape[1] === quantizer.dim,
    'startQuantizer',
    `feature vectors [N, ${quantizer.dim}]`,
    vectors instanceof tf.Tensor ? `[${vectors.shape}]` : `${vectors}`,
    'Pass a tensor of two axes.',
  )
  const state = quantizer.stateDict()
  const into = state['project_in.weight'] // [codes, inputDim]
  const learned = quantizer instanceof VectorQuantizer || quantizer instanceof ResidualVQ
  if (learned)
    expectShape(
      vectors.shape[0] >= quantizer.codebookSize,
      'startQuantizer',
      `at least ${quantizer.codebookSize} feature vectors for as many codes`,
      `${vectors.shape[0]}`,
      'Use more images or a smaller codebook.',
    )
  // Where the bottleneck is wider than the features there are no such axes.
  if (into !== undefined && into.shape[0]! <= into.shape[1]! && vectors.shape[0] > 1)
    quantizer.loadStateDict(
      { ...state, ...alongAxes(state, into.shape as [number, number], vectors, !learned) },
      { strict: false },
    )
  if (learned) await quantizer.initialize(vectors)
}

function alongAxes(
  state: StateDict,
  [k, dim]: [number, number],
  vectors: tf.Tensor2D,
  scaled: boolean,
): StateDict {
  const { mean, axes, deviations } = principalAxes(vectors, k)
  const least = 1e-6 * Math.max(deviations[0] ?? 0, 1e-30)
  const scales = deviations.map(d => (scaled ? Math.max(d, least) : 1))
  const weightIn = axes.map((v, i) => v / scales[Math.floor(i / dim)]!)
  const biasIn = Float32Array.from({ length: k }, (_, c) => {
    let sum = 0
    for (let d = 0; d < dim; d++) sum -= weightIn[c * dim + d]! * mean[d]!
    return sum
  })
  const weightOut = new Float32Array(dim * k)
  for (let d = 0; d < dim; d++)
    for (let c = 0; c < k; c++) weightOut[d * k + c] = axes[c * dim + d]! * scales[c]!
  const data: Record<string, Float32Array> = {
    'project_in.weight': weightIn,
    'project_in.bias': biasIn,
    'project_out.weight': weightOut,
    'project_out.bias': mean,
  }
  return Object.fromEntries(
    Object.entries(data)
      .filter(([name]) => state[name] !== undefined)
      .map(([name, values]) => [name, { ...state[name]!, dtype: 'F32' as const, data: values }]),
  )
}
