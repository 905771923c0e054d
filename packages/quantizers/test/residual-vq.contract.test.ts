import { Random, tf } from '@vq/core'
import { quantizerContract } from '@vq/core/testing'
import { ResidualVQ, type ResidualVQOptions } from '@vq/quantizers'
import { onEachBackend } from '../../../test/contract/run.js'

// A network of its own starts as none at all: here it moves codes from the first step on.
function stir(q: ResidualVQ): ResidualVQ {
  const random = new Random(9)
  for (const { variable } of q.networks?.namedParameters() ?? [])
    tf.tidy(() =>
      variable.assign(tf.tensor(random.fillNormal(new Float32Array(variable.size), 0, 0.3), variable.shape)),
    )
  return q
}

function contract(options: Partial<ResidualVQOptions>): void {
  const make = (): ResidualVQ => {
    const initCodebook = (): Float32Array => new Random(3).fillNormal(new Float32Array(7 * 4))
    const random = new Random(3)
    const q = new ResidualVQ({
      numEmbeddings: 7,
      embeddingDim: 4,
      numQuantizers: 3,
      random,
      initCodebook,
      ...options,
    })
    return stir(q)
  }
  onEachBackend(`ResidualVQ ${JSON.stringify(options)}`, quantizerContract(make))
}

contract({})
contract({ codebookUpdate: 'gradient', estimator: 'rotation', deadCodeThreshold: 0.9 })
contract({ codebookUpdate: 'learnable', quantizeDropout: 0.7, dim: 6 })
contract({ sharedCodebook: true, deadCodeThreshold: 0.9, beamSize: 4, trainingBeamSize: 2 })
contract({ estimatorScope: 'level', beamSize: 7, numQuantizers: 1 })
contract({ implicitCodebook: { hiddenDim: 5, numBlocks: 2 }, commitmentCost: 0.5 })
contract({
  implicitCodebook: { hiddenDim: 17, numBlocks: 1 },
  codebookUpdate: 'learnable',
  dim: 6,
  quantizeDropout: 0.7,
  deadCodeThreshold: 0.9,
  estimator: 'rotation',
})
contract({ implicitCodebook: {}, estimatorScope: 'level', numQuantizers: 2 })
contract({ sampleTemperature: 0.7, beamSize: 3 })
contract({ sampleTemperature: 1, codebookUpdate: 'learnable', quantizeDropout: 0.7, estimator: 'rotation' })
contract({ sampleTemperature: 2, sharedCodebook: true, deadCodeThreshold: 0.9, dim: 6 })
contract({ commitment: 'cross-entropy', diversityWeight: 0.2, trainingBeamSize: 2 })
contract({
  codebookUpdate: 'gradient',
  commitment: 'cross-entropy',
  diversityWeight: 0.2,
  orthogonalWeight: 1,
  orthogonalMaxCodes: 4,
  quantizeDropout: 0.5,
})
contract({
  codebookUpdate: 'learnable',
  sharedCodebook: true,
  commitment: 'cross-entropy',
  diversityWeight: 0.1,
  diversityTemperature: 0.5,
  orthogonalWeight: 1,
  orthogonalActiveOnly: true,
  orthogonalMaxCodes: 3,
  estimatorScope: 'level',
})
