// Every encoder with every quantizer, for images, texts, videos and vectors, from one kind of configuration: `npm start`, or
// `npm start -- --quick`.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { Random, tf } from '@vq/core'
import { writeFileAtomic } from '@vq/core/io'
import { coloredDigits } from '@vq/models/data'
import { nearestNeighborAccuracy } from '@vq/models/evaluate'
import { type Figure, reconstructionGrid, type SensitivityPoint, sensitivity } from '@vq/models/plot'
import { memorySource, type PipelineInput, type PipelineInputs, VQPipeline } from '@vq/pipeline'

const { values } = parseArgs({ options: { quick: { type: 'boolean' }, out: { type: 'string' } } })
const { quick, out = fileURLToPath(new URL('../out', import.meta.url)) } = values
const save = async (name: string, figure: Promise<Figure>): Promise<void> =>
  (await figure).save(join(out, name))

// --- 1. Small data of each kind ----------------------------------------------------------------------------------
// Digits in colours, the same moving, lines of six words about one of eight subjects, and points around twelve centres. Labels (the
// background, the subject, the centre) are never shown to a model: they tell afterwards whether items with like IDs are alike.

const n = quick ? 64 : 400
const size = 16
const all = Int32Array.from({ length: n }, (_, i) => i)
const digits = coloredDigits({ count: n, size })
const images = tf.tensor4d(await digits.batch(all), [n, size, size, 3])
// "dark brown 1 on plain white": one of 13 colours behind a digit.
const background = digits.captions.map(caption => caption.split(' ').at(-1) as string)
const random = new Random(0)

// Four frames of a digit that goes left, right, up or down by three pixels a frame, and comes in again on the other side.
const ways = Array.from(all, () => random.integer(4))
const frames = 4
const pixels = images.dataSync<'float32'>()
const videos = new Float32Array(n * frames * size * size * 3)
for (let v = 0; v < videos.length; v++) {
  const [c, x, y] = [v % 3, Math.floor(v / 3) % size, Math.floor(v / (3 * size)) % size]
  const [frame, item] = [
    Math.floor(v / (3 * size * size)) % frames,
    Math.floor(v / (3 * size * size * frames)),
  ]
  const [dx, dy] = [
    [-3, 0],
    [3, 0],
    [0, -3],
    [0, 3],
  ][ways[item] as number] as [number, number]
  const from = (at: number, by: number): number => (at - by * frame + 4 * size) % size
  videos[v] = pixels[((item * size + from(y, dy)) * size + from(x, dx)) * 3 + c] as number
}

const subjects = {
  weather: 'rain cloud storm wind snow fog thunder hail frost sunshine',
  kitchen: 'oven pan flour butter knife soup plate spoon recipe dough',
  sea: 'boat wave harbour sail anchor tide fish net island shore',
  music: 'violin drum choir song piano melody flute concert rhythm chord',
  garden: 'rose spade seed hedge tulip soil lawn apple bee compost',
  railway: 'train station platform ticket signal track tunnel engine carriage guard',
  school: 'pupil lesson pencil chalk exam teacher homework class desk book',
  money: 'bank loan coin price market tax wage debt interest budget',
}
const about = Array.from(all, () => random.integer(8))
const texts = about.map(subject => {
  const words = (Object.values(subjects)[subject] as string).split(' ')
  return Array.from({ length: 6 }, () => words[random.integer(10)]).join(' ')
})

const centres = random.fillNormal(new Float32Array(12 * 24))
const groups = Array.from(all, () => random.integer(12))
const vectors = Float32Array.from(
  { length: n * 24 },
  (_, i) =>
    (centres[(groups[Math.floor(i / 24)] as number) * 24 + (i % 24)] as number) + 0.5 * random.normal(),
)

