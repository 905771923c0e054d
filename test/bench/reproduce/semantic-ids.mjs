// Semantic IDs that encoders learn from scratch and without labels: what the committed templates reach on AG News and CIFAR-10.
import { tf } from '../../../packages/core/dist/index.js'
import { linearProbe } from '../../../packages/models/dist/evaluate/index.js'
import {
  imageContrastive,
  textContrastive,
} from '../../../packages/pipeline/dist/config/templates-contrastive.js'
import { analyzeIds, memorySource, VQPipeline } from '../../../packages/pipeline/dist/index.js'

/** Trains a template; `steps` shortens it. */
async function trained({ config }, items, { steps, say }) {
  const { epochs, ...training } = config.training
  const short = steps === undefined ? { epochs } : { steps }
  const pipeline = await VQPipeline.create({ ...config, training: { ...training, ...short } })
  const before = process.cpuUsage()
  const progress = ({ step, loss }) => {
    if (step % 100 === 0) say(`  step ${step}, loss ${loss.toFixed(4)}`)
  }
  const report = await pipeline.fit(items, { progress })
  const { user, system } = process.cpuUsage(before)
  const spent = { steps: report.encoder.steps, seconds: report.seconds, cpuSeconds: (user + system) / 1e6 }
  return { pipeline, spent }
}

/** Embeddings, codes and what the codes decode to. */
async function encoded(pipeline, items) {
  const embeddings = Float32Array.from((await pipeline.embed(items)).dataSync())
  const ids = await pipeline.encodeToSemanticIds(items)
  const { embeddings: decoded } = await pipeline.decodeFromSemanticIds(ids)
  return { embeddings, codes: ids.codes, decoded: Float32Array.from(decoded.dataSync()) }
}

/** Steps of the run, when not shortened, are the template's. */
export const agNews = {
  data: 'agNews',
  ownSteps: true,
  async run({ texts, labels }, options) {
    const source = memorySource(texts, { modality: 'text', shape: [] })
    const { pipeline, spent } = await trained(textContrastive, source, options)
    const { embeddings, codes, decoded } = await encoded(pipeline, texts)
    const dim = pipeline.dim
    const sizes = pipeline.info.codebookSizes
    const table = { ids: texts.map((_, i) => `row-${i}`), codes, positions: 1, levels: sizes.length, codebookSizes: sizes } // biome-ignore format: one line
    const { labels: found } = analyzeIds(table, {
      labels,
      embeddings: { values: embeddings, dim },
      decoded: { values: decoded, dim },
      sample: texts.length,
    })
    pipeline.dispose()
    const { embeddings: own, decoded: back, sampled } = found.knn
    return { ...spent, items: sampled, knn: own, knnDecoded: back, nmi: found.levels[0].nmi, sizes }
  },
  rows: ({ knn, knnDecoded, nmi, sizes, items, ...spent }) => [
    {
      result: `AG News, ${items.toLocaleString('en')} texts: 10-nearest-neighbour accuracy of embeddings, 4-fold`,
      bar: 'at least 0.78',
      ours: knn.toFixed(3),
      peer: '',
      met: knn >= 0.78,
      note: `text_contrastive; ${timeOf(spent)}`,
    },
    {
      result: `the same from decoded codes, ${sizes.join(' × ')}`,
      bar: 'at most 0.05 less',
      ours: knnDecoded.toFixed(3),
      peer: '',
      met: knnDecoded >= knn - 0.05,
      note: `${(knn - knnDecoded).toFixed(3)} less`,
    },
    {
      result: 'NMI (arithmetic mean) of the first codes with the four classes',
      bar: 'at least 0.25',
      ours: nmi.toFixed(3),
      peer: '',
      met: nmi >= 0.25,
      note: '',
    },
  ],
}

export const cifarProbe = {
  data: 'cifar10',
  ownSteps: true,
  async run({ train, test, shape, labels }, options) {
    const size = shape.reduce((a, b) => a * b)
    const of = values => tf.tensor(values, [values.length / size, ...shape])
    const { pipeline, spent } = await trained(imageContrastive, of(train), options)
    const [seen, held] = [await encoded(pipeline, of(train)), await encoded(pipeline, of(test))]
    const { dim } = pipeline
    const bits = pipeline.info.codebookSizes.reduce((sum, k) => sum + Math.log2(k), 0)
    pipeline.dispose()
    const probe = name => {
      const [a, b] = standardized(seen[name], held[name], dim)
      return linearProbe(
        { features: a, dim, labels: labels.train },
        { features: b, dim, labels: labels.test },
        { tolerance: 1e-4 },
      ).accuracy
    }
    return { ...spent, bits, probe: probe('embeddings'), probeDecoded: probe('decoded') }
  },
  rows: ({ probe, probeDecoded, bits, ...spent }) => [
    {
      result: 'CIFAR-10, linear probe on embeddings, 4,000 training images alone',
      bar: 'at least 0.45',
      ours: probe.toFixed(3),
      peer: '',
      met: probe >= 0.45,
      note: `image_contrastive; ${timeOf(spent)}`,
    },
    {
      result: `the same on decoded codes, ${bits} bits an image`,
      bar: 'at most 0.05 less, at most 32 bits',
      ours: probeDecoded.toFixed(3),
      peer: '',
      met: probeDecoded >= probe - 0.05 && bits <= 32,
      note: `${(probe - probeDecoded).toFixed(3)} less`,
    },
  ],
}

const timeOf = ({ steps, seconds, cpuSeconds }) =>
  `${steps} steps and k-means in ${seconds.toFixed(0)} s, ${cpuSeconds.toFixed(0)} s of processor time`

// Both by the training rows' mean and deviation, so that a probe's penalty weighs all numbers alike.
function standardized(train, test, dim) {
  const n = train.length / dim
  const [mean, square] = [new Float64Array(dim), new Float64Array(dim)]
  for (const [i, v] of train.entries()) mean[i % dim] += v / n
  for (const [i, v] of train.entries()) square[i % dim] += (v - mean[i % dim]) ** 2 / n
  const of = values => values.map((v, i) => (v - mean[i % dim]) / Math.sqrt(square[i % dim] + 1e-12))
  return [of(train), of(test)]
}
