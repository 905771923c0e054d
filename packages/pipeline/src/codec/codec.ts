// A VQ-VAE over embeddings, as Rajput et al. 2023, https://arxiv.org/abs/2305.05065, section 3.1, make semantic IDs:
//   y = encoder((z − μ)/σ),  q = quantizer(y),  ẑ = σ·decoder(q) + μ;  L = ‖(z − ẑ)/σ‖² / D + the quantizer's loss
// Without hidden layers encoder and decoder are the identity.
import { expectConfig, expectShape, meanSquaredError, noGrad, tf, VqConfigError } from '@vq/core'
import { Module, ModuleList } from '@vq/core/nn'
import { type BaseQuantizer, Projection, type RQKMeans } from '@vq/quantizers'
import { marginsOf } from './margins.js'

/** A quantizer that trains with the rest; some start from data. */
export type TrainedQuantizer = BaseQuantizer & {
  readonly ready?: boolean
  initialize?(vectors: tf.Tensor): Promise<void>
}

export interface CodecParts {
  /** Length of the embeddings. */
  dim: number
  quantizer: TrainedQuantizer
  /** Codes that each of an item's codes is one of, first to last; undefined where the quantizer must be asked. */
  levels: readonly number[] | undefined
  /** Widths of the layers in front of the quantizer, and behind it in turn. */
  hiddenDims: readonly number[]
  /** Length of the quantizer's vectors. Default: its `dim`. */
  codeDim?: number
  /** Fitted to embeddings instead of trained; the quantizer then holds its codebooks. */
  kmeans?: RQKMeans
}

// A type, not an interface: tf.tidy wants an index signature.
export type CodecOutput = {
  /** What the codes stand for, as the embeddings [..., D]. */
  quantized: tf.Tensor
  /** int32 [..., L] */
  indices: tf.Tensor
  loss: tf.Scalar
  /** Mean squared error of `quantized`, relative to the embeddings' spread where that is known. */
  error: tf.Scalar
  perplexity: tf.Scalar
}

/** Between embeddings and codes: the quantizer of a pipeline with its layers. */
export class Codec extends Module {
  readonly dim: number
  readonly quantizer: TrainedQuantizer
  readonly kmeans: RQKMeans | undefined
  private readonly known: readonly number[] | undefined
  private readonly into: ModuleList<Projection>
  private readonly out: ModuleList<Projection>
  private readonly center: tf.Variable<tf.Rank.R1>
  private readonly scale: tf.Variable<tf.Rank.R0>

  constructor({ dim, quantizer, levels, hiddenDims, codeDim = quantizer.dim, kmeans }: CodecParts) {
    super()
    this.dim = dim
    this.known = levels
    this.kmeans = kmeans
    const widths = hiddenDims.length === 0 ? [] : [dim, ...hiddenDims, codeDim]
    const layers = (sizes: readonly number[]): ModuleList<Projection> =>
      new ModuleList(
        sizes
          .slice(1)
          .map((outFeatures, i) => new Projection({ inFeatures: sizes[i] as number, outFeatures })),
      )
    expectConfig(
      widths.length > 0 || quantizer.dim === dim,
      'Codec',
      `a quantizer of vectors of ${dim} numbers`,
      quantizer.dim,
      'Give it layers, or that length.',
    )
    this.into = this.addModule('encoder', layers(widths))
    this.quantizer = this.addModule('quantizer', quantizer)
    this.out = this.addModule('decoder', layers([...widths].reverse()))
    this.center = this.addBuffer('center', tf.zeros([dim]) as tf.Tensor1D)
    this.scale = this.addBuffer('scale', tf.scalar(1))
  }

  /** How many codes each of an item's codes is one of. */
  get codebookSizes(): readonly number[] {
    if (this.known !== undefined) return this.known
    const codes = tf.tidy(() => this.encode(tf.zeros([1, this.dim])).shape.at(-1) as number)
    return new Array<number>(codes).fill(this.quantizer.codebookSize)
  }

  /** False while a start from data, or the fit of k-means, still waits for `initialize`. */
  get ready(): boolean {
    return this.quantizer.ready ?? true
  }

  /** z: [..., D]. The gradient of `quantized` to z is the quantizer's estimator's. */
  forward(z: tf.Tensor, options: { mask?: tf.Tensor } = {}): CodecOutput {
    return tf.tidy(() => {
      const y = this.toCode(z)
      const { quantized, indices, loss, perplexity } = this.quantizer.forward(y, options)
      const back = this.fromCode(quantized)
      const error = tf.div<tf.Scalar>(meanSquaredError(back, z), tf.square(this.scale))
      // Layers around the codes learn to give the embedding back.
      const whole = this.namedParameters().length === 0 ? loss : tf.add<tf.Scalar>(loss, error)
      return { quantized: back, indices: this.perLevel(indices, z), loss: whole, error, perplexity }
    })
  }

  /** int32 [..., L] */
  encode(z: tf.Tensor, options: { mask?: tf.Tensor } = {}): tf.Tensor {
    return tf.tidy(() =>
      this.perLevel(
        this.quantizer.encode(
          noGrad(() => this.toCode(z)),
          options,
        ),
        z,
      ),
    )
  }

