// An RQ-VAE beside VQ-VAEs: several small codes for a place instead of one large. `npm start`, or `npm start -- --quick`, or
// `-- --data ./photos`.
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { random, tf } from '@vq/core'
import { RQVAE, VQVAE } from '@vq/models'
import {
  ArrayDataset,
  coloredDigits,
  DataLoader,
  type Dataset,
  imageFolder,
  randomCrops,
  splitDataset,
  subset,
} from '@vq/models/data'
import { bitsPerPixel, psnr, rateDistortion, ssim } from '@vq/models/evaluate'
import {
  convergence,
  type Figure,
  imageGrid,
  type Run,
  residualStages,
  type SensitivityPoint,
  sensitivity,
} from '@vq/models/plot'
import { Trainer } from '@vq/models/train'

const { values } = parseArgs({
  options: { quick: { type: 'boolean' }, out: { type: 'string' }, data: { type: 'string' } },
})
const { quick, out = fileURLToPath(new URL('../out', import.meta.url)) } = values
const save = async (name: string, figure: Promise<Figure>): Promise<void> =>
  (await figure).save(join(out, name))

// Digits in two of 65 colours that the program draws, or windows of the pictures of a folder: [size, size, 3], values 0 to 1.
const size = 24
const [count, held] = quick ? [400, 100] : [7000, 1000]
const all = ({ length }: { length: number }): Int32Array => Int32Array.from({ length }, (_, i) => i)
const { train, heldOut } = values.data
  ? await windows(values.data)
  : splitDataset(coloredDigits({ count, size }), { heldOut: held })

// As many of each picture as it takes, so that a few photographs will do. A fifth of the pictures is held out.
async function windows(folder: string): Promise<{ train: Dataset; heldOut: Dataset }> {
  const pictures = splitDataset(await imageFolder(folder, { size: 2 * size }), { heldOut: 0.2 })
  const cut = async (from: Dataset, length: number): Promise<Dataset> => {
    const some = subset(from, all({ length: Math.min(length, from.length) }))
    const read = new ArrayDataset(await some.batch(all(some)), some.shape)
    return subset(randomCrops(read, { size, copies: Math.ceil(length / read.length) }), all({ length }))
  }
  return { train: await cut(pictures.train, count - held), heldOut: await cut(pictures.heldOut, held) }
}

const rows = await train.batch(all(train))
const test = await heldOut.batch(all(heldOut))
const x = tf.tensor4d(test, [heldOut.length, size, size, 3])
const numbers = (x: tf.Tensor): Float32Array => x.dataSync<'float32'>() as Float32Array

// --- 1. Models with as many bits ---------------------------------------------------------------------------------
// A VQ-VAE with K codes says log2 K bits for each of its 6×6 places. An RQ-VAE with Q levels of K codes says Q·log2 K, with Q·K
// codes to learn instead of K^Q: each level quantizes what the ones before have left, https://arxiv.org/abs/2203.01941.

const architecture = { hiddenDims: [32, 32], numResidualLayers: 1, embeddingDim: 16 }
const recipe = { initCodebook: 'kmeans', deadCodeThreshold: 1, revivalInterval: 10 } as const
const options = { ...architecture, ...recipe }
const curves: Run[] = []

async function trained<M extends VQVAE | RQVAE>(name: string, make: () => M): Promise<M> {
  random.seed(0)
  const model = make()
  const steps = quick ? 20 : 1000
  const loader = new DataLoader(new ArrayDataset(rows, [size, size, 3]), { batchSize: 32 })
  const { metrics, seconds } = await new Trainer({
    steps,
    learningRate: 2e-3,
    schedule: 'cosine',
    progress: false,
    validateEvery: steps / 10,
  }).fit(model, loader, { validation: new DataLoader(heldOut, { batchSize: 100, shuffle: false }) })
  const points = metrics
    .filter(({ split }) => split === 'validation')
    .map(({ step, reconstructionLoss }) => ({ step, value: -10 * Math.log10(reconstructionLoss as number) }))
  curves.push({ name, points })
  model.eval()
  report(name, model, seconds / steps)
  return model
}

const rate: (SensitivityPoint & { bits: number; error: number })[] = []
console.log(
  `${'model'.padEnd(30)}  codes   bits per place   bits per pixel     PSNR    SSIM   ms a step   images/s encoded`,
)
function report(name: string, model: VQVAE | RQVAE, secondsPerStep: number): void {
  const begin = performance.now()
  const indices = model.encodeToIndices(x)
  const codes = indices.dataSync()
  const speed = heldOut.length / ((performance.now() - begin) / 1000)
  const back = numbers(model.decodeFromIndices(indices))
  const codebookSize = model.architecture.numEmbeddings
  const levels = model instanceof RQVAE ? model.numQuantizers : 1
  const { fixed } = bitsPerPixel({ codes, codebookSize, levels, pixels: heldOut.length * size * size })
  const quality = psnr(back, test)
  if (model instanceof VQVAE)
    rate.push({
      series: 'VQ-VAEs',
      value: Math.log2(codebookSize),
      result: quality,
      bits: fixed,
      error: 10 ** (-quality / 10),
    })
  console.log(
    `${name.padEnd(30)} ${String(codebookSize * levels).padStart(6)} ${String(levels * Math.log2(codebookSize)).padStart(16)} ${fixed.toFixed(3).padStart(16)} ${quality.toFixed(2).padStart(8)} ${ssim(
      back,
      test,
      { shape: [heldOut.length, size, size, 3] },
    )
      .toFixed(3)
      .padStart(7)} ${(1000 * secondsPerStep).toFixed(0).padStart(11)} ${speed.toFixed(0).padStart(18)}`,
  )
}

