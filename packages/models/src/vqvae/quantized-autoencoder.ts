// What VQ-VAEs have in common: images [B, H, W, C] → latents [B, h, w, D] → codes → images.
import { expectShape, meanSquaredError, tf } from '@vq/core'
import { Module, type Sequential } from '@vq/core/nn'
import type { BaseQuantizer, QuantizeOptions, QuantizerOutput } from '@vq/quantizers'
import { expectImages, textOf } from '../image/expect-images.js'
import { buildParts, type Parts } from './architecture.js'
import type { Architecture, ArchitectureOptions } from './options.js'

/** A quantizer whose codebooks learn, and may start from data. */
export interface LearnedQuantizer extends BaseQuantizer {
  readonly options: object
  readonly ready: boolean
  initialize(vectors: tf.Tensor): Promise<void>
}

// A type, not an interface: tf.tidy wants an index signature.
export type Pass = {
  /** [B, H, W, C] */
  reconstructed: tf.Tensor4D
  /** Mean over all elements of (x − reconstructed)². */
  reconstructionLoss: tf.Scalar
  output: QuantizerOutput
}

/** An autoencoder of images with a quantizer of its latents' vectors between. */
export abstract class QuantizedAutoEncoder<Q extends LearnedQuantizer> extends Module {
  readonly architecture: Readonly<Architecture>
  readonly encoder: Sequential
  readonly quantizer: Q
  readonly decoder: Sequential
  /** Image height and width must be multiples of this. */
  readonly stride: number

  constructor(
    architecture: Architecture,
    { random }: Pick<ArchitectureOptions, 'random'>,
    makeQuantizer: () => Q,
  ) {
    super()
    this.architecture = architecture
    const parts = buildParts(architecture, random)
    const quantizer = orDispose(parts, makeQuantizer)
    this.stride = parts.stride
    this.encoder = this.addModule('encoder', parts.encoder)
    this.quantizer = this.addModule(
      architecture.architecture === 'igpt' ? 'codebook' : 'quantizer',
      quantizer,
    )
    this.decoder = this.addModule('decoder', parts.decoder)
  }

  /** Number of learned values, the codebooks among them whichever rule moves them. */
  override parameterCount(): number {
    return super.parameterCount() + averagedCodes(this)
  }

  protected pass(x: tf.Tensor, options?: QuantizeOptions): Pass {
    const z = this.encode(x) // [B, h, w, D]
    const output = this.quantizer.forward(z, options)
    const reconstructed = this.decode(output.quantized) // [B, H, W, C]
    return { reconstructed, reconstructionLoss: meanSquaredError(reconstructed, x), output }
  }

  /** Latents before quantization, [B, H, W, C] → [B, h, w, D]. */
  encode(x: tf.Tensor): tf.Tensor4D {
    expectImages(`${this.constructor.name}.encode`, x, this.architecture.inChannels, this.stride)
    return tf.tidy(() => this.encoder.forward(x) as tf.Tensor4D)
  }

  /** Latents [B, h, w, D] → images [B, H, W, C]. */
  decode(z: tf.Tensor): tf.Tensor4D {
    const { dim } = this.architecture
    expectShape(
      z instanceof tf.Tensor && z.rank === 4 && z.shape[3] === dim,
      `${this.constructor.name}.decode`,
      `latents [B, h, w, ${dim}]`,
      textOf(z),
      'Pass what `encode` gives, or codes to `decodeFromIndices`.',
    )
    return tf.tidy(() => this.decoder.forward(z) as tf.Tensor4D)
  }

  /** [B, H, W, C] → int32 [B, h, w], or [B, h, w, Q] with several codes per vector. */
  encodeToIndices(x: tf.Tensor): tf.Tensor {
    return tf.tidy(() => this.quantizer.encode(this.encode(x)))
  }

  /** What `encodeToIndices` gave → [B, H, W, C]. */
  decodeFromIndices(indices: tf.Tensor): tf.Tensor4D {
    return tf.tidy(() => this.decode(this.quantizer.decode(indices)))
  }

  /** Takes the first codes from the latents of images [B, H, W, C] where a k-means start waits for them; the Trainer calls it. */
  async prepare(x: tf.Tensor): Promise<void> {
    if (this.quantizer.ready) return
    const z = this.encode(x)
    try {
      await this.quantizer.initialize(z)
    } finally {
      z.dispose()
    }
  }

  /** What the constructor takes to build this model again; a codebook start that is a function or an array is left out. */
  protected get buildOptions(): Record<string, unknown> {
    return { ...this.architecture, ...plainOptions(this.quantizer.options) }
  }
}

// Bad options of the quantizer leave nothing behind.
function orDispose<Q>({ encoder, decoder }: Parts, make: () => Q): Q {
  try {
    return make()
  } catch (error) {
    for (const part of [encoder, decoder]) part.dispose()
    throw error
  }
}

/** Options of a quantizer that JSON can hold, without the sizes that the model has itself. */
export function plainOptions(options: object): Record<string, unknown> {
  const { numEmbeddings, embeddingDim, initCodebook, ...rest } = options as Record<string, unknown>
  return typeof initCodebook === 'string' ? { ...rest, initCodebook } : rest
}

/** Number of values in codebooks that moving averages move, which are no parameters. */
export function averagedCodes(module: Module): number {
  return module
    .namedBuffers()
    .filter(({ name }) => name.split('.').at(-1) === 'codebook')
    .reduce((n, { variable }) => n + variable.size, 0)
}

const own = [
  'architecture',
  'inChannels',
  'hiddenDims',
  'numResidualLayers',
  'residualHiddenDim',
  'topHiddenDims',
]

/** What is left for the quantizer of a model's options, with the model's defaults for its sizes. */
export function quantizerOptions<O extends ArchitectureOptions>(
  options: O,
  { numEmbeddings, embeddingDim, dim }: Pick<Architecture, 'numEmbeddings' | 'embeddingDim' | 'dim'>,
): Omit<O, keyof ArchitectureOptions> & { numEmbeddings: number; embeddingDim: number; dim: number } {
  const rest = Object.fromEntries(Object.entries(options).filter(([name]) => !own.includes(name)))
  return { ...(rest as O), numEmbeddings, embeddingDim, dim }
}
