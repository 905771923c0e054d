// Where codes start, how gradients pass, how many codes: against the bound that theory gives for Gaussian data. `npm start`, or
// `npm start -- --quick`.
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { nearest, Random, random, tf } from '@vq/core'
import { Adam, trainStep } from '@vq/core/optim'
import { LearnedLinearDecoder, LearnedLinearEncoder } from '@vq/encoders'
import { ComposedVQVAE } from '@vq/models'
import { gaussian } from '@vq/models/data'
import { codeCounts, mse, usage } from '@vq/models/evaluate'
import { convergence, type Figure, type Run, type SensitivityPoint, sensitivity } from '@vq/models/plot'
import {
  type EstimatorName,
  FSQ,
  fsqLevels,
  GumbelQuantizer,
  type InitializerOptions,
  kmeansInitSync,
  rdGaussianInit,
  uniformInit,
  VectorQuantizer,
  waterFillingInit,
} from '@vq/quantizers'

const { values } = parseArgs({ options: { quick: { type: 'boolean' }, out: { type: 'string' } } })
const { quick, out = fileURLToPath(new URL('../out', import.meta.url)) } = values
const save = async (name: string, figure: Promise<Figure>): Promise<void> =>
  (await figure).save(join(out, name))

// X = A·Y + σ·W: 64 numbers, of which 8 directions matter, the rest is faint noise. z are the 8 principal components.
const [dim, latentDim] = [64, 8]
const n = quick ? 2000 : 10_000
const data = gaussian({ dim, latentDim, n: 2 * n })
const split = <T extends { subarray(a: number, b: number): T }>(rows: T, width: number): [T, T] => [
  rows.subarray(0, n * width),
  rows.subarray(n * width, 2 * n * width),
]
const [z, zTest] = split(data.latents, latentDim)
const [xRows, xTestRows] = split(data.samples, dim)
const sizes = quick ? [16, 64] : [16, 32, 64, 128, 256, 512]
const largest = sizes.at(-1) as number
console.log(
  `variance of a latent number ${data.latentVariance.toFixed(3)}, signal to noise ${data.snr.toFixed(0)}`,
)

// --- 1. Initializers ---------------------------------------------------------------------------------------------
// On fixed latents: the error of the codes as they start, and after training by gradient (Adam), the rule by which a code that
// nobody chooses never moves. Below the bound (reverse water-filling, Cover and Thomas, theorem 10.3.3) no code of any kind can be.

const initializers: Record<string, (options: InitializerOptions) => Float32Array> = {
  uniform: uniformInit,
  'rate-distortion': options => rdGaussianInit(z, options),
  'water-filling': options => waterFillingInit(z, options),
  'k-means': options => kmeansInitSync(z, options),
}
const errorOf = (codebook: Float32Array, rows: Float32Array): { error: number; used: number } => {
  const { indices } = nearest(rows, codebook, { dim: latentDim })
  const chosen = rows.map(
    (_, i) =>
      codebook[(indices[Math.floor(i / latentDim)] as number) * latentDim + (i % latentDim)] as number,
  )
  return { error: mse(chosen, rows), used: usage(codeCounts(indices, codebook.length / latentDim)) }
}
const bounds = (curve: (bits: number) => number, series: string): SensitivityPoint[] =>
  sizes.map(value => ({ series, value, result: curve(Math.log2(value)) }))
const theory = [
  ...bounds(bits => data.distortionBound(bits), 'bound'),
  ...bounds(bits => data.isotropicBound(bits), 'bound, were all directions alike'),
]

