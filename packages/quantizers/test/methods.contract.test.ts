import { Random } from '@vq/core'
import { quantizerContract } from '@vq/core/testing'
import {
  type BaseQuantizer,
  GroupedResidualVQ,
  ProductQuantizer,
  RandomProjectionQuantizer,
  RQKMeans,
  SimVQ,
} from '@vq/quantizers'
import { beforeAll } from 'vitest'
import { onEachBackend } from '../../../test/contract/run.js'

const normal = ({
  numEmbeddings: k,
  embeddingDim: d,
}: {
  numEmbeddings: number
  embeddingDim: number
}): Float32Array => new Random(3).fillNormal(new Float32Array(k * d))
const random = (): Random => new Random(3)
const k = { numEmbeddings: 6, initCodebook: normal }

const cases: Record<string, () => BaseQuantizer> = {
  'GroupedResidualVQ, 2 groups': () =>
    new GroupedResidualVQ({ ...k, dim: 6, groups: 2, numQuantizers: 2, random: random() }),
  'GroupedResidualVQ, projections, dropout': () =>
    new GroupedResidualVQ({
      ...k,
      dim: 6,
      groups: 3,
      embeddingDim: 3,
      quantizeDropout: 0.5,
      codebookUpdate: 'gradient',
      random: random(),
    }),
  'GroupedResidualVQ, drawn codes and losses over all of them': () =>
    new GroupedResidualVQ({
      ...k,
      dim: 6,
      groups: 2,
      numQuantizers: 2,
      codebookUpdate: 'gradient',
      commitment: 'cross-entropy',
      sampleTemperature: 1,
      diversityWeight: 0.1,
      orthogonalWeight: 0.5,
      orthogonalMaxCodes: 3,
      random: random(),
    }),
  'GroupedResidualVQ, 1 group': () => new GroupedResidualVQ({ ...k, dim: 4, random: random() }),
  'ProductQuantizer, 3 parts': () => new ProductQuantizer({ ...k, dim: 6, parts: 3, random: random() }),
  'ProductQuantizer, rotated, gradients': () =>
    new ProductQuantizer({
      ...k,
      dim: 6,
      parts: 2,
      rotate: true,
      codebookUpdate: 'gradient',
      random: random(),
    }),
  'ProductQuantizer, 1 part': () => new ProductQuantizer({ ...k, dim: 3, parts: 1, random: random() }),
  SimVQ: () => new SimVQ({ ...k, embeddingDim: 5 }),
  'SimVQ, rotation': () =>
    new SimVQ({ numEmbeddings: 9, embeddingDim: 4, estimator: 'rotation', random: random() }),
  RandomProjectionQuantizer: () =>
    new RandomProjectionQuantizer({ numEmbeddings: 9, dim: 6, embeddingDim: 3, random: random() }),
  'RandomProjectionQuantizer, 4 codebooks': () =>
    new RandomProjectionQuantizer({ numEmbeddings: 9, dim: 6, numCodebooks: 4, random: random() }),
}
for (const [name, make] of Object.entries(cases)) onEachBackend(name, quantizerContract(make))

let fitted: RQKMeans
beforeAll(async () => {
  const rows = new Random(4).fillNormal(new Float32Array(200 * 5))
  fitted = await new RQKMeans({ nClusters: 7, nStages: 3, dim: 5, beamSize: 2 }).fit(rows)
})
onEachBackend(
  'RQKMeans as a quantizer',
  quantizerContract(() => fitted.toQuantizer()),
)
