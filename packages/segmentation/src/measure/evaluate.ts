import { expectConfig, expectInteger, expectShape, tf, VqError } from '@vq/core'
import { expectOptions } from '@vq/core/nn'
import { DataLoader, type Dataset } from '@vq/models/data'
import { knnJaccard, linearCka, pwcca, rsa } from '@vq/models/evaluate'
import { analyzeCodes, type BaseQuantizer, compressionOf, ResidualVQ, VectorQuantizer } from '@vq/quantizers'
import { expectModel, type SqueezeModule } from '../model/squeeze-module.js'
import { expectDataset } from '../options.js'
import { codesPerVector } from '../quantizers/create.js'
import { principalAxes } from '../quantizers/principal-axes.js'
import { Confusion } from './scores.js'

export interface ClassScore {
  name: string
  iou: number
  dice: number
}

/** What codes of features are worth. */
export interface CodeFigures {
  /** Feature vectors that were measured. */
  vectors: number
  /** Bits per vector: as stored; with an entropy coder per level; with one for whole codes. */
  bits: { nominal: number; entropy: number; joint: number }
  /** Bits of a float32 vector over those: nominal, by entropy, and nominal with codebook and projections shared by these vectors. */
  compression: { nominal: number; entropy: number; withCodebookAndProjections: number }
  /** float32 numbers of codebooks and of both projections. */
  numbers: { codebooks: number; projections: number }
  /** Codes used, number of codes and perplexity, level by level. */
  levels: { used: number; size: number; perplexity: number }[]
  /** ‖x − q‖² / ‖x − mean‖², over all vectors. */
  relativeError: number
  similarity: Similarity
}

/** Of squeezed to original features; null where a measure is not defined, as of features that are all the same. */
export interface Similarity {
  vectors: number
  cka: number | null
  rsa: number | null
  pwcca: number | null
  knnJaccard: number | null
}

export interface Evaluation {
  images: number
  classes: ClassScore[]
  meanIou: number
  accuracy: number
  codes?: CodeFigures
}

export interface EvaluateOptions {
  classes: readonly string[]
  batchSize?: number
  /** Whether the data are features that the backbone made before, not images. */
  fromFeatures?: boolean
  /** Feature vectors for the similarities, evenly spread. Default 1000; 0 leaves them out. */
  similarityVectors?: number
}

/** Scores of a network on data with masks, and of its codes where it has a quantizer. */
export async function evaluateSegmentation(
  model: SqueezeModule,
  data: Dataset,
  options: EvaluateOptions,
): Promise<Evaluation> {
  const operation = 'evaluateSegmentation'
  expectModel(operation, model)
  expectDataset(operation, data)
  expectOptions(operation, options, '{ classes: data.classes }')
  expectConfig(
    Array.isArray(options.classes) && options.classes.length === model.backbone.numClasses,
    operation,
    `the names of ${model.backbone.numClasses} classes`,
    options.classes,
    'Pass { classes: data.classes }.',
  )
  const { classes, batchSize = 4, fromFeatures = false, similarityVectors = 1000 } = options
  model.eval()
  const confusion = new Confusion(classes.length)
  const codes: Int32Array[] = []
  const errors = new RelativeError(model.backbone.featureDim)
  const taken: { before: number[]; after: number[] } = { before: [], after: [] }
  for await (const { values, shape, extras } of new DataLoader(data, { batchSize, shuffle: false })) {
    const mask = extras!.mask!
    const tensors = tf.tidy(() => {
      const x = tf.tensor(values, shape)
      const features = fromFeatures ? (x as tf.Tensor4D) : model.features(x)
      const squeezed = model.quantizer?.forward(features)
      const size = mask.shape.slice(1) as [number, number]
      const guess = tf.argMax(model.backbone.classify(squeezed?.quantized ?? features, size), 3)
      return [guess, ...(squeezed ? [squeezed.indices, features, squeezed.quantized] : [])]
    })
    const [guess, indices, before, after] = tensors.map(t => t.dataSync().slice()) as [
      Int32Array,
      Int32Array?,
      Float32Array?,
      Float32Array?,
    ]
    tf.dispose(tensors)
    confusion.add(mask.values, guess)
    if (indices === undefined || before === undefined || after === undefined) continue
    codes.push(indices)
    errors.add(before, after)
    sample(taken, before, after, model.backbone.featureDim, similarityVectors / data.length, shape[0]!)
  }
  const { iou, dice, meanIou, accuracy } = confusion.scores
  return {
    images: data.length,
    classes: classes.map((name, c) => ({ name, iou: iou[c]!, dice: dice[c]! })),
    meanIou,
    accuracy,
    ...(model.quantizer && { codes: codeFigures(model.quantizer, joined(codes), errors.value, taken) }),
  }
}

