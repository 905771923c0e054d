import { detach, expectShape, tf } from '@vq/core'
import { Module, Upsample } from '@vq/core/nn'

export interface FeatureOptions {
  /** Cut the gradient off, as for a frozen backbone. Default true. */
  detach?: boolean
}

/**
 * The base of every segmentation network: features that a quantizer can be put behind, and a head that turns features into
 * logits. A subclass implements `features` and `head`; shapes, resizing and the gradient's cut are here.
 */
export abstract class SegmentationBackbone extends Module {
  /** Channels of the features. */
  abstract readonly featureDim: number
  abstract readonly numClasses: number
  /** Channels of the images. */
  readonly inChannels: number = 3

  /** images: [B, H, W, inChannels] → [B, h, w, featureDim]. */
  protected abstract features(images: tf.Tensor4D): tf.Tensor4D
  /** features: [B, h, w, featureDim] → logits [B, h′, w′, numClasses]. */
  protected abstract head(features: tf.Tensor4D): tf.Tensor4D

  /**
   * The part that `head` runs, which is what learns behind frozen features. Default: the whole network; features can then
   * only be kept where a subclass says which part that is.
   */
  get headModule(): Module {
    return this
  }

  /** Keeps all but the head as it is, also the statistics of its normalisations; `headModule` goes on learning. */
  freezeFeatures(): this {
    this.freeze().eval()
    this.headModule.freeze(false)
    return this
  }

  /** images: float32 [B, H, W, inChannels] → [B, h, w, featureDim]. Throws VqShapeError for others. */
  extractFeatures(images: tf.Tensor, options: FeatureOptions = {}): tf.Tensor4D {
    this.expectChannels('extractFeatures', images, this.inChannels, 'images')
    return tf.tidy(() => {
      const features = this.features(images as tf.Tensor4D)
      return options.detach === false ? features : detach(features)
    })
  }

  /** features [B, h, w, featureDim] → logits [B, H, W, numClasses], enlarged to size [H, W] by bilinear interpolation. */
  classify(features: tf.Tensor, [height, width]: readonly [number, number]): tf.Tensor4D {
    this.expectChannels('classify', features, this.featureDim, 'features')
    return tf.tidy(() => {
      const logits = this.head(features as tf.Tensor4D)
      this.expectChannels('head', logits, this.numClasses, 'logits')
      if (logits.shape[1] === height && logits.shape[2] === width) return logits
      return new Upsample({ size: [height, width], mode: 'bilinear' }).forward(logits)
    })
  }

  /** images: float32 [B, H, W, inChannels] → logits [B, H, W, numClasses]. */
  forward(images: tf.Tensor): tf.Tensor4D {
    return tf.tidy(() => {
      const features = this.extractFeatures(images, { detach: false })
      return this.classify(features, [images.shape[1] ?? 0, images.shape[2] ?? 0])
    })
  }

  private expectChannels(method: string, x: tf.Tensor, channels: number, what: string): void {
    expectShape(
      x.rank === 4 && x.shape[3] === channels && x.dtype === 'float32',
      `${this.constructor.name}.${method}`,
      `float32 ${what} [B, H, W, ${channels}]`,
      `a tensor [${x.shape.join(', ')}] of ${x.dtype}`,
      'Channels are the last axis.',
    )
  }
}
