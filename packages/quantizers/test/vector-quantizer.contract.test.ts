import { Random } from '@vq/core'
import { quantizerContract } from '@vq/core/testing'
import { VectorQuantizer, type VectorQuantizerOptions } from '@vq/quantizers'
import { onEachBackend } from '../../../test/contract/run.js'

function contract(options: Partial<VectorQuantizerOptions>, name = JSON.stringify(options)): void {
  const make = (): VectorQuantizer => {
    const { numEmbeddings: k = 9, embeddingDim: d = 5 } = options
    const initCodebook = (): Float32Array => new Random(3).fillNormal(new Float32Array(k * d))
    return new VectorQuantizer({
      numEmbeddings: k,
      embeddingDim: d,
      random: new Random(3),
      initCodebook,
      ...options,
    })
  }
  onEachBackend(`VectorQuantizer ${name}`, quantizerContract(make))
}

for (const codebookUpdate of ['ema', 'gradient'] as const)
  for (const estimator of ['ste', 'rotation'] as const)
    for (const deadCodeThreshold of [0, 0.9]) contract({ codebookUpdate, estimator, deadCodeThreshold })
contract({ codebookUpdate: 'learnable', deadCodeThreshold: 0.9, deadCodeReset: 5 })
contract({ metric: 'cosine', deadCodeThreshold: 0.9 })
contract({ metric: 'cosine', codebookUpdate: 'gradient', estimator: 'rotation', sampleTemperature: 0.5 })
contract({ dim: 7, commitment: 'cross-entropy', initCodebook: 'uniform' })
contract({ dim: 3, heads: 2, codebookUpdate: 'learnable', sampleTemperature: 1 })
contract({ heads: 3, embeddingDim: 2, diversityWeight: 0.1, deadCodeThreshold: 0.9 })
contract({
  heads: 3,
  embeddingDim: 2,
  separateCodebooks: true,
  deadCodeThreshold: 0.9,
  initCodebook: new Random(5).fillNormal(new Float32Array(3 * 9 * 2)),
})
contract({
  heads: 2,
  separateCodebooks: true,
  metric: 'cosine',
  codebookUpdate: 'gradient',
  commitment: 'cross-entropy',
  diversityWeight: 0.2,
  orthogonalWeight: 1,
  orthogonalMaxCodes: 4,
})
contract({ codebookUpdate: 'gradient', orthogonalWeight: 1, orthogonalActiveOnly: true })
contract({ numEmbeddings: 1, embeddingDim: 4, initCodebook: 'uniform' })
contract({ numEmbeddings: 6, embeddingDim: 1, initCodebook: 'uniform' })
