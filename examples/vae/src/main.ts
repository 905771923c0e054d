// Variational autoencoders, from the reparameterization trick to a map of all digits: `npm start`, or `npm start -- --quick`, or
// `-- --data ./mnist`.
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { Random, random, tf } from '@vq/core'
import { AutoEncoder, VAE, type VAEOptions } from '@vq/models'
import { ArrayDataset, DataLoader, grayDigits, mnist, splitDataset } from '@vq/models/data'
import {
  type Figure,
  type ImageRow,
  imageGrid,
  latentScatter,
  sampleGrid,
  sensitivity,
  trainingCurves,
  traversalGrid,
} from '@vq/models/plot'
import { type History, type Trainable, Trainer } from '@vq/models/train'

const { values } = parseArgs({
  options: { quick: { type: 'boolean' }, out: { type: 'string' }, data: { type: 'string' } },
})
const { quick, out = fileURLToPath(new URL('../out', import.meta.url)) } = values
const save = async (name: string, figure: Promise<Figure>): Promise<void> =>
  (await figure).save(join(out, name))
const count = quick ? 1000 : 9000

// Digits that the program draws, [24, 24, 1], or MNIST from a folder, [28, 28, 1]: white on black, values 0 to 1.
const digits = values.data ? await mnist(values.data, { limit: count }) : grayDigits({ count, size: 24 })
const { train, heldOut } = splitDataset(digits, { heldOut: quick ? 200 : 1000 })
const all = ({ length }: { length: number }): Int32Array => Int32Array.from({ length }, (_, i) => i)
const rows = await train.batch(all(train))
const x = tf.tensor(await heldOut.batch(all(heldOut)), [heldOut.length, ...digits.shape])
const pixels = x.size / heldOut.length
const numbers = (x: tf.Tensor): Float32Array => x.dataSync<'float32'>() as Float32Array

async function fit(model: Trainable): Promise<History> {
  const trainer = new Trainer({
    epochs: quick ? 2 : 8,
    learningRate: 3e-3,
    schedule: 'cosine',
    progress: false,
  })
  const loader = new DataLoader(new ArrayDataset(rows, digits.shape), { batchSize: 64 })
  const history = await trainer.fit(model, loader, {
    validation: new DataLoader(heldOut, { batchSize: 100, shuffle: false }),
  })
  model.eval()
  return history
}
const architecture = { inChannels: 1, hiddenDims: [16, 32], inputSize: digits.shape[0] as number }
function newVAE(options: VAEOptions): VAE {
  random.seed(0)
  return new VAE({ ...architecture, likelihood: 'bernoulli', ...options })
}

// --- 1. Training -------------------------------------------------------------------------------------------------
// The encoder gives a normal distribution of each latent, the decoder sees draws of them. The loss is what the image costs given
// the draw, plus KL(q(z|x) ‖ N(0, I)), what the draw costs: together at least −log p(x), in nats. https://arxiv.org/abs/1312.6114

const latentDim = 10
const vae = newVAE({ latentDim })
const history = await fit(vae)
await save('training_curves.png', trainingCurves(history.metrics, { title: 'A VAE learns (loss in nats)' }))

// --- 2. The reparameterization trick -----------------------------------------------------------------------------
// z = μ + σ·ε: the chance is in ε, which nothing need be learned of, so gradients pass through z to μ and σ.

const few = 6
const draws = 9
const one = tf.slice(x, 0, few) // [6, H, W, 1]
const { mu, logvar } = vae.encode(one)
const seen = [one, vae.decode(mu)]
for (let seed = 1; seed <= draws; seed++) seen.push(vae.decode(vae.reparameterize(mu, logvar, { seed })))
await save(
  'draws.png',
  imageGrid(
    Array.from({ length: few }, (_, i) => ({
      images: numbers(tf.concat(seen.map(images => tf.slice(images, i, 1)))),
    })),
    {
      shape: [seen.length, ...digits.shape],
      columns: seen.length,
      columnLabels: ['image', 'mean', ...Array.from({ length: draws }, (_, i) => `draw ${i + 1}`)],
      title: 'One image, and what draws from its distribution decode to',
    },
  ),
)

// --- 3. Beside an autoencoder ------------------------------------------------------------------------------------
// The same networks without the distribution, trained on the squared error.

random.seed(0)
const autoencoder = new AutoEncoder({ ...architecture, latentDim })
await fit(autoencoder)
const columns = 12
const noise = tf.tensor2d(new Random(1).fillNormal(new Float32Array(2 * columns * latentDim)), [
  2 * columns,
  latentDim,
])
const spread = tf.moments(autoencoder.encode(x), 0)
const matched = tf.add(spread.mean, tf.mul(noise, tf.sqrt(spread.variance)))
const shape = [2 * columns, ...digits.shape]
await save(
  'samples.png',
  imageGrid(
    [
      { label: 'autoencoder', images: numbers(autoencoder.decode(matched)) },
      { label: 'VAE', images: numbers(vae.decode(noise)) },
    ],
    { shape, columns, title: 'Random latents, decoded' },
  ),
)
const interpolations: ImageRow[] = []
const steps = 9
for (let pair = 0; pair < 3; pair++) {
  const [a, b] = [2 * pair, 2 * pair + 1].map(i => tf.squeeze(tf.slice(x, i, 1), [0])) as [
    tf.Tensor,
    tf.Tensor,
  ]
  interpolations.push(
    { label: 'autoencoder', images: numbers(autoencoder.interpolateInLatentSpace(a, b, steps)) },
    { label: 'VAE', images: numbers(vae.interpolate(a, b, steps)) },
  )
}
await save(
  'interpolation.png',
  imageGrid(interpolations, {
    shape: [steps, ...digits.shape],
    columns: steps,
    title: 'From one digit to another',
  }),
)
console.log(`${latentDim} latents                    PSNR on held-out digits`)
for (const [name, model] of Object.entries({ autoencoder, VAE: vae }))
  console.log(`  ${name.padEnd(24)} ${model.calculateReconstructionError(x).psnr.toFixed(2).padStart(12)} dB`)

