import { detach, meanSquaredError, noGrad, tf } from '@vq/core'
import { Linear, Module } from '@vq/core/nn'
import { type BaseDecoder, type BaseEncoder, TextDecoder } from '@vq/encoders'
import type { Codec } from '../codec/codec.js'
import type { TrainingValues } from '../config/values.js'
import { contrastiveLoss } from './contrastive-loss.js'
import type { Batch, Tower } from './tower.js'
import { twoViews } from './views.js'

type Extras = Record<string, tf.Tensor>
type Losses = { loss: tf.Scalar } & Record<string, tf.Tensor>

/** What all objectives share: the towers' encoders and, where it is trained with them, the codec. */
abstract class ObjectiveModel extends Module {
  protected readonly encoders: readonly BaseEncoder[]
  protected readonly freezesEncoder: boolean

  constructor(towers: readonly Tower[], freezesEncoder: boolean) {
    super()
    this.freezesEncoder = freezesEncoder
    this.encoders = towers.map(t => t.encoder).filter(e => e !== undefined)
    for (const [i, encoder] of this.encoders.entries())
      this.addModule(i === 0 ? 'encoder' : `encoder${i}`, encoder)
    if (freezesEncoder) for (const encoder of this.encoders) encoder.freeze()
  }

  override train(on = true): this {
    super.train(on)
    if (this.freezesEncoder) for (const encoder of this.encoders) encoder.eval()
    return this
  }

  protected embed(
    tower: Tower,
    batch: Batch,
    granularity: 'item' | 'position',
    normalize: boolean,
  ): tf.Tensor {
    const run = (): tf.Tensor => tower.embed(batch, granularity, normalize)
    return this.freezesEncoder ? noGrad(run) : run()
  }
}

/** Items to codes and back: the reconstruction's error and the codec's loss. */
export class ReconstructionModel extends ObjectiveModel {
  private readonly parts: {
    tower: Tower
    codec: Codec
    decoder: BaseDecoder | TextDecoder
    granularity: 'item' | 'position'
    normalize: boolean
  }

  constructor(parts: ReconstructionModel['parts'], freezesEncoder: boolean) {
    super([parts.tower], freezesEncoder)
    this.parts = parts
    // A codec of k-means is fitted to what the encoder gives in the end.
    if (parts.codec.kmeans === undefined) this.addModule('codec', parts.codec)
    this.addModule('decoder', parts.decoder)
  }

  forward(x: tf.Tensor, { mask }: Extras = {}): Losses {
    return tf.tidy(() => {
      const { tower, codec, decoder, granularity, normalize } = this.parts
      const batch = mask === undefined ? { x } : { x, mask }
      const z = this.embed(tower, batch, granularity, normalize)
      const coded = codec.kmeans === undefined ? codec.forward(z, granularity === 'position' ? { ...(mask && { mask }) } : {}) : undefined // biome-ignore format: one line
      const q = coded?.quantized ?? z
      const reconstructionLoss =
        decoder instanceof TextDecoder
          ? decoder.loss(q as tf.Tensor2D, x, mask === undefined ? {} : { mask })
          : meanSquaredError(decoder.forward(q), x)
      if (coded === undefined) return { loss: reconstructionLoss, reconstructionLoss }
      const { loss: codecLoss, perplexity, error } = coded
      return {
        loss: tf.add<tf.Scalar>(reconstructionLoss, codecLoss),
        reconstructionLoss,
        codecLoss,
        perplexity,
        error,
      }
    })
  }
}

/**
 * Two views of an item, or the two halves of a pair, told apart from those of other items, by their embeddings and by what their
 * codes decode to; the codec's loss beside them. Without a codec, whose codes are learned afterwards, by their embeddings alone.
 */
export class ContrastiveModel extends ObjectiveModel {
  private readonly parts: { towers: readonly Tower[]; codec: Codec | undefined; options: TrainingValues }
  private readonly head: readonly [Linear, Linear]

