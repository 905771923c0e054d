import { expectInteger, type Random, type tf } from '@vq/core'
import { BatchNorm, Conv2d, expectOptions, Module } from '@vq/core/nn'

export interface ConvHeadOptions {
  inChannels: number
  numClasses: number
  /** Channels inside. Default 256. */
  width?: number
  random?: Random
}

/**
 * A head of two convolutions, [B, h, w, in] → logits [B, h, w, numClasses]: 3×3, normalisation, ReLU, 1×1, under the names '0',
 * '1' and '3' that a PyTorch Sequential has.
 */
export class ConvHead extends Module {
  private readonly conv: Conv2d
  private readonly norm: BatchNorm
  private readonly last: Conv2d

  constructor(options: ConvHeadOptions) {
    super()
    expectOptions('ConvHead', options, '{ inChannels: 512, numClasses: 3 }')
    const { inChannels, numClasses, width = 256, random } = options
    expectInteger('ConvHead', 'inChannels', inChannels, 1)
    expectInteger('ConvHead', 'numClasses', numClasses, 1)
    expectInteger('ConvHead', 'width', width, 1)
    const generator = random === undefined ? {} : { random }
    this.conv = this.addModule(
      '0',
      new Conv2d({
        inChannels,
        outChannels: width,
        kernelSize: 3,
        padding: 1,
        bias: false,
        ...generator,
      }),
    )
    this.norm = this.addModule('1', new BatchNorm({ numFeatures: width }))
    this.last = this.addModule(
      '3',
      new Conv2d({ inChannels: width, outChannels: numClasses, kernelSize: 1, ...generator }),
    )
  }

  forward(features: tf.Tensor): tf.Tensor4D {
    return this.last.forward(this.conv.forwardInto(this.norm, features, { relu: true }))
  }
}
