// Near duplicates and search in a folder of photographs, by semantic IDs: `npm start`, or `npm start -- --quick`, or
// `-- --data ./photos`.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { tf } from '@vq/core'
import { imageFolder } from '@vq/models/data'
import { type Figure, type ImageRow, imageGrid, type SensitivityPoint, sensitivity } from '@vq/models/plot'
import { CodeIndex, VQPipeline } from '@vq/pipeline'
import { drawPhotographs } from './photographs.js'

const { values } = parseArgs({
  options: { quick: { type: 'boolean' }, out: { type: 'string' }, data: { type: 'string' } },
})
const { quick, out = fileURLToPath(new URL('../out', import.meta.url)) } = values
const save = async (name: string, figure: Promise<Figure>): Promise<void> =>
  (await figure).save(join(out, name))

// --- 1. A folder -------------------------------------------------------------------------------------------------
// Without one of yours the program draws landscapes and saves copies of some of them: cropped, brighter, darker, as poor JPEGs. Copies
// of one picture have names with the same beginning, by which the results are judged.

const folder = values.data ?? (await mkdtemp(join(tmpdir(), 'photographs-')))
if (!values.data)
  await drawPhotographs(folder, quick ? { scenes: 60, copied: 20 } : { scenes: 500, copied: 100 })
const [edge, shown] = [32, 64]
const photographs = await imageFolder(folder, { size: edge })
const thumbnails = await imageFolder(folder, { size: shown })
const { ids, length: n } = photographs
const all = Int32Array.from({ length: n }, (_, i) => i)
const images = tf.tensor4d(await photographs.batch(all), [n, edge, edge, 3])
const pictures = await thumbnails.batch(all)
if (!values.data) await rm(folder, { recursive: true })

// --- 2. From pictures to IDs -------------------------------------------------------------------------------------
// An encoder learns from the folder itself, without labels: two random views of a picture (cut, mirrored, recoloured) are to be alike and
// unlike other pictures' (SimCLR, https://arxiv.org/abs/2002.05709). Residual k-means makes six codes of 16 of each embedding: 24 bits.
// Of few pictures the codes are fewer, else each picture would have a first code of its own.

const levels = 6
const bits = Math.max(1, Math.min(4, Math.floor(Math.log2(n / 4))))
const pipeline = await VQPipeline.create({
  modality: 'image',
  encoderType: 'cnn',
  objective: 'contrastive',
  vqMethod: 'rq_kmeans',
  inputDim: [edge, edge, 3],
  embeddingDim: 24,
  numEmbeddings: 2 ** bits,
  encoderConfig: { hiddenDims: [16, 32, 64, 128] },
  vqConfig: { nStages: levels, beamSize: 8 },
  learningRate: 3e-3,
  batchSize: Math.min(n, 150),
  training: { epochs: quick ? 4 : 40, heldOut: 0, temperature: 0.2, projectionDim: 0, cropScale: [0.5, 1] },
})
await pipeline.fit(images, { progress: false })
const ofCodes = await pipeline.encodeToSemanticIds(images)
const { codes } = ofCodes
const index = new CodeIndex(codes, levels, ids)
const dim = pipeline.dim
const embeddings = (await pipeline.embed(images)).dataSync<'float32'>() as Float32Array
const decoded = (
  await pipeline.decodeFromSemanticIds(ofCodes, { vectorsOnly: true })
).embeddings.dataSync<'float32'>()
console.log(
  `${n} pictures; an embedding is ${dim * 4} bytes, an ID ${(levels * bits) / 8}; ${n - distinct()} pictures share their ID with an earlier one`,
)
function distinct(): number {
  return new Set(Array.from(all, i => codes.subarray(i * levels, (i + 1) * levels).join())).size
}

// --- 3. Near duplicates ------------------------------------------------------------------------------------------
// Pictures whose IDs begin alike are neighbours in the index: nothing is compared with everything.

const groups = new Map<string, number[]>()
for (const item of all) {
  const key = Array.from(codes.subarray(item * levels, item * levels + 3)).join()
  groups.set(key, [...(groups.get(key) ?? []), item])
}
const white = new Float32Array(shown * shown * 3).fill(1)
const picture = (item: number | undefined): Float32Array =>
  item === undefined ? white : pictures.subarray(item * white.length, (item + 1) * white.length)
const sheet = (rows: { label: string; items: number[]; captions: string[] }[], columns: number): ImageRow[] =>
  rows.map(({ label, items, captions }) => {
    const images = new Float32Array(columns * white.length)
    for (let i = 0; i < columns; i++) images.set(picture(items[i]), i * white.length)
    return { label, images, captions: Array.from({ length: columns }, (_, i) => captions[i] ?? '') }
  })
const columns = 8
const largest = [...groups.entries()]
  .filter(([, items]) => items.length > 1)
  .sort(([, a], [, b]) => b.length - a.length)
  .slice(0, 8)
