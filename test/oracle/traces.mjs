// Trains a model of peers/models.py from a trace's weights on its batches, as traces.py did, and prints the losses:
// traces.mjs NAME FILE.
import { tf } from '../../packages/core/dist/index.js'
import { loadSafetensors, toTensor } from '../../packages/core/dist/io/index.js'
import { Adam, trainStep } from '../../packages/core/dist/optim/index.js'
import { IGPT } from '../../packages/igpt/dist/index.js'
import { RQVAE, VQVAE } from '../../packages/models/dist/index.js'

// The peers' residual quantizer passes the gradient straight through every level.
const makers = {
  'igpt-vqvae': () => VQVAE.igpt(),
  vqvae: () => new VQVAE(),
  rqvae: () => new RQVAE({ estimatorScope: 'level' }),
  igpt: () => new IGPT({ vocabSize: 148, contextLength: 58, dropout: 0 }),
  'small-rqvae': () =>
    new RQVAE({
      numQuantizers: 3,
      embeddingDim: 6,
      numEmbeddings: 16,
      hiddenDims: [4, 8],
      estimatorScope: 'level',
    }),
  'small-igpt': () =>
    new IGPT({ vocabSize: 20, contextLength: 12, dModel: 16, nHeads: 2, nLayers: 2, dropout: 0 }),
}

const [name, file] = process.argv.slice(2)
const { tensors } = await loadSafetensors(file)
const model = makers[name]()
model.loadStateDict(
  Object.fromEntries(
    Object.entries(tensors).flatMap(([key, t]) => (key.startsWith('weights.') ? [[key.slice(8), t]] : [])),
  ),
)
const optimizer = new Adam(model, { learningRate: 1e-3 })
const losses = []
for (const batch of tf.unstack(toTensor(tensors.batches))) {
  const x = batch.rank === 4 ? tf.transpose(batch, [0, 2, 3, 1]) : batch
  losses.push(trainStep(optimizer, () => model.forward(x), { clipNorm: 1 }).loss)
}
console.log(JSON.stringify({ backend: tf.getBackend(), losses }))