  /** int32 [..., L] → [..., D]; a code of −1 gives 0. */
  decode(indices: tf.Tensor): tf.Tensor {
    return tf.tidy(() =>
      noGrad(() => {
        const levels = this.codebookSizes.length
        const given = indices.shape.at(-1) as number
        const single = levels === 1 && given === 1
        expectShape(
          given > 0 && given <= levels,
          'Codec.decode',
          `codes [..., ${levels}]`,
          `[${indices.shape.join(', ')}]`,
          'Pass what `encode` gave.',
        )
        const lead = indices.shape.slice(0, -1)
        const hasAxis = this.axisOfCodes()
        const codes = single && !hasAxis ? tf.reshape(indices, lead) : indices
        const vectors = this.fromCode(this.quantizer.decode(codes))
        // What was masked stays 0.
        const used = tf.cast(
          tf.greaterEqual(tf.slice(indices, lead.map(() => 0).concat(0), [...lead, 1]), 0),
          'float32',
        )
        return tf.mul(vectors, used)
      }),
    )
  }

  /**
   * Of rows [N, D] the distance to the second nearest code over that to the nearest, less 1; the least of all levels, float32
   * [N]: 0 is a tie, infinity a code that is met exactly. With a small margin rounding could have changed the code.
   * Throws VqConfigError for quantizers without distances.
   */
  margins(z: tf.Tensor2D): Float32Array {
    return tf.tidy(() => marginsOf(this.quantizer, noGrad(() => this.toCode(z)) as tf.Tensor2D))
  }

  /** The quantizer's codes, [K, d] of the first level; see `quantizer`. */
  codebook(): tf.Tensor {
    return this.quantizer.codebook()
  }

  /** Sets centre and spread to those of rows [N, D]: what layers and lattices work in. Codes of an old scale are void. */
  standardize(rows: tf.Tensor2D): void {
    tf.tidy(() => {
      const { mean, variance } = tf.moments(rows, 0)
      const spread = Math.sqrt(tf.mean(variance).dataSync()[0] as number)
      this.center.assign(mean as tf.Tensor1D)
      this.scale.assign(tf.scalar(spread > 0 && Number.isFinite(spread) ? spread : 1))
    })
  }

  /** Takes the first codes from rows [N, D] where a start from data waits for them. */
  async initialize(rows: tf.Tensor2D): Promise<void> {
    const { quantizer } = this
    if (quantizer.initialize === undefined || quantizer.ready !== false) return
    const y = tf.tidy(() => enough(noGrad(() => this.toCode(rows)) as tf.Tensor2D, quantizer.codebookSize))
    try {
      await quantizer.initialize(y)
    } finally {
      y.dispose()
    }
  }

  /** Puts the codebooks of the fitted k-means into the quantizer. */
  takeFitted(): void {
    if (this.kmeans === undefined)
      throw new VqConfigError({
        operation: 'Codec.takeFitted',
        expected: 'a codec of k-means',
        received: 'one that is trained',
        remedy: 'Train it.',
      })
    const fitted = this.kmeans.toQuantizer()
    try {
      this.quantizer.loadStateDict(fitted.stateDict())
    } finally {
      fitted.dispose()
    }
  }

  private toCode(z: tf.Tensor): tf.Tensor {
    expectShape(
      z.shape.at(-1) === this.dim,
      'Codec',
      `embeddings [..., ${this.dim}]`,
      `[${z.shape.join(', ')}]`,
      'Pass what the encoder gave.',
    )
    return through(this.into, tf.div(tf.sub(z, this.center), this.scale))
  }

  private fromCode(y: tf.Tensor): tf.Tensor {
    return tf.add(tf.mul(through(this.out, y), this.scale), this.center)
  }

  // Whether the quantizer's indices have an axis for the codes of a vector.
  private axisOfCodes(): boolean {
    return tf.tidy(() => this.quantizer.encode(tf.zeros([1, this.quantizer.dim])).rank === 2)
  }

  private perLevel(indices: tf.Tensor, z: tf.Tensor): tf.Tensor {
    return indices.rank === z.rank ? indices : tf.expandDims(indices, -1)
  }
}

// Linear layers with ReLU between them; the products of a row do not hang on the other rows.
function through(layers: ModuleList<Projection>, x: tf.Tensor): tf.Tensor {
  const last = layers.modules.length - 1
  return layers.modules.reduce((y, layer, i) => {
    const rows = layer.forward(tf.reshape(y, [-1, layer.inFeatures]))
    const next = tf.reshape(rows, [...y.shape.slice(0, -1), layer.outFeatures])
    return i === last ? next : tf.relu(next)
  }, x)
}

/** Rows again, moved by a thousandth, until there are K: k-means needs as many. */
export function enough(rows: tf.Tensor2D, k: number): tf.Tensor2D {
  const [n, d] = rows.shape
  if (n >= k || n === 0) return tf.clone(rows)
  const times = Math.ceil(k / n)
  const spread = tf.sqrt(tf.mean(tf.moments(rows, 0).variance))
  const shifts = Float32Array.from({ length: times * n * d }, (_, i) =>
    i < n * d ? 0 : Math.sin(12.9898 * i) * 1e-3,
  )
  const moved = tf.mul(tf.tensor2d(shifts, [times * n, d]), tf.maximum(spread, 1e-6))
  return tf.slice(tf.add(tf.tile(rows, [times, 1]), moved), [0, 0], [Math.max(k, n), d]) as tf.Tensor2D
}
