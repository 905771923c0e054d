// Squeezing a segmentation network: how few bits per feature vector keep the masks as they are? `npm start`, or
// `npm start -- --quick`.
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { random, tf } from '@vq/core'
import { ArrayDataset, DataLoader } from '@vq/models/data'
import {
  convergence,
  type Figure,
  imageGrid,
  type Run,
  type SensitivityPoint,
  sensitivity,
} from '@vq/models/plot'
import { Trainer } from '@vq/models/train'
import {
  BaselineModule,
  createQuantizer,
  evaluateSegmentation,
  FeatureStage,
  type QuantizerSettings,
  ResNetSegmentationBackbone,
  SqueezeModule,
} from '@vq/segmentation'
import { drawScenes, shapeClasses } from './scenes.js'

const { values } = parseArgs({ options: { quick: { type: 'boolean' }, out: { type: 'string' } } })
const { quick, out = fileURLToPath(new URL('../out', import.meta.url)) } = values
const save = async (name: string, figure: Promise<Figure>): Promise<void> =>
  (await figure).save(join(out, name))

// --- 1. A network that segments ----------------------------------------------------------------------------------
// Pictures of discs, squares and triangles in any colours on a background of stripes; each pixel's class is known. A small residual network
// gives 8×8 vectors of 64 numbers, and a head makes a class of every pixel from these.

const size = 64
const [n, held] = quick ? [64, 32] : [1000, 200]
const classes = shapeClasses
const train = drawScenes({ count: n, size, seed: 0 })
const heldOut = drawScenes({ count: held, size, seed: 1 })
const newBackbone = (): ResNetSegmentationBackbone =>
  new ResNetSegmentationBackbone({
    numClasses: classes.length,
    headWidth: 64,
    inputDim: [size, size, 3],
    block: 'basic',
    depths: [1, 1],
    widths: [32, 64],
    stemWidth: 16,
  })
random.seed(0)
const baseline = new BaselineModule({
  backbone: newBackbone(),
  freezeBackbone: false,
  normalization: 'half',
})
const curves: Run[] = []
const batches = (data: ArrayDataset): DataLoader => new DataLoader(data, { batchSize: 16 })
const { metrics } = await new Trainer({
  steps: quick ? 20 : 900,
  learningRate: 3e-3,
  schedule: 'cosine',
  progress: false,
}).fit(baseline, batches(train))
baseline.eval()
const points = metrics.map(({ step, meanIou }) => ({ step, value: meanIou as number }))
await save(
  'training.png',
  convergence([{ name: 'network without quantizer', points }], {
    metric: 'mean IoU of a batch',
    title: 'The network learns to segment',
  }),
)
const { meanIou: unsqueezed } = await evaluateSegmentation(baseline, heldOut, { classes })

// --- 2. Squeezing it ---------------------------------------------------------------------------------------------
// The backbone stays as it is; its features are computed once. A quantizer comes between them and the head, and both learn.

async function featuresOf(data: ArrayDataset): Promise<ArrayDataset> {
  const rows: Float32Array[] = []
  let shape: number[] = []
  for (let from = 0; from < data.length; from += 50) {
    const numbers = Int32Array.from({ length: Math.min(50, data.length - from) }, (_, i) => from + i)
    const images = await data.batch(numbers)
    const features = tf.tidy(() => baseline.features(tf.tensor(images, [numbers.length, size, size, 3])))
    rows.push(features.dataSync<'float32'>().slice())
    shape = features.shape.slice(1)
    features.dispose()
  }
  const values = new Float32Array(data.length * shape.reduce((a, b) => a * b))
  for (const [i, row] of rows.entries()) values.set(row, i * (rows[0] as Float32Array).length)
  const masks = data.extras?.(Int32Array.from({ length: data.length }, (_, i) => i))
  return new ArrayDataset(values, shape, masks)
}
const trainFeatures = await featuresOf(train)
const heldFeatures = await featuresOf(heldOut)
const dim = trainFeatures.shape.at(-1) as number
const someVectors = (await trainFeatures.batch(
  Int32Array.from({ length: Math.min(n, 200) }, (_, i) => i),
)) as Float32Array

