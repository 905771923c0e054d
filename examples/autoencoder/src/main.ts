// Autoencoders, from training to what their latents know: `npm start`, or `npm start -- --quick`, or `-- --data ./mnist`.
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { Random, random, tf } from '@vq/core'
import { PCAEncoder } from '@vq/encoders'
import { AutoEncoder } from '@vq/models'
import { ArrayDataset, DataLoader, grayDigits, mnist, splitDataset } from '@vq/models/data'
import { nearestNeighborAccuracy, psnr } from '@vq/models/evaluate'
import {
  imageGrid,
  latentScatter,
  reconstructionGrid,
  sampleGrid,
  sensitivity,
  trainingCurves,
} from '@vq/models/plot'
import { type History, Trainer } from '@vq/models/train'

const { values } = parseArgs({
  options: { quick: { type: 'boolean' }, out: { type: 'string' }, data: { type: 'string' } },
})
const { quick, out = fileURLToPath(new URL('../out', import.meta.url)) } = values
const count = quick ? 1000 : 9000

// Digits that the program draws, [24, 24, 1], or MNIST from a folder, [28, 28, 1]: white on black, values 0 to 1.
const digits = values.data ? await mnist(values.data, { limit: count }) : grayDigits({ count, size: 24 })
const { train, heldOut } = splitDataset(digits, { heldOut: quick ? 200 : 1000 })
const all = ({ length }: { length: number }): Int32Array => Int32Array.from({ length }, (_, i) => i)
const [rows, test] = [await train.batch(all(train)), await heldOut.batch(all(heldOut))]
const x = tf.tensor(test, [heldOut.length, ...digits.shape])
const pixels = x.size / heldOut.length

// --- 1. Training -------------------------------------------------------------------------------------------------
// The encoder makes a few numbers of an image, the decoder an image of these. The loss is the mean squared error, and nothing
// else: all that the numbers say is what helps to draw the image again.

async function trained(latentDim: number): Promise<{ model: AutoEncoder; history: History }> {
  random.seed(0)
  const inputSize = digits.shape[0] as number
  const model = new AutoEncoder({ inChannels: 1, latentDim, hiddenDims: [16, 32], inputSize })
  const trainer = new Trainer({
    epochs: quick ? 2 : 8,
    learningRate: 3e-3,
    schedule: 'cosine',
    progress: false,
  })
  const loader = new DataLoader(new ArrayDataset(rows, digits.shape), { batchSize: 64 })
  const validation = new DataLoader(heldOut, { batchSize: 100, shuffle: false })
  const history = await trainer.fit(model, loader, { validation })
  return { model: model.eval(), history }
}

const few = 12
const shape = [few, ...digits.shape]
const images = (x: tf.Tensor): Float32Array => x.dataSync<'float32'>().slice(0, few * pixels)
const { model, history } = await trained(16)
await trainingCurves(history.metrics, { title: 'An autoencoder learns' }).then(figure =>
  figure.save(join(out, 'training_curves.png')),
)
await reconstructionGrid(images(x), images(model.forward(x).reconstructed as tf.Tensor), {
  shape,
  columns: few,
  title: `Digits of ${pixels} pixels that it never saw, and what 16 numbers say of them`,
}).then(figure => figure.save(join(out, 'reconstructions.png')))

// --- 2. How many numbers? ----------------------------------------------------------------------------------------
// Fewer numbers, more compression, less quality. Beside it principal components, the best that linear maps can do, and what an
// autoencoder without activations learns (Baldi and Hornik 1989, https://doi.org/10.1016/0893-6080(89)90014-2).

const sizes = quick ? [2, 16] : [2, 4, 8, 16, 32, 64]
const pca = new PCAEncoder({ inputDim: digits.shape, embeddingDim: Math.max(...sizes) })
await pca.fit(rows)
const quality: { series: string; value: number; result: number }[] = []
const drawn: { label: string; images: Float32Array }[] = [{ label: 'original', images: images(x) }]
const models = new Map<number, AutoEncoder>([[16, model]])
console.log('numbers   compression   PSNR of the autoencoder   of principal components')
for (const latentDim of sizes) {
  const model = models.get(latentDim) ?? (await trained(latentDim)).model
  models.set(latentDim, model)
  const learned = model.calculateReconstructionError(x).psnr
  const kept = tf.slice(pca.forward(x).embedding, [0, 0], [-1, latentDim])
  const linear = psnr(
    pca
      .decode(
        tf.pad(kept, [
          [0, 0],
          [0, pca.embeddingDim - latentDim],
        ]),
      )
      .dataSync(),
    test,
  )
  quality.push({ series: 'autoencoder', value: latentDim, result: learned })
  quality.push({ series: 'principal components', value: latentDim, result: linear })
  drawn.push({ label: `${latentDim} numbers`, images: images(model.forward(x).reconstructed) })
  console.log(
    `${String(latentDim).padStart(7)} ${`${(pixels / latentDim).toFixed(0)}×`.padStart(13)} ${learned.toFixed(2).padStart(22)} dB ${linear.toFixed(2).padStart(21)} dB`,
  )
}
await sensitivity(quality, {
  parameter: 'numbers for an image',
  result: 'PSNR on held-out digits (dB)',
  scale: 'log',
  title: 'Compression against quality',
}).then(figure => figure.save(join(out, 'latent_sizes.png')))
await imageGrid(drawn, { shape, columns: few, title: 'From few numbers to many' }).then(figure =>
  figure.save(join(out, 'sizes.png')),
)

