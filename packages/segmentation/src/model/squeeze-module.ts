import { expectConfig, expectNumber, expectOneOf, expectShape, noGrad, tf } from '@vq/core'
import { expectOptions, Module } from '@vq/core/nn'
import { BaseQuantizer } from '@vq/quantizers'
import { SegmentationBackbone } from '../backbones/base.js'
import { type LossOptions, type LossType, lossTypes, segmentationLoss } from '../losses/index.js'
import { startQuantizer } from '../quantizers/start.js'
import { type Normalization, normalizations } from './normalization.js'

export interface SqueezeModuleOptions {
  backbone: SegmentationBackbone
  /** What the features pass through. Default: nothing, a baseline. */
  quantizer?: BaseQuantizer | undefined
  /** Default 'ce'. */
  lossType?: LossType
  /** Weight of the quantizer's loss. Default 0.1. */
  vqLossWeight?: number
  /** What is done to images 0..1 first. Default 'imagenet'. */
  normalization?: Normalization
  /** Whether the backbone's features stay as they are and the head and the quantizer learn. Default true. */
  freezeBackbone?: boolean
  loss?: LossOptions
}

// A type, not an interface: tf.tidy wants an index signature.
export type SegmentationResults = {
  /** What is to be minimised. */
  loss: tf.Scalar
  segmentation: tf.Scalar
  /** Mean over the classes that truth or prediction of this batch have. */
  meanIou: tf.Scalar
  /** The quantizer's loss before its weight. */
  vq?: tf.Scalar
  perplexity?: tf.Scalar
}

/**
 * A segmentation network whose features pass through a quantizer. Images are [B, H, W, 3], values 0..1; masks int32 [B, H, W] of
 * class numbers, −1 where a pixel does not count. Names on disk: `backbone.…`, `quantizer.…`.
 *
 * @example
 * const backbone = new ViTSegmentationBackbone({ numClasses: 3 })
 * const model = new SqueezeModule({ backbone, quantizer: new VQWithProjection({ inputDim: backbone.featureDim }) })
 * await new Trainer({ epochs: 10 }).fit(model, data.trainDataloader())
 */
export class SqueezeModule extends Module {
  readonly backbone: SegmentationBackbone
  readonly quantizer: BaseQuantizer | undefined
  readonly lossType: LossType
  readonly vqLossWeight: number
  readonly normalization: Normalization
  readonly frozenBackbone: boolean
  /** Where set, what `prepare` starts the quantizer from, features [N, D] row by row, instead of the first batch. */
  startVectors: (() => Promise<Float32Array>) | undefined
  private readonly lossOptions: LossOptions

  constructor(options: SqueezeModuleOptions) {
    super()
    const name = new.target.name
    expectOptions(name, options, '{ backbone, quantizer }')
    const { backbone, quantizer, lossType = 'ce', vqLossWeight = 0.1, normalization = 'imagenet' } = options
    expectConfig(
      backbone instanceof SegmentationBackbone && backbone.numClasses > 1,
      name,
      'backbone to be a SegmentationBackbone of at least two classes',
      backbone,
      'Pass new ViTSegmentationBackbone({ numClasses: 3 }) or another.',
    )
    expectConfig(
      quantizer === undefined || quantizer instanceof BaseQuantizer,
      name,
      'quantizer to be one of @vq/quantizers',
      quantizer,
      'Pass new VQWithProjection({ inputDim: backbone.featureDim }), or leave it out.',
    )
    expectOneOf(name, 'lossType', lossType, lossTypes)
    expectOneOf(name, 'normalization', normalization, Object.keys(normalizations) as Normalization[])
    expectNumber(name, 'vqLossWeight', vqLossWeight, 0, 1e6)
    expectConfig(
      quantizer === undefined || quantizer.dim === backbone.featureDim,
      name,
      `a quantizer of vectors of length ${backbone.featureDim}, as the features are`,
      quantizer?.dim,
      'Pass inputDim: backbone.featureDim.',
    )
    this.backbone = this.addModule('backbone', backbone)
    this.quantizer = quantizer && this.addModule('quantizer', quantizer)
    this.lossType = lossType
    this.vqLossWeight = vqLossWeight
    this.normalization = normalization
    this.frozenBackbone = options.freezeBackbone ?? true
    this.lossOptions = options.loss ?? {}
    if (this.frozenBackbone) backbone.freezeFeatures()
  }

  /** Frozen parts stay in evaluation: their normalisations may not move. */
  override train(on = true): this {
    super.train(on)
    if (on && this.frozenBackbone) {
      this.backbone.eval()
      this.backbone.headModule.train()
    }
    return this
  }

  /** Features of images [B, H, W, 3] → [B, h, w, D], before the quantizer; without gradient where the backbone is frozen. */
  features(images: tf.Tensor): tf.Tensor4D {
    return tf.tidy(() =>
      this.backbone.extractFeatures(normalizations[this.normalization](images), {
        detach: this.frozenBackbone,
      }),
    )
  }