const vq: VQVAE[] = []
for (const numEmbeddings of quick ? [16] : [16, 128, 1024])
  vq.push(await trained(`VQ-VAE, ${numEmbeddings} codes`, () => new VQVAE({ ...options, numEmbeddings })))
const levelOptions = { ...options, numEmbeddings: 16, numQuantizers: 4 }
const rq = await trained('RQ-VAE, 4 levels of 16', () => new RQVAE(levelOptions))
const shared = await trained(
  'the same, one shared codebook',
  () => new RQVAE({ ...levelOptions, sharedCodebook: true }),
)
const dropped = await trained(
  'the same, with dropped levels',
  () => new RQVAE({ ...levelOptions, quantizeDropout: 0.5 }),
)
await save(
  'training.png',
  convergence(curves, { metric: 'PSNR on held-out pictures (dB)', title: 'Learning, model by model' }),
)

// --- 2. Level by level -------------------------------------------------------------------------------------------
// The first levels alone decode to a picture too. `quantizeDropout` leaves the last levels out at random in training, so that the
// decoder meets such vectors.

const left: SensitivityPoint[] = []
const uses: SensitivityPoint[] = []
console.log('\nRQ-VAE              level   residual   perplexity   bits per pixel     PSNR')
for (const [series, model] of Object.entries({
  'own codebooks': rq,
  'shared codebook': shared,
  'dropped levels': dropped,
})) {
  const { levels } = model.analyzeQuantizationLevels(x)
  left.push({ series, value: 0, result: 1 })
  for (const { level, residualRatio, perplexity, bitsPerPixel, psnr, mse } of levels) {
    left.push({ series, value: level, result: residualRatio })
    uses.push({ series, value: level, result: perplexity })
    if (model !== shared)
      rate.push({
        series: model === rq ? 'RQ-VAE, level by level' : 'RQ-VAE, dropped levels',
        value: level * Math.log2(model.architecture.numEmbeddings),
        result: psnr,
        bits: bitsPerPixel,
        error: mse,
      })
    console.log(
      `  ${series.padEnd(16)} ${String(level).padStart(6)} ${residualRatio.toFixed(3).padStart(10)} ${perplexity.toFixed(1).padStart(12)} ${bitsPerPixel.toFixed(3).padStart(16)} ${psnr.toFixed(2).padStart(8)}`,
    )
  }
}
await save(
  'residuals.png',
  sensitivity(left, {
    parameter: 'levels',
    result: 'length of what is left of a vector',
    title: 'What each level leaves, as a share of the vector',
  }),
)
await save(
  'level_usage.png',
  sensitivity(uses, {
    parameter: 'level',
    result: 'perplexity of its 16 codes',
    title: 'How evenly each level uses its codes',
  }),
)
await save(
  'rate_distortion.png',
  sensitivity(rate, {
    parameter: 'bits for each of the 36 places',
    result: 'PSNR on held-out pictures (dB)',
    scale: 'linear',
    title: 'Bits against quality',
  }),
)
const worth = rateDistortion(rate).hull.map(({ series, bits }) => `${series} at ${bits.toFixed(2)}`)
console.log(`\nOn the lower convex hull of bits and error: ${worth.join('; ')}`)

const few = 10
const shape = [few, size, size, 3]
const some = tf.slice(x, 0, few)
const originals = test.subarray(0, few * size * size * 3)
for (const [name, model, title] of [
  ['levels.png', rq, 'From one level to four, trained with four'],
  ['levels_dropped.png', dropped, 'From one level to four, levels dropped in training'],
] as const) {
  const codes = model.encodeToIndices(some)
  const stages = [1, 2, 3, 4].map(levels => numbers(model.decodeFromIndices(codes, levels)))
  await save(name, residualStages(originals, stages, { shape, columns: few, title }))
}
await save(
  'reconstructions.png',
  imageGrid(
    [
      { label: 'original', images: originals },
      ...vq.map(model => ({
        label: `VQ-VAE ${model.architecture.numEmbeddings}`,
        images: numbers(model.forward(some).reconstructed),
      })),
      { label: 'RQ-VAE 4 × 16', images: numbers(rq.forward(some).reconstructed) },
    ],
    { shape, columns: few, title: 'Pictures that they never saw, by model' },
  ),
)

// --- 3. What the levels say --------------------------------------------------------------------------------------
// The first level of one picture with the others of another.

const codes = dropped.encodeToIndices(some) // [10, 6, 6, 4]
const others = tf.reverse(codes, 0)
const mixed = [1, 2, 3].map(kept => ({
  label: `${kept} + ${4 - kept}`,
  images: numbers(
    dropped.decodeFromIndices(
      tf.concat([tf.slice(codes, 0, [few, 6, 6, kept]), tf.slice(others, [0, 0, 0, kept])], 3),
    ),
  ),
}))
await save(
  'exchanged.png',
  imageGrid(
    [
      { label: 'first levels of', images: originals },
      { label: 'others of', images: numbers(tf.reverse(some, 0)) },
      ...mixed,
    ],
    { shape, columns: few, title: 'The first levels of one picture, the others of another' },
  ),
)

console.log(`\nFigures are in ${out}`)