interface Kind {
  data: PipelineInputs
  /** What the label of an item is, and that of each. */
  label: string
  labels: string[]
  config: Omit<PipelineInput, 'vqMethod'>
  /** Each encoder with its options. */
  encoders: Record<string, Record<string, unknown>>
}
const transformer = { hiddenDim: 32, numLayers: 1, numHeads: 2, mlpDim: 64 }
const kinds: Record<string, Kind> = {
  image: {
    data: images,
    label: 'background',
    labels: background,
    config: { modality: 'image', objective: 'contrastive', inputDim: [size, size, 3] },
    encoders: {
      cnn: { hiddenDims: [16, 32] },
      resnet: { block: 'basic', depths: [1, 1], widths: [16, 32], stemWidth: 16 },
      vit: { patchSize: 4, hiddenDim: 32, numLayers: 1, numHeads: 2 },
    },
  },
  text: {
    data: texts,
    label: 'subject',
    labels: about.map(String),
    config: { modality: 'text', objective: 'contrastive', tokenizer: { type: 'word', maxLength: 8 } },
    encoders: { lstm: { hiddenDim: 32 }, transformer, bert: transformer },
  },
  video: {
    data: tf.tensor(videos, [n, frames, size, size, 3]),
    label: 'background',
    labels: background,
    // At three times this rate the transformer ends in one code with three of the methods.
    config: {
      modality: 'video',
      objective: 'contrastive',
      inputDim: [frames, size, size, 3],
      learningRate: 3e-3,
    },
    encoders: {
      cnn3d: { hiddenDims: [16, 32] },
      video_transformer: { patchSize: 8, hiddenDim: 32, numLayers: 1, numHeads: 2 },
    },
  },
  vector: {
    data: tf.tensor2d(vectors, [n, 24]),
    label: 'centre',
    labels: groups.map(String),
    config: { modality: 'vector', inputDim: 24 },
    encoders: { none: {}, linear: {} },
  },
}

// --- 2. Every encoder with every quantizer -----------------------------------------------------------------------
// An item gets one code of 16, or three, by method. Encoders of images, texts and videos learn without labels to give two views of an
// item (cut and mirrored; or half of the words each) like embeddings; codes learn along, and follow fast (`decay`). What is measured: how
// many IDs there are, how evenly codes are used, and how often the 5 items with the likest IDs tell the label of another.

const codebook = { initCodebook: 'kmeans', decay: 0.9, revivalInterval: 5 }
const methods: Record<string, Record<string, unknown>> = {
  basic_vq: codebook,
  vq_vae: { ...codebook, hiddenDims: [32], codeDim: 16 },
  rq_vae: { ...codebook, numQuantizers: 3, hiddenDims: [32], codeDim: 16 },
  rvq: { ...codebook, numQuantizers: 3 },
  rq_kmeans: { nStages: 3 },
  pq: { ...codebook, parts: 3 },
  fsq: { numCodebooks: 3 },
  lfq: { numCodebooks: 3 },
}
const half = n / 2
const configurationOf = (kind: Kind, encoderType: string, vqMethod: string): PipelineInput => ({
  learningRate: 1e-2,
  ...kind.config,
  encoderType,
  vqMethod,
  embeddingDim: 24,
  numEmbeddings: 16,
  encoderConfig: kind.encoders[encoderType],
  vqConfig: methods[vqMethod],
  batchSize: 48,
  training: { steps: quick ? 2 : 40, colorJitter: 0, grayscale: 0 },
})

interface Row {
  modality: string
  encoder: string
  method: string
  levels: number
  distinctIds: number
  perplexity: number
  accuracy: number
}
const rows: Row[] = []
// The short form takes each encoder and each method, but not all pairs.
const skip = (modality: number, encoder: number, method: number): boolean =>
  Boolean(quick) && (modality + method) % 4 !== encoder
