import { expectInteger, type Random, tf } from '@vq/core'
import { Conv2d, Dropout, Module, ModuleList, Upsample } from '@vq/core/nn'
import { BaseEncoder, type EncoderOutput } from '../base/encoder.js'
import { expectOptions } from '../base/options.js'
import { convolution } from './blocks.js'
import type { ResNetOptions } from './options.js'
import { ResNetEncoder } from './resnet.js'

export interface DeepLabV3Options extends Omit<ResNetOptions, 'embeddingDim'> {
  /** Classes of the head; without it there is none. */
  numClasses?: number
  /** Dilations of the head's 3×3 convolutions. Default 12, 24, 36. */
  rates?: readonly number[]
  /** Channels inside the head. Default 256. */
  headWidth?: number
}

/** A convolution, its normalisation and ReLU, under the names '0' and '1'. */
class ConvReLU extends Module {
  private readonly step: ReturnType<typeof convolution>
  private readonly pools: boolean

  constructor(step: ReturnType<typeof convolution>, pools = false) {
    super()
    const first = pools ? 1 : 0
    this.pools = pools
    this.step = {
      conv: this.addModule(String(first), step.conv),
      norm: this.addModule(String(first + 1), step.norm),
    }
  }

  forward(x: tf.Tensor): tf.Tensor {
    const input = this.pools ? tf.mean(x, [1, 2], true) : x
    return this.step.conv.forwardInto(this.step.norm, input, { relu: true })
  }
}

/**
 * Atrous spatial pyramid pooling, [B, H, W, in] → [B, H, W, width]: a 1×1 convolution, dilated 3×3 ones and the mean over the
 * image beside each other, and one convolution over all of them.
 * Source: Chen et al. 2017, https://arxiv.org/abs/1706.05587, section 3.3.
 */
class PyramidPooling extends Module {
  private readonly branches: ModuleList<ConvReLU>
  private readonly project: ConvReLU
  private readonly drop: Dropout

  constructor(inChannels: number, width: number, rates: readonly number[], random?: Random) {
    super()
    const generator = random === undefined ? {} : { random }
    this.branches = this.addModule(
      'convs',
      new ModuleList([
        new ConvReLU(convolution(inChannels, width, 1, generator)),
        ...rates.map(dilation => new ConvReLU(convolution(inChannels, width, 3, { dilation, ...generator }))),
        new ConvReLU(convolution(inChannels, width, 1, generator), true),
      ]),
    )
    this.project = this.addModule(
      'project',
      new ConvReLU(convolution((rates.length + 2) * width, width, 1, generator)),
    )
    this.drop = this.addModule('drop', new Dropout({ rate: 0.5, ...generator }))
  }

  forward(x: tf.Tensor): tf.Tensor {
    const [b, h, w] = x.shape as [number, number, number]
    const parts = [...this.branches].map(branch => {
      const y = branch.forward(x)
      return y.shape[1] === h && y.shape[2] === w ? y : tf.broadcastTo(y, [b, h, w, y.shape[3]!])
    })
    return this.drop.forward(this.project.forward(tf.concat(parts, 3)))
  }
}

class Head extends Module {
  private readonly pyramid: PyramidPooling
  private readonly step: ReturnType<typeof convolution>
  private readonly last: Conv2d

  constructor(
    inChannels: number,
    width: number,
    classes: number,
    rates: readonly number[],
    generator: { random?: Random },
  ) {
    super()
    const { conv, norm } = convolution(width, width, 3, generator)
    this.pyramid = this.addModule('0', new PyramidPooling(inChannels, width, rates, generator.random))
    this.step = { conv: this.addModule('1', conv), norm: this.addModule('2', norm) }
    this.last = this.addModule(
      '4',
      new Conv2d({ inChannels: width, outChannels: classes, kernelSize: 1, ...generator }),
    )
  }

  forward(x: tf.Tensor): tf.Tensor4D {
    const y = this.step.conv.forwardInto(this.step.norm, this.pyramid.forward(x), { relu: true })
    return this.last.forward(y)
  }
}

/**
 * DeepLabV3, images [B, H, W, C] → the dilated residual network's features, whose map has one place per 8 × 8 pixels, and their
 * mean as embedding; with `numClasses` also a head that segments. Names on disk are torchvision's (`backbone.…`, `classifier.…`).
 * Source: Chen et al. 2017, https://arxiv.org/abs/1706.05587.
 *
 * @example
 * const encoder = new DeepLabV3Encoder({ inputDim: [224, 224, 3], numClasses: 21 })
 * encoder.featureMap(images)   // [B, 28, 28, 2048]
 * encoder.segment(images)      // logits [B, 224, 224, 21]
 */
export class DeepLabV3Encoder extends BaseEncoder {
  readonly inputShape: readonly (number | null)[]
  readonly embeddingDim: number
  readonly backbone: ResNetEncoder
  readonly numClasses: number | undefined
  private readonly head: Head | undefined

  constructor(options: DeepLabV3Options) {
    super()
    expectOptions('DeepLabV3Encoder', options, 'inputDim')
    const { numClasses, rates = [12, 24, 36], headWidth = 256, ...network } = options
    const { random, outputStride, replaceStrideWithDilation } = network
    const dilated = outputStride === undefined && replaceStrideWithDilation === undefined
    this.backbone = this.addModule(
      'backbone',
      new ResNetEncoder({ depth: 50, ...network, ...(dilated ? { outputStride: 8 as const } : {}) }),
    )
    this.inputShape = this.backbone.inputShape
    this.embeddingDim = this.backbone.embeddingDim
    this.numClasses = numClasses
    if (numClasses === undefined) return
    expectInteger('DeepLabV3Encoder', 'numClasses', numClasses, 1)
    expectInteger('DeepLabV3Encoder', 'headWidth', headWidth, 1)
    for (const rate of rates) expectInteger('DeepLabV3Encoder', 'rates', rate, 1)
    const generator = random === undefined ? {} : { random }
    this.head = this.addModule(
      'classifier',
      new Head(this.backbone.featureDim, headWidth, numClasses, rates, generator),
    )
  }

  /** What enters the first stage and what each stage gives, [B, h, w, channels] each. */
  hiddenStates(images: tf.Tensor): tf.Tensor4D[] {
    return this.backbone.hiddenStates(images)
  }

  /** [B, H/8, W/8, channels] */
  featureMap(images: tf.Tensor): tf.Tensor4D {
    return this.backbone.featureMap(images)
  }

  /** Logits of a feature map, [B, h, w, numClasses]. Throws VqConfigError without `numClasses`. */
  classify(map: tf.Tensor): tf.Tensor4D {
    const { head } = this
    expectInteger('DeepLabV3Encoder.classify', 'numClasses', this.numClasses, 1)
    return tf.tidy(() => (head as Head).forward(map))
  }

  /** Logits for every pixel, [B, H, W, numClasses]. Throws VqConfigError without `numClasses`. */
  segment(images: tf.Tensor): tf.Tensor4D {
    return tf.tidy(() => {
      const size = images.shape.slice(1, 3) as [number, number]
      return new Upsample({ size, mode: 'bilinear' }).forward(this.classify(this.featureMap(images)))
    })
  }

  protected encode(images: tf.Tensor): EncoderOutput {
    return this.backbone.forward(images)
  }
}