const before = [...theory]
const after = [...theory]
const dead: SensitivityPoint[] = []
const dynamics: Run[] = []
const rows = tf.tensor2d(z, [n, latentDim])
const seeds = quick ? [0] : [0, 1]
console.log('\ninitializer        codes   error at the start   after training   of the bound   dead codes')
for (const [series, init] of Object.entries(initializers))
  for (const numEmbeddings of sizes)
    for (const seed of seeds) {
      const generator = new Random(seed)
      const start = init({ numEmbeddings, embeddingDim: latentDim, random: generator })
      const quantizer = new VectorQuantizer({
        numEmbeddings,
        embeddingDim: latentDim,
        codebookUpdate: 'gradient',
        initCodebook: start,
      })
      const codes = (): Float32Array => quantizer.codebook().dataSync<'float32'>() as Float32Array
      const optimizer = new Adam(quantizer, { learningRate: 2e-2 })
      const steps = quick ? 50 : 500
      const points: Run['points'][number][] = []
      for (let step = 0; step <= steps; step++) {
        if (numEmbeddings === largest && seed === 0 && step % (steps / 50) === 0)
          points.push({ step, value: errorOf(codes(), zTest.subarray(0, 2000 * latentDim)).error })
        const batch = Int32Array.from({ length: 256 }, () => generator.integer(n))
        trainStep(optimizer, () => ({ loss: quantizer.forward(tf.gather(rows, batch)).loss }))
      }
      if (points.length > 0) dynamics.push({ name: series, points })
      const [first, last] = [errorOf(start, zTest), errorOf(codes(), zTest)]
      before.push({ series, value: numEmbeddings, result: first.error })
      after.push({ series, value: numEmbeddings, result: last.error })
      dead.push({ series, value: numEmbeddings, result: 100 * (1 - last.used) })
      quantizer.dispose()
      optimizer.dispose()
      if (seed === 0)
        console.log(
          `  ${series.padEnd(16)} ${String(numEmbeddings).padStart(5)} ${first.error.toFixed(3).padStart(20)} ${last.error.toFixed(3).padStart(16)} ${`${(last.error / data.distortionBound(Math.log2(numEmbeddings))).toFixed(2)}×`.padStart(14)} ${((1 - last.used) * numEmbeddings).toFixed(0).padStart(12)}`,
        )
    }
const errors = { parameter: 'codes', result: 'mean squared error per latent number', scale: 'log' } as const
await save(
  'at_the_start.png',
  sensitivity(before, { ...errors, title: 'The error of the codes as they start' }),
)
await save('after_training.png', sensitivity(after, { ...errors, title: 'The error after training' }))
await save(
  'dead_codes.png',
  sensitivity(dead, {
    ...errors,
    result: 'codes that nothing chooses (%)',
    title: 'Dead codes after training',
  }),
)
await save(
  'dynamics.png',
  convergence(dynamics, { metric: 'mean squared error per latent number', title: `${largest} codes learn` }),
)

// --- 2. Initializers × estimators × sizes ------------------------------------------------------------------------
// Now a linear encoder and decoder learn along, and the gradient must pass the codes: straight through, turned with the vector
// (https://arxiv.org/abs/2410.06424), or only along the line between vector and code. The error counts all 64 numbers; its bound
// is that of the 8 latents and the noise in the other 56 directions, which they do not see.

const x = tf.tensor2d(xRows, [n, dim])
const xTest = tf.tensor2d(xTestRows, [n, dim])
const unseen = data.eigenvalues.slice(latentDim).reduce((a, b) => a + b, 0)
const boundOf = (bits: number): number => (latentDim * data.distortionBound(bits) + unseen) / dim

