// van den Oord et al. 2017, https://arxiv.org/abs/1711.00937, equation 3, with any encoder, quantizer and decoder.
import { expectConfig, expectOneOf, expectShape, meanSquaredError, noGrad, tf } from '@vq/core'
import { Module } from '@vq/core/nn'
import { BaseEncoder } from '@vq/encoders'
import { Projection } from '@vq/quantizers'
import { restoreModel, saveArtifact } from '../artifact/artifact.js'
import { averagedCodes } from '../vqvae/quantized-autoencoder.js'
import type {
  ComposedVQVAEOptions,
  ComposedVQVAEOutput,
  MaskOptions,
  PartName,
  ReconstructionLoss,
} from './options.js'
import {
  type DecoderPart,
  decoderWidth,
  type EncoderPart,
  encoderWidth,
  expectPart,
  latentsIn,
  type QuantizerPart,
} from './parts.js'

/**
 * A VQ-VAE of parts: any encoder to latents [..., D] (of images, text or video: an embedding, a sequence or a feature map), any
 * quantizer, any decoder. Where widths differ, linear projections `project_in` and `project_out` stand around the quantizer;
 * they are frozen with it. A frozen part gets no gradient and stays in evaluation mode: neither weights nor running statistics
 * nor codes of it move.
 *
 * The parts belong to the model: `dispose` frees them. `stateDict` holds them all; how to build them is the caller's knowledge,
 * so that `load` takes a function that does.
 *
 * @example
 * const model = new ComposedVQVAE(encoder, new FSQ({ levels: [8, 5, 5, 5] }), decoder, { freeze: { encoder: true } })
 * await new Trainer({ epochs: 10 }).fit(model, loader)
 */
export class ComposedVQVAE extends Module {
  readonly encoder: EncoderPart
  readonly quantizer: QuantizerPart
  readonly decoder: DecoderPart
  private readonly projectIn: Projection | undefined
  private readonly projectOut: Projection | undefined
  private readonly latents: 'embedding' | 'sequence'
  private readonly compare: ReconstructionLoss

  constructor(
    encoder: EncoderPart,
    quantizer: QuantizerPart,
    decoder: DecoderPart,
    options: ComposedVQVAEOptions = {},
  ) {
    super()
    expectPart('encoder', encoder, ['forward'])
    expectPart('quantizer', quantizer, ['forward', 'encode', 'decode'])
    expectPart('decoder', decoder, ['forward'])
    const { latents = 'embedding', freeze = {}, random } = options
    const { reconstructionLoss = (a, b) => meanSquaredError(a, b) } = options
    expectOneOf('ComposedVQVAE', 'latents', latents, ['embedding', 'sequence'])
    this.latents = latents
    this.compare = reconstructionLoss
    this.encoder = this.addModule('encoder', encoder)
    this.quantizer = this.addModule('quantizer', quantizer)
    this.decoder = this.addModule('decoder', decoder)
    const { dim } = quantizer
    const [into, out] = [
      encoderWidth(encoder, options.encoderDim, dim),
      decoderWidth(decoder, options.decoderDim, dim),
    ]
    const layer = (inFeatures: number, outFeatures: number): Projection =>
      new Projection({ inFeatures, outFeatures, ...(random === undefined ? {} : { random }) })
    if (into !== dim) this.projectIn = this.addModule('project_in', layer(into, dim))
    if (out !== dim) this.projectOut = this.addModule('project_out', layer(dim, out))
    for (const [part, on] of Object.entries(freeze)) if (on) this.freezePart(part as PartName)
  }

  /** Lets a part stay as it is, or with `on: false` learn again; the projections go with the quantizer. */
  freezePart(part: PartName, on = true): this {
    expectOneOf('ComposedVQVAE.freezePart', 'part', part, ['encoder', 'quantizer', 'decoder'])
    const around = part === 'quantizer' ? [this.projectIn, this.projectOut] : []
    for (const module of [this[part], ...around]) module?.freeze(on)
    return this.train(this.training)
  }

  /** Frozen parts stay in evaluation mode. */
  override train(on = true): this {
    super.train(on)
    for (const part of this.frozenParts()) part.eval()
    return this
  }

  private frozenParts(): Module[] {
    const parts = [this.encoder, this.quantizer, this.decoder, this.projectIn, this.projectOut]
    return parts.filter(part => part !== undefined).filter(part => part.frozen)
  }

  /** Number of learned values, codebooks that moving averages move among them. */
  override parameterCount(): number {
    return super.parameterCount() + averagedCodes(this)
  }