const nameOf = (item: number): string => (ids[item] as string).replace(/\.\w+$/, '').slice(-14)
if (largest.length === 0) console.log('no two pictures share their first three codes: no duplicates.png')
else
  await save(
    'duplicates.png',
    imageGrid(
      sheet(
        largest.map(([key, items]) => ({
          label: key.replaceAll(',', ' '),
          items: items.slice(0, columns),
          captions: items.map(nameOf),
        })),
        columns,
      ),
      {
        shape: [columns, shown, shown, 3],
        columns,
        title: 'Pictures that share their first three codes, largest groups',
      },
    ),
  )

// --- 4. Search ---------------------------------------------------------------------------------------------------

const distance = (a: ArrayLike<number>, i: number, b: ArrayLike<number>, j: number): number => {
  let sum = 0
  for (let d = 0; d < dim; d++) sum += ((a[i * dim + d] as number) - (b[j * dim + d] as number)) ** 2
  return sum
}
const nearestBy = (score: (item: number) => number, query: number, k: number): number[] => {
  const scores = Float64Array.from(all, score)
  return Array.from(all)
    .filter(item => item !== query)
    .sort((a, b) => (scores[a] as number) - (scores[b] as number))
    .slice(0, k)
}
const searches: Record<string, (query: number, k: number) => number[]> = {
  'IDs, by prefix': (query, k) =>
    index
      .nearest(codes.subarray(query * levels, (query + 1) * levels), k + 1)
      .map(({ item }) => item)
      .filter(item => item !== query)
      .slice(0, k),
  'IDs, as vectors': (query, k) => nearestBy(item => distance(embeddings, query, decoded, item), query, k),
  embeddings: (query, k) => nearestBy(item => distance(embeddings, query, embeddings, item), query, k),
}
const queries = Array.from({ length: 4 }, (_, i) => Math.floor((i + 0.5) * (n / 4)))
const hits = queries.flatMap(query =>
  Object.entries(searches).map(([label, search]) => {
    const items = [query, ...search(query, columns - 1)]
    return {
      label,
      items,
      captions: items.map((item, i) => (i === 0 ? `query ${nameOf(item)}` : nameOf(item))),
    }
  }),
)
await save(
  'queries.png',
  imageGrid(sheet(hits, columns), {
    shape: [columns, shown, shown, 3],
    columns,
    title: 'What is nearest to four pictures',
  }),
)

// --- 5. How good is it? ------------------------------------------------------------------------------------------
// Only for the pictures drawn here, whose copies are known.

if (!values.data) {
  const scene = ids.map(id => id.split('-')[0] as string)
  const pairs: { same: boolean; shared: number; distance: number; coded: number }[] = []
  for (let a = 0; a < n; a++)
    for (let b = a + 1; b < n; b++) {
      let shared = 0
      while (shared < levels && codes[a * levels + shared] === codes[b * levels + shared]) shared++
      pairs.push({
        same: scene[a] === scene[b],
        shared,
        distance: distance(embeddings, a, embeddings, b),
        coded: distance(decoded, a, decoded, b),
      })
    }
  const truth = pairs.filter(({ same }) => same).length
  const points: SensitivityPoint[] = []
  console.log(`\n${truth} pairs of copies among ${pairs.length}`)
  console.log('pairs that share        precision   recall')
  for (let least = 1; least <= levels; least++) {
    const found = pairs.filter(({ shared }) => shared >= least)
    const right = found.filter(({ same }) => same).length
    const [precision, recall] = [(100 * right) / Math.max(1, found.length), (100 * right) / truth]
    points.push({ series: 'IDs, by prefix', value: recall, result: precision })
    console.log(
      `  the first ${least} codes   ${`${precision.toFixed(1)}%`.padStart(12)} ${`${recall.toFixed(1)}%`.padStart(8)}`,
    )
  }
  for (const [series, of] of [
    ['IDs, as vectors', 'coded'],
    ['embeddings', 'distance'],
  ] as const) {
    pairs.sort((a, b) => a[of] - b[of])
    let right = 0
    for (const [i, { same }] of pairs.entries()) {
      if (same) right++
      if (same && (right % Math.ceil(truth / 20) === 0 || right === truth))
        points.push({ series, value: (100 * right) / truth, result: (100 * right) / (i + 1) })
    }
  }
  await save(
    'precision_recall.png',
    sensitivity(points, {
      parameter: 'recall (%)',
      result: 'precision (%)',
      scale: 'linear',
      title: 'Near duplicates, all pairs of the folder',
    }),
  )
  const copied = Array.from(all).filter(i => scene.filter(other => other === scene[i]).length > 1)
  console.log('\ncopies of a picture among the 4 nearest')
  for (const [name, search] of Object.entries(searches)) {
    let found = 0
    for (const query of copied) found += search(query, 4).filter(item => scene[item] === scene[query]).length
    console.log(`  ${name.padEnd(20)} ${`${((100 * found) / (4 * copied.length)).toFixed(1)}%`.padStart(8)}`)
  }
  console.log(`\nduplicates.png, queries.png and precision_recall.png are in ${out}`)
} else console.log(`\nFigures are in ${out}`)
