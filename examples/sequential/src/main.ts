// Quantizers as layers of plain TensorFlow.js models: `npm start`, or `npm start -- --quick`.
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import * as tfl from '@tensorflow/tfjs-layers'
import { random, tf } from '@vq/core'
import { grayDigits } from '@vq/models/data'
import { psnr } from '@vq/models/evaluate'
import {
  convergence,
  type Run,
  reconstructionGrid,
  type SensitivityPoint,
  sensitivity,
} from '@vq/models/plot'
import { ResidualVQLayer, VectorQuantizerLayer } from '@vq/quantizers/layers'

const { values } = parseArgs({ options: { quick: { type: 'boolean' }, out: { type: 'string' } } })
const { quick, out = fileURLToPath(new URL('../out', import.meta.url)) } = values
random.seed(0)

// Digits that the program draws, [16, 16, 1], in training and held out.
const size = 16
const [n, held] = quick ? [500, 100] : [4000, 1000]
const digits = grayDigits({ count: n + held, size })
const pixels = digits.batch(Int32Array.from({ length: n + held }, (_, i) => i)) as Float32Array
const images = tf.tensor4d(pixels, [n + held, size, size, 1])
const [x, xTest] = tf.split(images, [n, held]) as [tf.Tensor4D, tf.Tensor4D]
const classes = tf.oneHot(tf.tensor1d(digits.labelIds, 'int32'), 10)
const [y, yTest] = tf.split(classes, [n, held]) as [tf.Tensor, tf.Tensor]

// --- 1. An autoencoder with a codebook in the middle -------------------------------------------------------------
// Layers of TensorFlow.js on both sides; the quantizer is one more layer. It adds its own loss, and its codebook moves by moving averages,
// while `fit` runs.

const seeded = (seed: number) => ({
  kernelInitializer: tfl.initializers.glorotUniform({ seed }),
})
const strided = { kernelSize: 4, strides: 2, padding: 'same', activation: 'relu' } as const
const codes = new VectorQuantizerLayer({
  numEmbeddings: 64,
  embeddingDim: 8,
  initCodebook: 'kmeans',
  deadCodeThreshold: 0.5,
  revivalInterval: 10,
  name: 'codes',
})
const autoencoder = tfl.sequential({
  layers: [
    tfl.layers.conv2d({ filters: 16, inputShape: [size, size, 1], ...strided, ...seeded(1) }),
    tfl.layers.conv2d({ filters: 32, ...strided, ...seeded(2) }),
    tfl.layers.conv2d({ filters: 8, kernelSize: 1, ...seeded(3) }), // [4, 4, 8]
    codes, // a code for each of the 16 places
    tfl.layers.conv2dTranspose({ filters: 32, ...strided, ...seeded(4) }),
    tfl.layers.conv2dTranspose({ filters: 16, ...strided, ...seeded(5) }),
    tfl.layers.conv2d({ filters: 1, kernelSize: 3, padding: 'same', activation: 'sigmoid', ...seeded(6) }),
  ],
})
autoencoder.compile({
  optimizer: tf.train.adam(2e-3),
  loss: 'binaryCrossentropy',
  metrics: [codes.metric('perplexity')],
})
const epochs = quick ? 2 : 12
// `fit` would shuffle by Math.random: without, a run gives the same figures again. The digits come in random order as it is.
const shuffle = false
const { history } = await autoencoder.fit(x, x, {
  epochs,
  shuffle,
  batchSize: 50,
  validationData: [xTest, xTest],
  verbose: 0,
})
const curve = (name: string, values: unknown): Run => ({
  name,
  points: (values as number[]).map((value, i) => ({ step: ((i + 1) * n) / 50, value })),
})
await convergence([curve('training', history.loss), curve('held out', history.val_loss)], {
  metric: 'loss (nats a pixel)',
  title: 'fit() of a model with a codebook',
}).then(figure => figure.save(join(out, 'training.png')))
await convergence([curve('perplexity', history.codes_perplexity)], {
  metric: 'codes in use, by perplexity',
  title: 'Of 64 codes, in a batch of 50 images',
}).then(figure => figure.save(join(out, 'perplexity.png')))