  constructor(parts: ContrastiveModel['parts'], freezesEncoder: boolean) {
    super(parts.towers, freezesEncoder)
    this.parts = parts
    const [{ embeddingDim: dim }] = parts.towers as [Tower]
    if (parts.codec !== undefined) this.addModule('codec', parts.codec)
    this.head = [
      this.addModule('head1', new Linear({ inFeatures: dim, outFeatures: dim })),
      this.addModule('head2', new Linear({ inFeatures: dim, outFeatures: parts.options.projectionDim })),
    ]
  }

  forward(x: tf.Tensor, extras: Extras = {}): Losses {
    return tf.tidy(() => {
      const { towers, codec, options } = this.parts
      const [first, second] = towers as [Tower, Tower | undefined]
      const views =
        second === undefined
          ? this.views(first, { x, ...(extras.mask && { mask: extras.mask }) })
          : this.pair(x, extras)
      const [za, zb] = views.map(
        ({ tower, batch }) => this.embed(tower, batch, 'item', true) as tf.Tensor2D,
      ) as [tf.Tensor2D, tf.Tensor2D]
      const settings = { temperature: options.temperature, within: second === undefined }
      const compare = (a: tf.Tensor2D, b: tf.Tensor2D): tf.Scalar => {
        // Pairs are matched by their embeddings, views through a head that is thrown away.
        const [u, v] = second === undefined ? [this.project(a), this.project(b)] : [a, b]
        return contrastiveLoss(u, v, settings)
      }
      const embeddingLoss = compare(za, zb)
      if (codec === undefined) return { loss: embeddingLoss, embeddingLoss }
      const [n] = za.shape
      const { quantized, loss: codecLoss, perplexity, error } = codec.forward(tf.concat([za, zb]))
      const [qa, qb] = tf.split(quantized, [n, zb.shape[0]]) as [tf.Tensor2D, tf.Tensor2D]
      const codeLoss = compare(qa, qb)
      // Each half is drawn to the other's codes too, so that a pair ends at one code.
      const pull = second === undefined ? [] : [apart(za, qb), apart(zb, qa)]
      const loss = tf.addN([embeddingLoss, codeLoss, codecLoss, ...pull]) as tf.Scalar
      return { loss, embeddingLoss, codeLoss, codecLoss, perplexity, error }
    })
  }

  /** Frees what only training needed. */
  disposeHead(): void {
    for (const layer of this.head) layer.dispose()
  }

  private views(tower: Tower, batch: Batch): { tower: Tower; batch: Batch }[] {
    const { options } = this.parts
    // Evaluation looks at the same kind of views, so that its losses can be compared.
    return twoViews({ ...batch, x: detach(batch.x) }, tower.modality, options).map(view => ({
      tower,
      batch: view,
    }))
  }

  private pair(x: tf.Tensor, { tokens, mask }: Extras): { tower: Tower; batch: Batch }[] {
    const [image, text] = this.parts.towers as [Tower, Tower]
    const [view] = this.training ? twoViews({ x }, 'image', this.parts.options) : [{ x }]
    return [
      { tower: image, batch: view as Batch },
      { tower: text, batch: { x: tokens as tf.Tensor, mask: mask as tf.Tensor } },
    ]
  }

  private project(z: tf.Tensor2D): tf.Tensor2D {
    const [first, second] = this.head
    return second.forward(tf.relu(first.forward(z))) as tf.Tensor2D
  }
}

// ‖z − sg(q)‖², a mean over the batch.
function apart(z: tf.Tensor2D, q: tf.Tensor2D): tf.Scalar {
  return tf.mul(meanSquaredError(z, detach(q)), z.shape[1])
}

/** Embeddings to codes and back. */
export class CodecModel extends Module {
  private readonly codec: Codec

  constructor(codec: Codec) {
    super()
    this.codec = this.addModule('codec', codec)
  }

  forward(z: tf.Tensor): Losses {
    return tf.tidy(() => {
      const { loss, error, perplexity } = this.codec.forward(z)
      return { loss, error, perplexity }
    })
  }
}