  /** x: what the encoder takes. In training what is not frozen moves. */
  forward(x: tf.Tensor, options: MaskOptions = {}): ComposedVQVAEOutput {
    return tf.tidy(() => {
      const z = this.encode(x, options)
      const {
        quantized,
        indices,
        loss: vqLoss,
        perplexity,
      } = this.quantizer.forward(z, this.ofPlaces(options))
      const reconstructed = this.decode(quantized)
      const reconstructionLoss = this.compare(reconstructed, x, options.mask)
      expectShape(
        reconstructionLoss.rank === 0,
        'ComposedVQVAE.forward',
        'reconstructionLoss to give a scalar',
        `[${reconstructionLoss.shape.join(', ')}]`,
        'Take a mean or a sum.',
      )
      const loss = tf.add<tf.Scalar>(reconstructionLoss, vqLoss)
      return { reconstructed, loss, reconstructionLoss, vqLoss, perplexity, indices }
    })
  }

  /** Latents as the quantizer takes them, [..., quantizer.dim]. */
  encode(x: tf.Tensor, { mask }: MaskOptions = {}): tf.Tensor {
    // Also what was frozen by its own `freeze`, after the model was put into training.
    for (const part of this.frozenParts()) if (part.training) part.eval()
    return tf.tidy(() => {
      const { encoder } = this
      const known = mask !== undefined && encoder instanceof BaseEncoder ? { mask } : undefined
      const run = (): tf.Tensor => latentsIn(encoder.forward(x, known), this.latents)
      const z = encoder.frozen ? noGrad(run) : run()
      const width = this.projectIn?.inFeatures ?? this.quantizer.dim
      expectShape(
        z.rank >= 1 && z.shape[z.rank - 1] === width,
        'ComposedVQVAE.encode',
        `an encoder that gives latents [..., ${width}]`,
        `[${z.shape.join(', ')}]`,
        'Pass the width of its latents as encoderDim: a projection to the quantizer’s dim is added where they differ.',
      )
      return this.projectIn === undefined ? z : along(this.projectIn, z)
    })
  }

  // The mask where the quantizer's vectors are the positions that it speaks of.
  private ofPlaces({ mask }: MaskOptions): MaskOptions {
    const places = !(this.encoder instanceof BaseEncoder) || this.latents === 'sequence'
    return mask !== undefined && places ? { mask } : {}
  }

  /** Vectors of codes [..., quantizer.dim] → what the decoder makes of them. */
  decode(z: tf.Tensor): tf.Tensor {
    return tf.tidy(() => this.decoder.forward(this.projectOut === undefined ? z : along(this.projectOut, z)))
  }

  /** int32, of the latents' places, or with several codes each. */
  encodeToIndices(x: tf.Tensor, options: MaskOptions = {}): tf.Tensor {
    return tf.tidy(() => this.quantizer.encode(this.encode(x, options), this.ofPlaces(options)))
  }

  /** What `encodeToIndices` gave → what the decoder makes of it. */
  decodeFromIndices(indices: tf.Tensor): tf.Tensor {
    return tf.tidy(() => this.decode(this.quantizer.decode(indices)))
  }

  /** Takes the first codes from the latents of x where a start from data waits for them; the Trainer calls it. */
  async prepare(x: tf.Tensor, options: MaskOptions = {}): Promise<void> {
    const { quantizer } = this
    if (quantizer.initialize === undefined || quantizer.ready !== false || quantizer.frozen) return
    const z = tf.tidy(() => unmasked(this.encode(x, options), this.ofPlaces(options).mask))
    try {
      await quantizer.initialize(z)
    } finally {
      z.dispose()
    }
  }

  /** Writes all parts' weights into a folder, atomically, with a configuration of the caller's: plain JSON that `load` hands on. */
  async save(folder: string, config: object = {}): Promise<void> {
    expectConfig(
      typeof config === 'object' && config !== null,
      'ComposedVQVAE.save',
      'an object of what `load` will need to build the parts',
      config,
      'Pass one, or leave it out.',
    )
    await saveArtifact(folder, { model: 'ComposedVQVAE', options: config }, this.stateDict())
  }

  /** Builds a model of what was given to `save`, and reads its weights, in evaluation mode. */
  static load<C extends object>(folder: string, build: (config: C) => ComposedVQVAE): Promise<ComposedVQVAE> {
    return restoreModel(folder, 'ComposedVQVAE', build)
  }
}

// The rows of z [..., D] that a mask [...] keeps, [N, D].
function unmasked(z: tf.Tensor, mask: tf.Tensor | undefined): tf.Tensor {
  if (mask === undefined) return z
  const kept = Array.from(mask.dataSync()).flatMap((on, i) => (on ? [i] : []))
  return tf.gather(tf.reshape(z, [-1, z.shape[z.rank - 1]]), tf.tensor1d(kept, 'int32'))
}

// A Projection over the last axis.
function along(projection: Projection, z: tf.Tensor): tf.Tensor {
  const rows = projection.forward(tf.reshape(z, [-1, projection.inFeatures]))
  return tf.reshape(rows, [...z.shape.slice(0, -1), projection.outFeatures])
}