const back = autoencoder.predict(xTest) as tf.Tensor
const few = 12
const some = (x: tf.Tensor): Float32Array => x.dataSync<'float32'>().slice(0, few * size * size)
await reconstructionGrid(some(xTest), some(back), {
  shape: [few, size, size, 1],
  columns: few,
  title: 'Held-out digits, and what 16 codes of 6 bits say of them',
}).then(figure => figure.save(join(out, 'reconstructions.png')))
console.log(
  `autoencoder: PSNR ${psnr(back.dataSync(), xTest.dataSync()).toFixed(2)} dB on held-out digits, ${codes.quantizer.usage().used} of 64 codes used`,
)

// What is saved and loaded gives the same codes: the codebook and its averages are weights of the layer.
let saved: tf.io.ModelArtifacts | undefined
await autoencoder.save(
  tf.io.withSaveHandler(async artifacts => {
    saved = artifacts
    return { modelArtifactsInfo: tf.io.getModelArtifactsInfoForJSON(artifacts) }
  }),
)
const again = await tfl.loadLayersModel(tf.io.fromMemory(saved as tf.io.ModelArtifacts))
const difference = tf.max(tf.abs(tf.sub(back, again.predict(xTest) as tf.Tensor))).dataSync()[0]
console.log(`saved and loaded: largest difference ${difference}`)

// --- 2. A classifier through a few bits --------------------------------------------------------------------------
// How many bits of features does a class need? Ten classes are 3.3 bits; features that were told to be few bits come near.

const points: SensitivityPoint[] = []
const noQuantizer = 0
console.log('\nclassifier         bits   held-out accuracy')
for (const levels of quick ? [noQuantizer, 2] : [noQuantizer, 1, 2, 3, 4]) {
  random.seed(0)
  const features = [
    tfl.layers.conv2d({ filters: 16, inputShape: [size, size, 1], ...strided, ...seeded(1) }),
    tfl.layers.conv2d({ filters: 32, ...strided, ...seeded(2) }),
    tfl.layers.flatten(),
    tfl.layers.dense({ units: 16, ...seeded(3) }),
  ]
  const quantizer =
    levels === noQuantizer
      ? []
      : [
          new ResidualVQLayer({
            numEmbeddings: 4,
            embeddingDim: 16,
            numQuantizers: levels,
            initCodebook: 'kmeans',
            deadCodeThreshold: 0.5,
            revivalInterval: 10,
          }),
        ]
  const classifier = tfl.sequential({
    layers: [...features, ...quantizer, tfl.layers.dense({ units: 10, activation: 'softmax', ...seeded(4) })],
  })
  classifier.compile({
    optimizer: tf.train.adam(3e-3),
    loss: 'categoricalCrossentropy',
    metrics: ['accuracy'],
  })
  await classifier.fit(x, y, { epochs, shuffle, batchSize: 50, verbose: 0 })
  const [, accuracy] = classifier.evaluate(xTest, yTest) as tf.Scalar[]
  const share = 100 * (accuracy?.dataSync()[0] as number)
  const bits = 2 * levels
  if (levels !== noQuantizer) points.push({ series: 'levels of 4 codes', value: bits, result: share })
  else
    for (const bits of quick ? [4] : [2, 8])
      points.push({ series: '16 numbers, not quantized', value: bits, result: share })
  console.log(
    `  ${(levels === noQuantizer ? '16 numbers' : `${levels} level${levels > 1 ? 's' : ''} of 4`).padEnd(14)} ${String(levels === noQuantizer ? 16 * 32 : bits).padStart(6)} ${`${share.toFixed(1)}%`.padStart(18)}`,
  )
}
await sensitivity(points, {
  parameter: 'bits between the features and the class',
  result: 'held-out accuracy (%)',
  scale: 'linear',
  title: 'How many bits does it take to tell ten digits apart?',
}).then(figure => figure.save(join(out, 'bits.png')))

console.log(`\nFigures are in ${out}`)