const bottleneckDim = 16
const quantizers: Record<string, QuantizerSettings[]> = {
  VQ: [4, 16, 64, 256].map(codebookSize => ({ type: 'vq', codebookSize, bottleneckDim })),
  'residual VQ': [
    { type: 'rvq', codebookSize: 4, numQuantizers: 2, bottleneckDim },
    { type: 'rvq', codebookSize: 8, numQuantizers: 2, bottleneckDim },
    { type: 'rvq', codebookSize: 16, numQuantizers: 2, bottleneckDim },
    { type: 'rvq', codebookSize: 16, numQuantizers: 4, bottleneckDim },
  ],
  FSQ: [
    [2, 2],
    [4, 4],
    [4, 4, 4],
    [4, 4, 4, 4],
  ].map(levels => ({ type: 'fsq', levels })),
  LFQ: [4, 16, 64, 256].map(codebookSize => ({ type: 'lfq', codebookSize })),
}
const quality: SensitivityPoint[] = []
const likeness: SensitivityPoint[] = []
const squeezed: { name: string; model: SqueezeModule }[] = []
console.log(
  'quantizer            bits   compression                codes used   mean IoU      CKA   kNN-Jaccard',
)
console.log(
  `  ${'none'.padEnd(16)} ${String(32 * dim).padStart(6)} ${''.padStart(39)} ${unsqueezed.toFixed(3).padStart(10)}`,
)
for (const [series, all] of Object.entries(quantizers))
  for (const settings of quick ? all.slice(1, 2) : all) {
    random.seed(0)
    const quantizer = createQuantizer(settings, dim)
    const model = new SqueezeModule({ backbone: newBackbone(), quantizer, normalization: 'half' })
    model.backbone.loadStateDict(baseline.backbone.stateDict())
    const stage = new FeatureStage(model, someVectors)
    const history = await new Trainer({
      steps: quick ? 10 : 200,
      learningRate: 1e-3,
      schedule: 'cosine',
      progress: false,
    }).fit(stage, batches(trainFeatures))
    model.eval()
    const { meanIou, codes } = await evaluateSegmentation(model, heldFeatures, {
      classes,
      fromFeatures: true,
    })
    if (codes === undefined) continue
    const { bits, compression, levels, similarity } = codes
    const rate = Math.round(10 * bits.nominal) / 10
    quality.push({ series, value: rate, result: meanIou })
    if (similarity.cka !== null) likeness.push({ series, value: rate, result: similarity.cka })
    if (all.indexOf(settings) === 1) {
      squeezed.push({ name: `${series}, ${rate} bits`, model })
      curves.push({
        name: `${series}, ${rate} bits`,
        points: history.metrics.map(({ step, meanIou }) => ({ step, value: meanIou as number })),
      })
    } else model.dispose()
    console.log(
      `  ${series.padEnd(16)} ${String(rate).padStart(6)} ${`${compression.nominal.toFixed(0)}×`.padStart(13)} ${levels
        .map(({ used, size }) => `${used}/${size}`)
        .join(' ')
        .slice(0, 26)
        .padStart(
          25,
        )} ${meanIou.toFixed(3).padStart(10)} ${(similarity.cka ?? 0).toFixed(3).padStart(8)} ${(similarity.knnJaccard ?? 0).toFixed(3).padStart(13)}`,
    )
  }
const rates = quality.map(({ value }) => value as number)
for (const value of [Math.min(...rates), Math.max(...rates)])
  quality.push({ series: `not squeezed (${32 * dim} bits)`, value, result: unsqueezed })
const axes = { parameter: 'bits per feature vector', scale: 'linear' } as const
await save(
  'rate_quality.png',
  sensitivity(quality, { ...axes, result: 'mean IoU, held out', title: 'Rate against quality' }),
)
await save(
  'similarity.png',
  sensitivity(likeness, {
    ...axes,
    result: 'linear CKA',
    title: 'How like the features squeezed features are',
  }),
)
await save(
  'squeezing.png',
  convergence(curves, { metric: 'mean IoU of a batch', title: 'Head and quantizer learn' }),
)

// --- 3. What becomes of the masks --------------------------------------------------------------------------------

const colors = [
  [0.93, 0.93, 0.93],
  [0, 0.45, 0.7],
  [0.9, 0.6, 0],
  [0, 0.62, 0.45],
]
const painted = (mask: ArrayLike<number>): Float32Array =>
  Float32Array.from(
    { length: mask.length * 3 },
    (_, i) => colors[mask[Math.floor(i / 3)] as number]?.[i % 3] as number,
  )
const few = 8
const first = Int32Array.from({ length: few }, (_, i) => i)
const pictures = (await heldOut.batch(first)) as Float32Array
const x = tf.tensor4d(pictures, [few, size, size, 3])
await save(
  'masks.png',
  imageGrid(
    [
      { label: 'image', images: pictures },
      { label: 'truth', images: painted(heldOut.extras?.(first).mask?.values as Int32Array) },
      { label: 'not squeezed', images: painted(baseline.predict(x).dataSync()) },
      ...squeezed.map(({ name, model }) => ({ label: name, images: painted(model.predict(x).dataSync()) })),
    ],
    { shape: [few, size, size, 3], columns: few, title: 'Masks of pictures that no network saw' },
  ),
)

console.log(`\nFigures are in ${out}`)