for (const [which, [modality, kind]] of Object.entries(kinds).entries()) {
  const points: SensitivityPoint[] = []
  for (const [at, encoder] of Object.keys(kind.encoders).entries()) {
    for (const [turn, method] of Object.keys(methods).entries()) {
      if (skip(which, at, turn)) continue
      const pipeline = await VQPipeline.create(configurationOf(kind, encoder, method))
      await pipeline.fit(kind.data, { progress: false })
      const { codes, shape } = await pipeline.encodeToSemanticIds(kind.data)
      const { perplexity, collisions } = await pipeline.analyzeSemanticUsage(kind.data)
      const levels = shape.at(-1) as number
      const names = [...new Set(kind.labels)]
      const labels = kind.labels.map(label => names.indexOf(label))
      const accuracy = nearestNeighborAccuracy(
        { codes: codes.subarray(0, half * levels), levels, labels: labels.slice(0, half) },
        { codes: codes.subarray(half * levels), levels, labels: labels.slice(half) },
        { k: 5 },
      )
      pipeline.dispose()
      rows.push({ modality, encoder, method, levels, distinctIds: n - collisions, perplexity, accuracy })
      points.push({ series: encoder, value: method, result: 100 * accuracy })
    }
  }
  await save(
    `${modality}.png`,
    sensitivity(points, {
      parameter: 'method',
      result: `${kind.label} told by IDs (%)`,
      title: `IDs of ${modality}s, by encoder and method`,
    }),
  )
}
const header = 'modality   encoder             method      levels   IDs   perplexity   label told by IDs'
const lines = rows.map(
  row =>
    `${row.modality.padEnd(10)} ${row.encoder.padEnd(19)} ${row.method.padEnd(10)} ${String(row.levels).padStart(7)} ${String(row.distinctIds).padStart(5)} ${row.perplexity.toFixed(1).padStart(12)} ${`${(100 * row.accuracy).toFixed(1)}%`.padStart(19)}`,
)
console.log(`${n} items of each kind\n\n${[header, ...lines].join('\n')}`)
await writeFileAtomic(join(out, 'results.json'), `${JSON.stringify(rows, null, 2)}\n`)

// --- 3. Saved and loaded -----------------------------------------------------------------------------------------
// An artifact is a folder; what it gives is the same, bit for bit. Where a decoder is trained along (`reconstruction`, the default for
// images), IDs decode to pictures.

const folder = await mkdtemp(join(tmpdir(), 'pipeline-'))
const first = await VQPipeline.create({
  ...configurationOf(kinds.image as Kind, 'cnn', 'rvq'),
  objective: 'reconstruction',
  learningRate: 3e-3,
  training: { steps: quick ? 4 : 400 },
})
await first.fit(images, { progress: false })
await first.savePipeline(join(folder, 'model'))
const again = await VQPipeline.loadPipeline(join(folder, 'model'))
const [before, after] = [await first.encodeToSemanticIds(images), await again.encodeToSemanticIds(images)]
const equal = before.codes.every((code, i) => code === after.codes[i])
await rm(folder, { recursive: true })
console.log(`\nsaved and loaded: the IDs are ${equal ? 'the same' : 'NOT the same'}`)
const few = 10
const one = { codes: before.codes.slice(0, few * 3), shape: [few, 3] }
const { reconstructed } = await again.decodeFromSemanticIds(one)
await save(
  'decoded.png',
  reconstructionGrid(
    pixels.subarray(0, few * size * size * 3),
    reconstructed?.dataSync<'float32'>() as Float32Array,
    {
      shape: [few, size, size, 3],
      columns: few,
      title: 'Pictures, and what an ID of three codes decodes to',
    },
  ),
)

// --- 4. Pictures and words with one codebook ---------------------------------------------------------------------
// Both encoders learn to give a picture and its caption the same embedding, and one quantizer serves both.

const pairs = await VQPipeline.create({
  modality: 'image_text',
  vqMethod: 'rvq',
  image: { encoderType: 'cnn', inputDim: [size, size, 3], encoderConfig: { hiddenDims: [16, 32, 64] } },
  text: { encoderType: 'transformer', encoderConfig: transformer, tokenizer: { type: 'word', maxLength: 8 } },
  embeddingDim: 32,
  numEmbeddings: 16,
  vqConfig: { numQuantizers: 3, initCodebook: 'kmeans' },
  learningRate: 3e-3,
  batchSize: 48,
  training: { steps: quick ? 4 : 200, heldOut: 1 / 6 },
})
const source = memorySource(images, { modality: 'image', captions: digits.captions })
const { recall } = await pairs.fit(source, { progress: false })
console.log('\nheld-out pairs    caption found for a picture   picture found for a caption   by chance')
for (const [by, at] of [
  ['embeddings', recall?.embeddings[1]],
  ['IDs', recall?.codes[1]],
] as const)
  if (at)
    console.log(
      `  ${`${by}, first ${at.k}`.padEnd(20)} ${`${(100 * at.aToB).toFixed(1)}%`.padStart(22)} ${`${(100 * at.bToA).toFixed(1)}%`.padStart(29)} ${`${(100 * at.chance).toFixed(1)}%`.padStart(11)}`,
    )
console.log(`\nFigures and results.json are in ${out}`)
