import { Random } from '@vq/core'
import { quantizerContract } from '@vq/core/testing'
import { ResidualVQ, type ResidualVQOptions } from '@vq/quantizers'
import { onEachBackend } from '../../../test/contract/run.js'

function contract(options: Partial<ResidualVQOptions>): void {
  const make = (): ResidualVQ => {
    const initCodebook = (): Float32Array => new Random(3).fillNormal(new Float32Array(7 * 4))
    const random = new Random(3)
    return new ResidualVQ({
      numEmbeddings: 7,
      embeddingDim: 4,
      numQuantizers: 3,
      random,
      initCodebook,
      ...options,
    })
  }
  onEachBackend(`ResidualVQ ${JSON.stringify(options)}`, quantizerContract(make))
}

contract({})
contract({ codebookUpdate: 'gradient', estimator: 'rotation', deadCodeThreshold: 0.9 })
contract({ codebookUpdate: 'learnable', quantizeDropout: 0.7, dim: 6 })
contract({ sharedCodebook: true, deadCodeThreshold: 0.9, beamSize: 4, trainingBeamSize: 2 })
contract({ estimatorScope: 'level', beamSize: 7, numQuantizers: 1 })
