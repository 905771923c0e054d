import { Random } from '@vq/core'
import { quantizerContract } from '@vq/core/testing'
import { VectorQuantizer, type VectorQuantizerOptions } from '@vq/quantizers'
import { onEachBackend } from '../../../test/contract/run.js'

const cases: { name: string; make: () => VectorQuantizer }[] = []
for (const codebookUpdate of ['ema', 'gradient'] as const)
  for (const estimator of ['ste', 'rotation'] as const)
    for (const deadCodeThreshold of [0, 0.9]) {
      const options: VectorQuantizerOptions = {
        numEmbeddings: 9,
        embeddingDim: 5,
        codebookUpdate,
        estimator,
        deadCodeThreshold,
      }
      cases.push({
        name: `VectorQuantizer ${codebookUpdate}, ${estimator}, dead codes below ${deadCodeThreshold}`,
        make: () =>
          new VectorQuantizer({
            ...options,
            random: new Random(3),
            initCodebook: ({ numEmbeddings: k, embeddingDim: d, random }) =>
              random!.fillNormal(new Float32Array(k * d)),
          }),
      })
    }
for (const [numEmbeddings, embeddingDim] of [
  [1, 4],
  [6, 1],
])
  cases.push({
    name: `VectorQuantizer K ${numEmbeddings}, D ${embeddingDim}`,
    make: () => new VectorQuantizer({ numEmbeddings, embeddingDim, random: new Random(1) }),
  })

for (const { name, make } of cases) onEachBackend(name, quantizerContract(make))
