// Vector quantization on points of the plane, where everything can be seen: `npm start`, or `npm start -- --quick`.
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { Random, tf } from '@vq/core'
import { checkerboard, moons, pinwheel } from '@vq/models/data'
import { codebookEvolution, convergence, sensitivity, voronoiRegions } from '@vq/models/plot'
import { VectorQuantizer, type VectorQuantizerOptions } from '@vq/quantizers'

const { values } = parseArgs({ options: { quick: { type: 'boolean' }, out: { type: 'string' } } })
const { quick, out = fileURLToPath(new URL('../out', import.meta.url)) } = values
const n = quick ? 600 : 3000
const batchSize = 128

// --- 1. A codebook learns -----------------------------------------------------------------------------------------
// Codes start in a heap near the middle. Each step moves every code a little towards the mean of the points that chose it:
// the exponential moving averages of VQ-VAE, https://arxiv.org/abs/1711.00937, appendix A.1.

interface Trained {
  /** [K, 2] after each tenth of the training. */
  snapshots: { step: number; codebook: Float32Array }[]
  /** Mean squared error per coordinate over all points. */
  errors: { step: number; value: number }[]
  counts: Int32Array
  perplexity: number
}

async function train(
  points: Float32Array,
  steps: number,
  options: Omit<VectorQuantizerOptions, 'embeddingDim'>,
): Promise<Trained> {
  const random = new Random(0)
  const quantizer = new VectorQuantizer({ embeddingDim: 2, decay: 0.9, random, ...options })
  const all = tf.tensor2d(points, [points.length / 2, 2])
  if (options.initCodebook === 'kmeans') await quantizer.initialize(all)
  const trained: Trained = { snapshots: [], errors: [], counts: new Int32Array(0), perplexity: 0 }

  const look = (step: number): void => {
    quantizer.eval()
    const { quantized, indices, perplexity } = quantizer.forward(all)
    trained.snapshots.push({ step, codebook: Float32Array.from(quantizer.codebook().dataSync()) })
    trained.errors.push({ step, value: tf.losses.meanSquaredError(all, quantized).dataSync()[0] as number })
    trained.counts = new Int32Array(quantizer.codebookSize)
    for (const code of indices.dataSync()) trained.counts[code]++
    trained.perplexity = perplexity.dataSync()[0] as number
    quantizer.train()
  }

  for (let step = 0; step <= steps; step++) {
    tf.tidy(() => {
      if (step % Math.max(1, Math.floor(steps / (quick ? 10 : 40))) === 0 || step === steps) look(step)
      const rows = Int32Array.from({ length: batchSize }, () => random.integer(points.length / 2))
      quantizer.forward(tf.gather(all, rows)) // in training mode each call moves the codes
    })
  }
  quantizer.dispose()
  all.dispose()
  return trained
}

const steps = quick ? 40 : 400
const { points } = pinwheel({ n, seed: 1 })
const learned = await train(points, steps, { numEmbeddings: 24, deadCodeThreshold: 0.5, revivalInterval: 20 })
const evolution = await codebookEvolution(learned.snapshots, {
  dim: 2,
  vectors: points,
  title: '24 codes find their places',
})
await evolution.save(join(out, 'evolution.gif'))
await voronoiRegions(learned.snapshots.at(-1)!.codebook, {
  points,
  counts: learned.counts,
  title: 'Every point belongs to its nearest code',
}).then(figure => figure.save(join(out, 'regions.png')))

// --- 2. How many codes? -------------------------------------------------------------------------------------------
// A code costs log2 K bits. In the plane each further bit halves the area of a region, and with it the squared error: 3 dB.

const varianceOf = (points: Float32Array): number => {
  const mean = [0, 1].map(
    axis => points.reduce((sum, v, i) => sum + (i % 2 === axis ? v : 0), 0) / (points.length / 2),
  )
  return points.reduce((sum, v, i) => sum + (v - (mean[i % 2] as number)) ** 2, 0) / points.length
}

const sizes = quick ? [4, 16, 64] : [2, 4, 8, 16, 32, 64, 128]
const shapes = { moons: moons({ n, noise: 0.05 }), pinwheel: { points }, checkerboard: checkerboard({ n }) }
const results: { series: string; value: number; result: number }[] = []
for (const [series, { points }] of Object.entries(shapes))
  for (const numEmbeddings of sizes) {
    const { errors } = await train(points, steps, { numEmbeddings, initCodebook: 'kmeans' })
    const result = 10 * Math.log10(varianceOf(points) / errors.at(-1)!.value)
    results.push({ series, value: numEmbeddings, result })
  }
await sensitivity(results, {
  parameter: 'codes',
  result: 'signal to noise (dB)',
  scale: 'log',
  title: 'Every doubling of the codes gains 3 dB',
}).then(figure => figure.save(join(out, 'codebook_size.png')))

// --- 3. Codes that nobody chooses ---------------------------------------------------------------------------------
// Codes start in a heap near 0. Where the points lie elsewhere a few codes of the heap's edge win them all, and the others are
// never chosen, so they never move. Two cures: start at k-means' centroids, or put dead codes onto points.

const elsewhere = shapes.moons.points.map(v => v + 4)
const cures: [string, Omit<VectorQuantizerOptions, 'embeddingDim'>][] = [
  ['as they start', { numEmbeddings: 64 }],
  ['revived', { numEmbeddings: 64, deadCodeThreshold: 0.5, revivalInterval: 20 }],
  ['k-means start', { numEmbeddings: 64, initCodebook: 'kmeans' }],
]
const runs: { name: string; points: Trained['errors'] }[] = []
console.log('64 codes on moons          codes used   perplexity   mean squared error')
for (const [name, options] of cures) {
  const { errors, counts, perplexity } = await train(elsewhere, steps, { decay: 0.99, ...options })
  runs.push({ name, points: errors })
  const used = counts.filter(count => count > 0).length
  console.log(
    `  ${name.padEnd(24)} ${String(used).padStart(10)}   ${perplexity.toFixed(1).padStart(10)}   ${errors.at(-1)!.value.toExponential(2).padStart(18)}`,
  )
}
await convergence(runs, {
  metric: 'mean squared error',
  scale: 'log',
  title: 'What becomes of codes that start badly',
}).then(figure => figure.save(join(out, 'dead_codes.png')))

console.log(`\nevolution.gif, regions.png, codebook_size.png and dead_codes.png are in ${out}`)