// --- 3. The latent space -----------------------------------------------------------------------------------------
// Nobody told the autoencoder what the digits mean. How near do those of one class lie, in pixels and in latents?

const labels = heldOut.labels as readonly string[]
const plane = models.get(2) as AutoEncoder
await latentScatter(plane.encode(x).dataSync<'float32'>(), {
  dim: 2,
  labels,
  title: 'Digits in a latent space of two numbers',
}).then(figure => figure.save(join(out, 'latent_space.png')))
const latents = model.encode(x).dataSync<'float32'>()
await latentScatter(latents, {
  dim: 16,
  labels,
  title: 'Digits in a latent space of 16 numbers, seen from its principal components',
}).then(figure => figure.save(join(out, 'latent_space_16.png')))

const half = heldOut.length / 2
const classes = labels.map(Number)
const neighbours = (features: Float32Array, dim: number): number =>
  nearestNeighborAccuracy(
    { features: features.subarray(0, half * dim), dim, labels: classes.slice(0, half) },
    { features: features.subarray(half * dim), dim, labels: classes.slice(half) },
    { k: 5 },
  )
console.log('\nThe class of a held-out digit, told by its 5 nearest neighbours among 500 others:')
console.log(`  by pixels          ${(100 * neighbours(test, pixels)).toFixed(1)}%`)
for (const [latentDim, model] of [...models].sort(([a], [b]) => a - b))
  console.log(
    `  by ${String(latentDim).padStart(2)} numbers      ${(100 * neighbours(model.encode(x).dataSync<'float32'>(), latentDim)).toFixed(1)}%`,
  )

// --- 4. Between two images ---------------------------------------------------------------------------------------
// Half-way between two images as pixels lie both images, faintly. Half-way between their latents lies, where it goes well, one image.

const [steps, pairs] = [9, 4]
const ways: { label: string; images: Float32Array }[] = []
for (let pair = 0; pair < pairs; pair++) {
  const [a, b] = [tf.squeeze(tf.slice(x, 2 * pair, 1), [0]), tf.squeeze(tf.slice(x, 2 * pair + 1, 1), [0])]
  const blend = tf.stack(
    Array.from({ length: steps }, (_, i) =>
      tf.add(tf.mul(a, 1 - i / (steps - 1)), tf.mul(b, i / (steps - 1))),
    ),
  )
  ways.push({ label: 'pixels', images: blend.dataSync<'float32'>() as Float32Array })
  ways.push({
    label: 'latents',
    images: model.interpolateInLatentSpace(a, b, steps).dataSync<'float32'>() as Float32Array,
  })
}
await imageGrid(ways, {
  shape: [steps, ...digits.shape],
  columns: steps,
  title: 'From one digit to another, by pixels and by latents',
}).then(figure => figure.save(join(out, 'interpolation.png')))

// --- 5. Latents that belong to no image --------------------------------------------------------------------------
// Nothing in the loss says what lies between the latents of images. Drawn from a normal distribution that has the mean and the
// deviation of each, most decode to nothing in particular: what variational autoencoders are for.

const { mean, variance } = tf.moments(model.encode(x), 0)
const noise = tf.tensor2d(new Random(1).fillNormal(new Float32Array(2 * few * 16)), [2 * few, 16])
const fromNowhere = model.decode(tf.add(mean, tf.mul(noise, tf.sqrt(variance))))
await sampleGrid(fromNowhere.dataSync<'float32'>(), {
  shape: [2 * few, ...digits.shape],
  columns: few,
  title: 'What the decoder makes of random latents',
}).then(figure => figure.save(join(out, 'random_latents.png')))

console.log(`\nFigures are in ${out}`)