  /** Logits [B, H, W, C] of features that the quantizer has not seen yet. */
  logitsOf(features: tf.Tensor, size: readonly [number, number]): tf.Tensor4D {
    return tf.tidy(() =>
      this.backbone.classify(this.quantizer?.forward(features).quantized ?? features, size),
    )
  }

  /** The class of every pixel, int32 [B, H, W]. In evaluation mode. */
  predict(images: tf.Tensor): tf.Tensor3D {
    return tf.tidy(() => {
      const size = images.shape.slice(1, 3) as [number, number]
      return tf.argMax(this.logitsOf(this.features(images), size), 3) as tf.Tensor3D
    })
  }

  /** Starts the quantizer from the features of the first batch; the Trainer calls it. */
  async prepare(images: tf.Tensor): Promise<void> {
    if (this.quantizer === undefined) return
    // As the codes will see them later, not by the statistics of this batch.
    this.eval()
    const given = await this.startVectors?.()
    const dim = this.backbone.featureDim
    const rows = tf.tidy(() =>
      given === undefined
        ? tf.reshape(this.features(images), [-1, dim])
        : tf.tensor2d(given, [given.length / dim, dim]),
    )
    this.train()
    try {
      await startQuantizer(this.quantizer, rows as tf.Tensor2D)
    } finally {
      rows.dispose()
    }
  }

  /** Losses of images; `mask` int32 [B, H, W]. */
  forward(images: tf.Tensor, extras: Record<string, tf.Tensor> = {}): SegmentationResults {
    return tf.tidy(() => this.fromFeatures(this.features(images), extras))
  }

  /** Losses of features [B, h, w, D]; `mask` int32 [B, H, W]. */
  fromFeatures(features: tf.Tensor, extras: Record<string, tf.Tensor>): SegmentationResults {
    const { mask } = extras
    expectShape(
      mask?.rank === 3 && mask.dtype === 'int32' && mask.shape[0] === features.shape[0],
      `${this.constructor.name}.forward`,
      `a mask int32 [${features.shape[0]}, H, W] beside the images`,
      mask === undefined ? 'none' : `[${mask.shape.join(', ')}] of ${mask.dtype}`,
      'Pass a data set with masks, such as oxfordPet(folder).',
    )
    const labels = mask as tf.Tensor3D
    return tf.tidy(() => {
      const squeezed = this.quantizer?.forward(features)
      const size = labels.shape.slice(1) as [number, number]
      const logits = this.backbone.classify(squeezed?.quantized ?? features, size)
      const { loss: segmentation, parts } = segmentationLoss(this.lossType, logits, labels, this.lossOptions)
      const loss =
        squeezed === undefined
          ? segmentation
          : tf.add<tf.Scalar>(segmentation, tf.mul(squeezed.loss, this.vqLossWeight))
      return {
        loss,
        segmentation,
        ...parts,
        meanIou: noGrad(() => meanIou(logits, labels)),
        ...(squeezed && { vq: squeezed.loss, perplexity: squeezed.perplexity }),
      }
    })
  }
}

/** Throws VqConfigError unless it is a SqueezeModule. */
export function expectModel(operation: string, model: unknown): asserts model is SqueezeModule {
  expectConfig(
    model instanceof SqueezeModule,
    operation,
    'a SqueezeModule',
    model,
    'Pass new SqueezeModule({ backbone, quantizer }) or the model of loadSegmentation(path).',
  )
}

/** The same without a quantizer: what a squeezed network is compared with. */
export class BaselineModule extends SqueezeModule {
  constructor(options: Omit<SqueezeModuleOptions, 'quantizer' | 'vqLossWeight'>) {
    super(options)
  }
}

function meanIou(logits: tf.Tensor4D, labels: tf.Tensor3D): tf.Scalar {
  const classes = logits.shape[3]
  const counted = tf.expandDims(tf.cast(tf.greaterEqual(labels, 0), 'float32'), 3)
  const hot = (x: tf.Tensor): tf.Tensor =>
    tf.mul(tf.cast(tf.oneHot(tf.maximum(x, tf.scalar(0, 'int32')), classes), 'float32'), counted)
  const [truth, guess] = [hot(labels), hot(tf.argMax(logits, 3))]
  const both = tf.sum(tf.mul(truth, guess), [0, 1, 2])
  const either = tf.sub(tf.add(tf.sum(truth, [0, 1, 2]), tf.sum(guess, [0, 1, 2])), both)
  const there = tf.cast(tf.greater(either, 0), 'float32')
  return tf.div(tf.sum(tf.divNoNan(both, either)), tf.maximum(tf.sum(there), 1)) as tf.Scalar
}
