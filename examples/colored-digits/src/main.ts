// Colouring digits: one transformer that draws what a caption says, and says what a picture shows. `npm start`, or
// `npm start -- --quick`.
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { random, tf } from '@vq/core'
import {
  generateFromImage,
  generateFromText,
  generateUnconditional,
  type StageResult,
  trainImageModel,
  trainPairModel,
} from '@vq/igpt'
import { coloredDigits, namedColors } from '@vq/models/data'
import { psnr } from '@vq/models/evaluate'
import {
  convergence,
  type Figure,
  imageGrid,
  type Run,
  reconstructionGrid,
  sampleGrid,
} from '@vq/models/plot'

const { values } = parseArgs({ options: { quick: { type: 'boolean' }, out: { type: 'string' } } })
const { quick, out = fileURLToPath(new URL('../out', import.meta.url)) } = values
const save = async (name: string, figure: Promise<Figure>): Promise<void> =>
  (await figure).save(join(out, name))
random.seed(0)

// "dark brown 1 on plain white": digits in one of 65 colours on another, with their captions, drawn by the program.
const size = 16
const [n, held] = quick ? [200, 50] : [3000, 200]
const train = coloredDigits({ count: n, size })
const test = coloredDigits({ count: held, size, offset: n })
const all = Int32Array.from({ length: held }, (_, i) => i)
const pictures = await test.batch(all)
const pixels = size * size * 3

// --- 1. From pictures to tokens ----------------------------------------------------------------------------------
// A VQ-VAE with 4×4 codes of what stands where, and before these four codes of the picture as a whole: of its colours, which are the same in
// all places (`StyleVQVAE` of @vq/models).

const curve = (name: string, { trainLosses, testLosses }: StageResult): Run[] =>
  Object.entries({ training: trainLosses, 'held out': testLosses }).map(([part, losses]) => ({
    name: `${name}, ${part}`,
    points: losses.map((value, epoch) => ({ step: epoch + 1, value })),
  }))
const images = await trainImageModel(train, test, {
  epochs: quick ? 1 : 10,
  batchSize: 50,
  learningRate: 2e-3,
  schedule: 'cosine',
  model: {
    kind: 'style',
    hiddenDims: [32, 32],
    numResidualLayers: 1,
    embeddingDim: 32,
    numEmbeddings: 64,
    styleEmbeddings: 64,
    initCodebook: 'kmeans',
    deadCodeThreshold: 0.5,
    revivalInterval: 10,
  },
  progress: false,
})
const model = images.model.eval()
const x = tf.tensor4d(pictures, [held, size, size, 3])
const back = tf.tidy(() => model.forward(x).reconstructed.dataSync<'float32'>().slice()) as Float32Array
console.log(`pictures from their tokens: PSNR ${psnr(back, pictures).toFixed(2)} dB, held out`)
const few = 12
const shape = [few, size, size, 3]
await save(
  'reconstructions.png',
  reconstructionGrid(pictures.subarray(0, few * pixels), back.subarray(0, few * pixels), {
    shape,
    columns: few,
    title: 'Held-out pictures, and what their tokens decode to',
  }),
)

// --- 2. One sequence of words and picture ------------------------------------------------------------------------
// The transformer learns both orders, words first and picture first, token by token: https://arxiv.org/abs/2005.14165 for words,
// https://openai.com/index/image-gpt for pictures.

const pairs = await trainPairModel(images.model, train, test, {
  epochs: quick ? 1 : 12,
  batchSize: 50,
  learningRate: 2e-3,
  model: { dModel: 64, nHeads: 4, nLayers: 2, dropout: 0.05 },
  textWeight: 4,
  progress: false,
})
await save(
  'training_curves.png',
  convergence(curve('transformer', pairs), {
    metric: 'loss (nats a token)',
    title: 'The transformer learns, epoch by epoch',
    step: 'epoch',
  }),
)
const models = { ...pairs, images: images.model }

// --- 3. From words to pictures -----------------------------------------------------------------------------------

const asked = [
  'bright red 7 on dark blue',
  'light green 3 on dark purple',
  'dark brown 0 on light yellow',
  'bright cyan 5 on dark red',
  'plain white 2 on dark green',
  'dark blue 9 on light pink',
]
const each = 8
const drawn = generateFromText(
  models,
  asked.flatMap(caption => Array<string>(each).fill(caption)),
  { seed: 0, temperature: 0.7 },
)
await save(
  'text_conditioned_samples.png',
  imageGrid(
    asked.map((label, i) => ({
      label,
      images: drawn.values.subarray(i * each * pixels, (i + 1) * each * pixels),
    })),
    { shape: [each, size, size, 3], columns: each, title: 'What captions ask for' },
  ),
)

// Whether colours are as asked is seen without any model: the corner of a picture is background. Of the 65 colours, which is nearest?
const forTest = generateFromText(models, test.captions, { seed: 1, temperature: 0.7 })
const nearestColor = (from: number): { name: string; color: string } => {
  const distance = (rgb: readonly number[]): number =>
    rgb.reduce((sum, v, c) => sum + (v - 255 * (forTest.values[from + c] as number)) ** 2, 0)
  return namedColors.reduce((best, color) => (distance(color.rgb) < distance(best.rgb) ? color : best))
}
const share = (right: boolean[]): string =>
  `${((100 * right.filter(Boolean).length) / right.length).toFixed(0)}%`
const askedBackground = test.captions.map(caption => caption.split(' on ')[1] as string)
const got = askedBackground.map((_, i) => nearestColor(i * pixels))
console.log('\ncaption to picture: the background has')
console.log(
  `  the colour asked for (13)        ${share(got.map(({ color }, i) => askedBackground[i]?.endsWith(` ${color}`) ?? false)).padStart(5)}`,
)
console.log(
  `  colour and shade (65)            ${share(got.map(({ name }, i) => name === askedBackground[i])).padStart(5)}`,
)

// --- 4. From pictures to words -----------------------------------------------------------------------------------

const told = await generateFromImage(models, x)
const words = (caption: string): string[] => caption.split(' ') // shade colour digit on shade colour
const names = [
  'shade of the digit',
  'colour of the digit',
  'digit',
  '',
  'shade of the background',
  'colour of the background',
]
console.log('\npicture to caption, held out: words that are right')
for (const [at, name] of names.entries())
  if (name)
    console.log(
      `  ${name.padEnd(30)} ${share(told.map((caption, i) => words(caption)[at] === words(test.captions[i] as string)[at])).padStart(7)}`,
    )
const shown = 8
await save(
  'image_conditioned_samples.png',
  imageGrid(
    [0, 1, 2].map(row => ({
      images: pictures.subarray(row * shown * pixels, (row + 1) * shown * pixels),
      captions: told.slice(row * shown, (row + 1) * shown),
    })),
    {
      shape: [shown, size, size, 3],
      columns: shown,
      title: 'Held-out pictures, and what the model says of them',
    },
  ),
)

// --- 5. Neither asked for ----------------------------------------------------------------------------------------

const dreamt = generateUnconditional(models, 16, { seed: 3, temperature: 0.8 })
await save(
  'unconditional_samples.png',
  sampleGrid(dreamt.values, {
    shape: [16, size, size, 3],
    columns: 8,
    captions: dreamt.captions,
    title: 'Captions and pictures that nobody asked for',
  }),
)

console.log(`\nFigures are in ${out}`)