async function learned(
  quantizer: VectorQuantizer | FSQ | GumbelQuantizer,
  initialize: boolean,
): Promise<number> {
  const model = new ComposedVQVAE(
    new LearnedLinearEncoder({ inputDim: [dim], embeddingDim: latentDim }),
    quantizer,
    new LearnedLinearDecoder({ inputDim: [dim], embeddingDim: latentDim }),
    { encoderDim: latentDim, decoderDim: latentDim },
  )
  if (initialize) await model.prepare(x)
  const optimizer = new Adam(model, { learningRate: 5e-3 })
  const generator = new Random(0)
  const steps = quick ? 60 : 600
  for (let step = 0; step < steps; step++) {
    const batch = Int32Array.from({ length: 256 }, () => generator.integer(n))
    trainStep(optimizer, () => model.forward(tf.gather(x, batch)))
    if (quantizer instanceof GumbelQuantizer) quantizer.temperature = Math.max(0.2, 1 - step / (0.8 * steps))
  }
  const error = tf.tidy(() => model.eval().forward(xTest).reconstructionLoss.dataSync()[0] as number)
  model.dispose()
  optimizer.dispose()
  return error
}

const few = quick ? [16, 64] : [16, 64, 256]
const starts = {
  uniform: 'uniform',
  'rate-distortion': 'rd-gaussian',
  'water-filling': 'water-filling',
  'k-means': 'kmeans',
} as const
const estimators: Record<string, EstimatorName> = {
  'straight through': 'ste',
  rotation: 'rotation',
  projection: 'projection',
}
const grid: SensitivityPoint[] = []
const byEstimator: SensitivityPoint[] = few.map(value => ({
  series: 'bound',
  value,
  result: boundOf(Math.log2(value)),
}))
console.log(`\n${'error of all 64 numbers'.padEnd(36)}${few.map(k => `${k} codes`.padStart(10)).join('')}`)
console.log(`  ${'bound'.padEnd(34)}${few.map(k => boundOf(Math.log2(k)).toFixed(4).padStart(10)).join('')}`)
for (const [series, estimator] of Object.entries(estimators))
  for (const [start, initCodebook] of Object.entries(starts)) {
    const row: number[] = []
    for (const numEmbeddings of few) {
      random.seed(0)
      const quantizer = new VectorQuantizer({
        numEmbeddings,
        embeddingDim: latentDim,
        initCodebook,
        estimator,
      })
      const error = await learned(quantizer, initCodebook !== 'uniform')
      row.push(error)
      if (start === 'k-means') byEstimator.push({ series, value: numEmbeddings, result: error })
      if (numEmbeddings === few.at(-1)) grid.push({ series, value: start, result: error })
    }
    console.log(
      `  ${`${series}, ${start}`.padEnd(34)}${row.map(error => error.toFixed(4).padStart(10)).join('')}`,
    )
  }
const all = { ...errors, result: 'mean squared error of all 64 numbers' }
await save(
  'estimators.png',
  sensitivity(byEstimator, { ...all, title: 'Estimators, k-means start, linear encoder' }),
)
await save(
  'grid.png',
  sensitivity(grid, {
    parameter: 'initializer',
    result: all.result,
    title: `Initializers and estimators, ${few.at(-1)} codes`,
  }),
)

// --- 3. Other quantizers -----------------------------------------------------------------------------------------

const methods: SensitivityPoint[] = byEstimator
  .filter(({ series }) => series === 'bound' || series === 'straight through')
  .map(point => (point.series === 'bound' ? point : { ...point, series: 'nearest code' }))
console.log('')
for (const numEmbeddings of few) {
  random.seed(0)
  const levels = fsqLevels(numEmbeddings)
  const fsq = await learned(new FSQ({ levels }), false)
  random.seed(0)
  const gumbel = await learned(new GumbelQuantizer({ numEmbeddings, embeddingDim: latentDim }), false)
  methods.push({ series: 'FSQ', value: numEmbeddings, result: fsq })
  methods.push({ series: 'Gumbel softmax', value: numEmbeddings, result: gumbel })
  console.log(
    `  ${`FSQ ${levels.join('×')}`.padEnd(24)} ${fsq.toFixed(4)}    Gumbel softmax, ${numEmbeddings} codes  ${gumbel.toFixed(4)}`,
  )
}
await save('methods.png', sensitivity(methods, { ...all, title: 'Three quantizers and the bound' }))

console.log(`\nFigures are in ${out}`)
