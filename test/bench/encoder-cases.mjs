// The encoders that are timed and weighed, made with random weights, and one pass of their training.
import { Random, tf } from '../../packages/core/dist/index.js'
import { valueAndGradients } from '../../packages/core/dist/optim/index.js'
import { BertEncoder, ResNetEncoder, VisionTransformerEncoder } from '../../packages/encoders/dist/index.js'

export const batch = 8
export const inputDim = [224, 224, 3]
// bar: at most this share of the peer's time.
export const cases = [
  {
    name: 'vit-b16',
    text: 'ViT-B/16 at 224',
    bar: 0.6,
    make: random =>
      new VisionTransformerEncoder({
        inputDim,
        hiddenDim: 768,
        numLayers: 12,
        numHeads: 12,
        dropout: 0,
        random,
      }),
  },
  {
    name: 'resnet50',
    text: 'ResNet-50 at 224',
    bar: 0.9,
    make: random => new ResNetEncoder({ inputDim, depth: 50, random }),
  },
  {
    name: 'bert-base',
    text: 'BERT base, T 128',
    bar: 0.6,
    tokens: 128,
    make: random => new BertEncoder({ vocabSize: 30_522, random }),
  },
]

/** A random batch. */
export function inputOf({ tokens }) {
  const random = new Random(1)
  if (tokens === undefined) {
    const pixels = random.fillNormal(new Float32Array(batch * inputDim.reduce((a, b) => a * b)))
    return tf.tensor4d(pixels, [batch, ...inputDim])
  }
  const ids = Int32Array.from({ length: batch * tokens }, () => random.integer(30_000))
  return tf.tensor2d(ids, [batch, tokens], 'int32')
}

/** Loss and gradients, as `trainStep` computes them. `forwardDone` is called between the passes. */
export function trainingPass({ tokens }, encoder, x, forwardDone = () => {}) {
  encoder.train()
  const variables = encoder.namedParameters().map(({ variable }) => variable)
  const { value, gradients } = valueAndGradients(() => {
    const output = encoder.forward(x)
    const loss = tf.mean(tf.square(tokens === undefined ? output.embedding : output.sequence))
    forwardDone()
    return loss
  }, variables)
  value.dataSync()
  tf.dispose([value, ...gradients.filter(g => g !== null)])
}