function joined(parts: readonly Int32Array[]): Int32Array {
  const all = new Int32Array(parts.reduce((n, part) => n + part.length, 0))
  let at = 0
  for (const part of parts) {
    all.set(part, at)
    at += part.length
  }
  return all
}

function codeFigures(
  quantizer: BaseQuantizer,
  codes: Int32Array,
  relativeError: number,
  taken: { before: number[]; after: number[] },
): CodeFigures {
  const levels = codesPerVector(quantizer)
  const { count, levels: each, bits } = analyzeCodes(codes, { levels, codebookSize: quantizer.codebookSize })
  const learned = quantizer instanceof VectorQuantizer || quantizer instanceof ResidualVQ
  const codebooks = learned ? levels * quantizer.codebookSize * quantizer.options.embeddingDim : 0
  const projections = quantizer
    .namedParameters()
    .filter(({ name }) => name.startsWith('project_'))
    .reduce((n, { variable }) => n + variable.size, 0)
  const ratio = (perVector: number, numbers: number) =>
    compressionOf({ dim: quantizer.dim, bits: perVector, count, codebookNumbers: numbers })
  return {
    vectors: count,
    bits,
    compression: {
      nominal: ratio(bits.nominal, 0).ratio,
      entropy: ratio(bits.entropy, 0).ratio,
      withCodebookAndProjections: ratio(bits.nominal, codebooks + projections).ratioWithCodebook,
    },
    numbers: { codebooks, projections },
    levels: each.map(({ used, dead, perplexity }) => ({ used, size: used + dead, perplexity })),
    relativeError,
    similarity: similarityOf(taken.before, taken.after, quantizer.dim),
  }
}

/** CKA, RSA, PWCCA (on at most 64 principal axes) and kNN-Jaccard (10 neighbours) of features [N, dim], row by row. */
export function similarityOf(before: readonly number[], after: readonly number[], dim: number): Similarity {
  expectInteger('similarityOf', 'dim', dim, 1)
  const rows = (x: unknown): number => (x as ArrayLike<number> | undefined)?.length ?? Number.NaN
  expectShape(
    rows(before) === rows(after) && rows(before) % dim === 0,
    'similarityOf',
    `as many numbers before as after, ${dim} of each vector`,
    `${rows(before)} and ${rows(after)}`,
    'Pass features row by row.',
  )
  const n = before.length / dim
  const a = { features: Float32Array.from(before), dim }
  const b = { features: Float32Array.from(after), dim }
  const defined = (measure: () => number): number | null => {
    try {
      return measure()
    } catch (error) {
      if (error instanceof VqError) return null
      throw error
    }
  }
  return {
    vectors: n,
    cka: defined(() => linearCka(a, b)),
    rsa: defined(() => rsa(a, b)),
    pwcca: defined(() => {
      const k = Math.min(64, dim, Math.floor(n / 4))
      return pwcca(alongAxes(a.features, dim, k), alongAxes(b.features, dim, k))
    }),
    knnJaccard: defined(() => knnJaccard(a, b, { k: Math.min(10, n - 1) })),
  }
}

function alongAxes(features: Float32Array, dim: number, k: number): { features: Float32Array; dim: number } {
  if (k >= dim) return { features, dim }
  const scores = tf.tidy(() => {
    const rows = tf.tensor2d(features, [features.length / dim, dim])
    const { axes } = principalAxes(rows, k)
    return tf.matMul(rows, tf.tensor2d(axes, [k, dim]), false, true)
  })
  const values = scores.dataSync<'float32'>().slice()
  scores.dispose()
  return { features: values, dim: k }
}

// `share` of an item's vectors, at least one of each batch where any are wanted.
function sample(
  taken: { before: number[]; after: number[] },
  before: Float32Array,
  after: Float32Array,
  dim: number,
  share: number,
  items: number,
): void {
  const vectors = before.length / dim
  const wanted = share === 0 ? 0 : Math.min(vectors, Math.max(1, Math.round(share * items)))
  for (let k = 0; k < wanted; k++) {
    const at = Math.floor(((k + 0.5) * vectors) / wanted) * dim
    for (let d = 0; d < dim; d++) {
      taken.before.push(before[at + d]!)
      taken.after.push(after[at + d]!)
    }
  }
}

/** Running sums of the error and of the variance about the mean. */
class RelativeError {
  private readonly sums: Float64Array
  private squares = 0
  private error = 0
  private count = 0

  constructor(dim: number) {
    this.sums = new Float64Array(dim)
  }

  add(before: Float32Array, after: Float32Array): void {
    const dim = this.sums.length
    for (let i = 0; i < before.length; i++) {
      const x = before[i]!
      this.sums[i % dim]! += x
      this.squares += x * x
      this.error += (x - after[i]!) ** 2
    }
    this.count += before.length / dim
  }

  get value(): number {
    const offset = this.sums.reduce((sum, s) => sum + (s * s) / this.count, 0)
    return this.error / (this.squares - offset)
  }
}