// --- 4. How much may the latents say? ----------------------------------------------------------------------------
// β weighs the KL term (β-VAE, https://openreview.net/forum?id=Sy2fzU9gl). A latent that says less than 0.01 nats is switched off.

const terms: { series: string; value: number; result: number }[] = []
const samples: ImageRow[] = []
const copies: ImageRow[] = [{ label: 'held out', images: numbers(tf.slice(x, 0, columns)) }]
const models = new Map<number, VAE>()
console.log('\n   β   reconstruction        KL      ELBO   latents in use')
for (const beta of quick ? [1, 8] : [0.25, 1, 4, 16]) {
  const model = beta === 1 ? vae : newVAE({ latentDim, beta })
  if (model !== vae) await fit(model)
  models.set(beta, model)
  const { elbo, logLikelihood, kl } = model.elbo(x, { samples: 4, seed: 0 })
  const { mu, logvar } = model.encode(x)
  // KL of each latent, mean over images: ½(μ² + σ² − log σ² − 1)
  const each = numbers(
    tf.mul(0.5, tf.mean(tf.sub(tf.add(tf.square(mu), tf.exp(logvar)), tf.add(logvar, 1)), 0)),
  )
  const inUse = each.filter(nats => nats > 0.01).length
  terms.push({ series: 'reconstruction', value: beta, result: -logLikelihood })
  terms.push({ series: 'KL', value: beta, result: kl })
  terms.push({ series: 'both: −ELBO', value: beta, result: -elbo })
  samples.push({ label: `β = ${beta}`, images: numbers(model.sample(columns, { seed: 2 })) })
  copies.push({
    label: `β = ${beta}`,
    images: numbers(model.forward(tf.slice(x, 0, columns)).reconstructed),
  })
  console.log(
    `${String(beta).padStart(4)} ${(-logLikelihood).toFixed(1).padStart(16)} ${kl.toFixed(1).padStart(9)} ${elbo.toFixed(1).padStart(9)} ${String(inUse).padStart(16)}`,
  )
}
await save(
  'beta.png',
  sensitivity(terms, {
    parameter: 'β',
    result: 'nats per image',
    scale: 'log',
    title: 'What β trades for what',
  }),
)
const row = { shape: [columns, ...digits.shape], columns }
await save('beta_samples.png', imageGrid(samples, { ...row, title: 'Samples, by β' }))
await save('beta_reconstructions.png', imageGrid(copies, { ...row, title: 'Held-out digits, by β' }))

// --- 5. What each latent does ------------------------------------------------------------------------------------
// With β above 1 few latents are used, and each for something of its own: slant, width, which digit. Those that say most first.

const strong = models.get(quick ? 8 : 4) as VAE
const posterior = strong.encode(x)
const says = numbers(tf.moments(posterior.mu, 0).variance)
const dimensions = Array.from(says.keys())
  .sort((a, b) => (says[b] as number) - (says[a] as number))
  .slice(0, 6)
const values9 = Array.from({ length: steps }, (_, i) => -3 + (6 * i) / (steps - 1))
const traversal = strong.traverseLatents(tf.squeeze(tf.slice(x, 0, 1), [0]), { dimensions, numSteps: steps })
await save(
  'traversal.png',
  traversalGrid(numbers(traversal), {
    shape: traversal.shape,
    values: values9,
    dimensions,
    title: `One latent moved at a time, β = ${strong.config.beta}`,
  }),
)

// --- 6. All digits on one map ------------------------------------------------------------------------------------

const map = newVAE({ latentDim: 2 })
await fit(map)
await save(
  'latent_space.png',
  latentScatter(numbers(map.encode(x).mu), {
    dim: 2,
    labels: heldOut.labels as readonly string[],
    title: 'Means of held-out digits, two latents',
  }),
)
const edge = quick ? 8 : 16
const grid = Array.from({ length: edge * edge }, (_, i) => [
  -2.5 + (5 * (i % edge)) / (edge - 1),
  2.5 - (5 * Math.floor(i / edge)) / (edge - 1),
])
await save(
  'manifold.png',
  sampleGrid(numbers(map.decode(tf.tensor2d(grid))), {
    shape: [edge * edge, ...digits.shape],
    columns: edge,
    title: 'What lies where: both latents from −2.5 to 2.5',
  }),
)

console.log(`\nFigures are in ${out}; ${pixels} pixels an image`)
