// A VQ-VAE of images, and a close look at its codes: `npm start`, or `npm start -- --quick`, or `-- --data ./photos`.
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { Random, random, tf } from '@vq/core'
import { VQVAE, type VQVAEOptions } from '@vq/models'
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
import { bitsPerPixel, codeCounts, perplexity, psnr, ssim, usage } from '@vq/models/evaluate'
import {
  type CodebookSnapshot,
  codebookEvolution,
  codebookProjection,
  codebookUsage,
  codeMaps,
  convergence,
  type Figure,
  imageGrid,
  type Run,
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
const save = async (name: string, figure: Promise<Figure>): Promise<void> =>
  (await figure).save(join(out, name))

// Digits in two of 65 colours that the program draws, or windows of the pictures of a folder: [size, size, 3], values 0 to 1.
const size = 24
const [count, held] = quick ? [800, 100] : [7000, 1000]
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

// --- 1. Training -------------------------------------------------------------------------------------------------
// The encoder makes 6×6 vectors of an image, each gives way to its nearest code, the decoder sees codes alone. The way from vector
// to code has no gradient; it is passed straight through: https://arxiv.org/abs/1711.00937

interface Trained {
  model: VQVAE
  history: History
  snapshots: CodebookSnapshot[]
}
const recipe = { initCodebook: 'kmeans', deadCodeThreshold: 1, revivalInterval: 10 } as const

async function trained(options: VQVAEOptions): Promise<Trained> {
  random.seed(0)
  const model = new VQVAE({ hiddenDims: [32, 32], numResidualLayers: 1, embeddingDim: 16, ...options })
  const steps = quick ? 40 : 1000
  const snapshots: CodebookSnapshot[] = []
  const trainer = new Trainer({
    steps,
    learningRate: 2e-3,
    schedule: 'cosine',
    progress: false,
    validateEvery: steps / 10,
    onStep: ({ step }) => {
      if (step === 1 || step % (steps / 20) === 0)
        snapshots.push({ step, codebook: numbers(model.quantizer.codebook()).slice() })
    },
  })
  const loader = new DataLoader(new ArrayDataset(rows, [size, size, 3]), { batchSize: 32 })
  const validation = new DataLoader(heldOut, { batchSize: 100, shuffle: false })
  const history = await trainer.fit(model, loader, { validation })
  model.eval()
  return { model, history, snapshots }
}

/** What the held-out pictures cost and look like. */
function measured(
  model: VQVAE,
): Record<'psnr' | 'ssim' | 'bits' | 'entropy' | 'perplexity' | 'usage', number> {
  const codes = model.encodeToIndices(x)
  const back = numbers(model.decodeFromIndices(codes))
  const codebookSize = model.quantizer.codebookSize
  const counts = codeCounts(codes.dataSync(), codebookSize)
  const { fixed, entropy } = bitsPerPixel({
    codes: codes.dataSync(),
    codebookSize,
    pixels: heldOut.length * size * size,
  })
  return {
    psnr: psnr(back, test),
    ssim: ssim(back, test, { shape: [heldOut.length, size, size, 3] }),
    bits: fixed,
    entropy,
    perplexity: perplexity(counts),
    usage: usage(counts),
  }
}

const main = await trained({ numEmbeddings: 128, ...recipe })
const { model } = main
await save(
  'training_curves.png',
  trainingCurves(main.history.metrics, { title: 'A VQ-VAE with 128 codes learns' }),
)
const few = 12
const shape = [few, size, size, 3]
const back = model.forward(x).reconstructed
await save(
  'reconstructions.png',
  reconstructionGrid(test.subarray(0, few * size * size * 3), numbers(tf.slice(back, 0, few)), {
    shape,
    columns: few,
    title: 'Pictures that it never saw, and what 36 codes say of them',
  }),
)

// --- 2. The codes ------------------------------------------------------------------------------------------------

const codes = model.encodeToIndices(x)
const counts = codeCounts(codes.dataSync(), 128)
const codebook = numbers(model.quantizer.codebook())
const latents = numbers(tf.slice(tf.reshape(model.encode(x), [-1, 16]), 0, 2000))
const about = { dim: 16, vectors: latents }
await save('codebook_usage.png', codebookUsage(counts, { title: 'How often each code occurs' }))
await save(
  'codebook.png',
  codebookProjection(codebook, { ...about, counts, title: 'Codes among the vectors' }),
)
const evolution = await codebookEvolution(main.snapshots, { ...about, title: '128 codes over the training' })
await evolution.save(join(out, 'codebook_evolution.gif'))
await save(
  'code_maps.png',
  codeMaps(test.subarray(0, 8 * size * size * 3), codes.dataSync().subarray(0, 8 * 36), {
    shape: [8, size, size, 3],
    grid: [6, 6],
    numEmbeddings: 128,
    codebook,
    title: 'Pictures and the maps of their codes',
  }),
)
// A picture of one code in every place, for each code, the commonest first: what the code means where it is among its like.
const byUse = Array.from(counts.keys()).sort((a, b) => (counts[b] as number) - (counts[a] as number))
const everywhere = tf.tensor3d(
  byUse.slice(0, 48).flatMap(code => Array<number>(36).fill(code)),
  [48, 6, 6],
  'int32',
)
await save(
  'codes.png',
  sampleGrid(numbers(model.decodeFromIndices(everywhere)), {
    shape: [48, size, size, 3],
    columns: 12,
    title: 'The 48 commonest codes, each in all places of a picture',
  }),
)
// Codes drawn at random, each as often as it occurs: the decoder draws what it is told, and nothing tells codes to fit each other.
const generator = new Random(2)
const stored = codes.dataSync()
const drawn = Int32Array.from({ length: few * 36 }, () => stored[generator.integer(stored.length)] as number)
const shuffled = model.decodeFromIndices(tf.tensor3d(drawn, [few, 6, 6], 'int32'))
await save(
  'random_codes.png',
  imageGrid([{ images: numbers(shuffled) }], { shape, columns: few, title: 'Codes drawn independently' }),
)

// --- 3. How many codes? ------------------------------------------------------------------------------------------

const sizes = quick ? [128] : [8, 32, 128, 512]
const quality: { series: string; value: number; result: number }[] = []
console.log('codes   bits per pixel   after entropy coding   perplexity   used     PSNR    SSIM')
for (const numEmbeddings of sizes) {
  const result = measured(numEmbeddings === 128 ? model : (await trained({ numEmbeddings, ...recipe })).model)
  quality.push({ series: '6×6 codes', value: numEmbeddings, result: result.psnr })
  console.log(
    `${String(numEmbeddings).padStart(5)} ${result.bits.toFixed(3).padStart(16)} ${result.entropy.toFixed(3).padStart(22)} ${result.perplexity.toFixed(0).padStart(12)} ${`${(100 * result.usage).toFixed(0)}%`.padStart(6)} ${result.psnr.toFixed(2).padStart(8)} ${result.ssim.toFixed(3).padStart(7)}`,
  )
}
await save(
  'codebook_sizes.png',
  sensitivity(quality, {
    parameter: 'codes',
    result: 'PSNR on held-out pictures (dB)',
    scale: 'log',
    title: 'More codes, better pictures',
  }),
)

// --- 4. What moves the codes -------------------------------------------------------------------------------------
// Moving averages of the vectors that chose a code, or the gradient of their distance to it; and where the codes start. Codes that
// nobody chooses do not move by either rule.

const rules: Record<string, VQVAEOptions> = {
  'moving averages, uniform start': { numEmbeddings: 128 },
  'gradient, uniform start': { numEmbeddings: 128, codebookUpdate: 'gradient' },
  'gradient, k-means start': { numEmbeddings: 128, codebookUpdate: 'gradient', initCodebook: 'kmeans' },
}
const runs: Record<'perplexity' | 'psnr', Run[]> = { perplexity: [], psnr: [] }
const follow = (name: string, { metrics }: History): void => {
  const points = metrics.filter(({ split }) => split === 'validation')
  const curve = (value: (of: (typeof points)[number]) => number): Run => ({
    name,
    points: points.map(of => ({ step: of.step, value: value(of) })),
  })
  runs.perplexity.push(curve(of => of.perplexity as number))
  runs.psnr.push(curve(of => -10 * Math.log10(of.reconstructionLoss as number)))
}
follow('moving averages, k-means, revival', main.history)
console.log('\n128 codes moved by                     perplexity   used     PSNR')
const table = (name: string, model: VQVAE): void => {
  const result = measured(model)
  console.log(
    `  ${name.padEnd(36)} ${result.perplexity.toFixed(0).padStart(10)} ${`${(100 * result.usage).toFixed(0)}%`.padStart(6)} ${result.psnr.toFixed(2).padStart(8)}`,
  )
}
table('moving averages, k-means, revival', model)
for (const [name, options] of Object.entries(rules)) {
  const run = await trained(options)
  follow(name, run.history)
  table(name, run.model)
}
await save(
  'perplexity.png',
  convergence(runs.perplexity, {
    metric: 'perplexity of 100 held-out pictures',
    title: 'How many codes are in use',
  }),
)
await save(
  'updates.png',
  convergence(runs.psnr, {
    metric: 'PSNR on held-out pictures (dB)',
    title: 'What it does for the pictures',
  }),
)

console.log(`\nFigures are in ${out}`)
