// Residual k-means on data of several kinds: `npm start`, or `npm start -- --quick`.
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { Random } from '@vq/core'
import { coloredDigits, gaussian } from '@vq/models/data'
import { reconstructionGrid, residualStages, sensitivity } from '@vq/models/plot'
import { RQKMeans } from '@vq/quantizers'

const { values } = parseArgs({ options: { quick: { type: 'boolean' }, out: { type: 'string' } } })
const { quick, out = fileURLToPath(new URL('../out', import.meta.url)) } = values
const n = quick ? 1500 : 10_000
const test = 1000

interface Rows {
  dim: number
  train: Float32Array
  test: Float32Array
}

const split = (rows: Float32Array, dim: number): Rows => ({
  dim,
  train: rows.subarray(0, n * dim),
  test: rows.subarray(n * dim),
})

const digits = coloredDigits({ count: n + test, size: 16 })
const images = await digits.batch(Int32Array.from({ length: n + test }, (_, i) => i))
const model = gaussian({ dim: 64, latentDim: 8, n: n + test })
const noise = new Random(3).fillNormal(new Float32Array((n + test) * 32))
const sets: Record<string, Rows> = {
  'coloured digits, 768 numbers': split(images, 16 * 16 * 3),
  'Gaussian, 8 of 64 dimensions': split(model.samples, 64),
  'independent noise, 32 numbers': split(noise, 32),
}

// --- 1. Each stage quantizes what the ones before left -------------------------------------------------------------
const relative = (mse: number, rows: Rows): number => {
  const mean = rows.test.reduce((a, b) => a + b, 0) / rows.test.length
  return mse / (rows.test.reduce((sum, v) => sum + (v - mean) ** 2, 0) / rows.test.length)
}
const left: { series: string; value: number; result: number }[] = []
console.log('64 clusters a stage                          bits   compression   variance left, stage by stage')
for (const [name, rows] of Object.entries(sets)) {
  const rq = new RQKMeans({
    nClusters: 64,
    nStages: 6,
    dim: rows.dim,
    maxIter: quick ? 8 : 25,
    randomState: 0,
  })
  await rq.fit(rows.train)
  const stages = rq.getQuantizationHierarchy(rows.test).map(({ mse }) => relative(mse, rows))
  for (const [value, result] of [1, ...stages].entries()) left.push({ series: name, value, result })
  const compression = `${rq.getCompressionRatio().toFixed(0)}×`
  console.log(
    `  ${name.padEnd(42)} ${String(6 * 6).padStart(4)} ${compression.padStart(12)}    ${stages.map(v => `${(100 * v).toFixed(1)}%`).join('  ')}`,
  )
}
await sensitivity(left, {
  parameter: 'stages',
  result: 'share of the variance left',
  title: 'What each stage of residual k-means leaves',
}).then(figure => figure.save(join(out, 'stages.png')))

// --- 2. The same on pictures ---------------------------------------------------------------------------------------
const pictures = sets['coloured digits, 768 numbers']!
const few = pictures.test.subarray(0, 8 * pictures.dim)
const rq = new RQKMeans({
  nClusters: 256,
  nStages: 4,
  dim: pictures.dim,
  maxIter: quick ? 8 : 25,
  randomState: 0,
})
await rq.fit(pictures.train)
const options = { shape: [8, 16, 16, 3] as const }
const stages = rq.getQuantizationHierarchy(few).map(({ reconstruction }) => reconstruction)
await residualStages(few, stages, { ...options, title: 'Digits from one to four codes of 8 bits' }).then(
  figure => figure.save(join(out, 'digits.png')),
)
await reconstructionGrid(few, rq.transform(few), {
  ...options,
  title: 'Digits and what 32 bits say of them',
}).then(figure => figure.save(join(out, 'reconstructions.png')))

// --- 3. How should bits be spent? ----------------------------------------------------------------------------------
// The same 24 bits as 2 codes of 12 bits, 3 of 8, 4 of 6, 6 of 4, 12 of 2: fewer stages are better and dearer.
const spread: { series: string; value: string; result: number }[] = []
for (const [name, rows] of Object.entries(sets))
  for (const [nStages, bits] of quick
    ? ([
        [3, 8],
        [6, 4],
      ] as const)
    : ([
        [2, 12],
        [3, 8],
        [4, 6],
        [6, 4],
        [12, 2],
      ] as const)) {
    if (2 ** bits > n) continue
    const rq = new RQKMeans({ nClusters: 2 ** bits, nStages, dim: rows.dim, maxIter: 10, randomState: 0 })
    await rq.fit(rows.train)
    const result = relative(rq.calculateReconstructionError(rows.test), rows)
    spread.push({ series: name, value: `${nStages} × ${bits} bits`, result })
  }
await sensitivity(spread, {
  parameter: 'stages × bits',
  result: 'share of the variance left',
  title: '24 bits, spent in different ways',
}).then(figure => figure.save(join(out, 'bits.png')))

// --- 4. Beside plain k-means ---------------------------------------------------------------------------------------
// As many bits in one large codebook describe better, but the codebook doubles with every bit, and each code needs rows.
const beside: { series: string; value: number; result: number }[] = []
console.log('\ncoloured digits          bits   numbers in codebooks     variance left')
for (const [series, nStages, sizes] of [
  ['plain k-means', 1, quick ? [4, 8] : [4, 6, 8, 10]],
  ['two stages', 2, quick ? [4, 8] : [4, 6, 8, 10, 12, 16, 20]],
  ['four stages', 4, quick ? [4, 8] : [4, 8, 12, 16, 20, 24, 32]],
] as const)
  for (const bits of sizes) {
    const nClusters = 2 ** (bits / nStages)
    const rq = new RQKMeans({ nClusters, nStages, dim: pictures.dim, maxIter: 10, randomState: 0 })
    await rq.fit(pictures.train)
    const result = relative(rq.calculateReconstructionError(pictures.test), pictures)
    beside.push({ series, value: bits, result })
    const numbers = (nStages * nClusters * pictures.dim).toLocaleString('en')
    console.log(
      `  ${series.padEnd(20)} ${String(bits).padStart(6)} ${numbers.padStart(22)} ${`${(100 * result).toFixed(1)}%`.padStart(17)}`,
    )
  }
await sensitivity(beside, {
  parameter: 'bits',
  result: 'share of the variance left',
  title: 'One codebook, or several behind one another',
}).then(figure => figure.save(join(out, 'plain.png')))

console.log(`\nstages.png, digits.png, reconstructions.png, bits.png and plain.png are in ${out}`)
