// Trains a model of peers/models.py from a trace's weights on its batches, as traces.py did, and prints the losses:
// traces.mjs NAME FILE.
import { detach, meanSquaredError, tf } from '../../packages/core/dist/index.js'
import { loadSafetensors, toTensor } from '../../packages/core/dist/io/index.js'
import { Module, ModuleList } from '../../packages/core/dist/nn/index.js'
import { Adam, trainStep } from '../../packages/core/dist/optim/index.js'
import { VQVAE } from '../../packages/models/dist/index.js'
import { VectorQuantizer } from '../../packages/quantizers/dist/index.js'
import { IGPT } from '../bench/igpt.mjs'

// The VQ-VAE with several quantizers, each of what the ones before have left.
class ResidualVqvae extends Module {
  constructor(levels, options) {
    super()
    const { embeddingDim = 64, numEmbeddings = 512 } = options
    const frame = new VQVAE(options)
    this.encoder = this.addModule('encoder', frame.encoder)
    this.decoder = this.addModule('decoder', frame.decoder)
    const quantizer = this.addModule('quantizer', new (class extends Module {})())
    const made = Array.from({ length: levels }, () => new VectorQuantizer({ numEmbeddings, embeddingDim }))
    this.levels = quantizer.addModule('levels', new ModuleList(made))
  }

  forward(x) {
    const z = this.encoder.forward(x)
    let [rest, sum, loss] = [z, null, tf.scalar(0)]
    for (const level of this.levels) {
      const { quantized, loss: part } = level.forward(rest)
      rest = tf.sub(rest, detach(quantized))
      sum = sum === null ? quantized : tf.add(sum, quantized)
      loss = tf.add(loss, part)
    }
    const error = meanSquaredError(this.decoder.forward(sum), x)
    return { loss: tf.add(error, tf.div(loss, this.levels.length)) }
  }
}

const makers = {
  'igpt-vqvae': () => VQVAE.igpt(),
  vqvae: () => new VQVAE(),
  rqvae: () => new ResidualVqvae(4, {}),
  igpt: () => new IGPT(undefined, 0),
  'small-rqvae': () => new ResidualVqvae(3, { embeddingDim: 6, numEmbeddings: 16, hiddenDims: [4, 8] }),
  'small-igpt': () => new IGPT(undefined, 0, { vocab: 20, context: 12, width: 16, heads: 2, layers: 2 }),
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
