import { type Random, tf } from '@vq/core'
import { BatchNorm, Conv2d, Module } from '@vq/core/nn'
import { type ActivationName, activate } from '../transformer/index.js'

export interface BlockOptions {
  inChannels: number
  width: number
  innerWidth: number
  stride: number
  dilation: number
  groups: number
  stepAt: '1x1' | '3x3'
  activation: ActivationName
  random?: Random
}

type Step = { conv: Conv2d; norm: BatchNorm }

/** A convolution without bias and its normalisation. */
export function convolution(
  inChannels: number,
  outChannels: number,
  kernelSize: number,
  options: { stride?: number; dilation?: number; groups?: number; padding?: number; random?: Random } = {},
): Step {
  const { dilation = 1, padding = Math.floor(kernelSize / 2) * dilation } = options
  return {
    conv: new Conv2d({ inChannels, outChannels, kernelSize, bias: false, ...options, padding }),
    norm: new BatchNorm({ numFeatures: outChannels }),
  }
}

class Downsample extends Module {
  private readonly step: Step

  constructor(step: Step) {
    super()
    this.step = { conv: this.addModule('0', step.conv), norm: this.addModule('1', step.norm) }
  }

  forward(x: tf.Tensor): tf.Tensor {
    return this.step.conv.forwardInto(this.step.norm, x)
  }
}

/**
 * A residual block, [B, H, W, in] → [B, H/stride, W/stride, width]: convolutions `conv1`, `conv2` (and `conv3`) with `bn1`, …,
 * and where sizes change `downsample` on the way past them; then the activation of the sum.
 * Source: He et al. 2015, https://arxiv.org/abs/1512.03385, figures 2 and 5.
 */
export class ResidualBlock extends Module {
  private readonly steps: readonly Step[]
  private readonly downsample: Downsample | undefined
  private readonly activation: ActivationName

  constructor(block: 'basic' | 'bottleneck', options: BlockOptions) {
    super()
    const { inChannels, width, innerWidth, stride, dilation, groups, stepAt, activation, random } = options
    const generator = random === undefined ? {} : { random }
    const first = stepAt === '1x1' ? stride : 1
    const steps =
      block === 'basic'
        ? [
            convolution(inChannels, width, 3, { stride, dilation, ...generator }),
            convolution(width, width, 3, { dilation, ...generator }),
          ]
        : [
            convolution(inChannels, innerWidth, 1, { stride: first, ...generator }),
            convolution(innerWidth, innerWidth, 3, {
              stride: stride / first,
              dilation,
              groups,
              ...generator,
            }),
            convolution(innerWidth, width, 1, generator),
          ]
    this.steps = steps.map(({ conv, norm }, i) => ({
      conv: this.addModule(`conv${i + 1}`, conv),
      norm: this.addModule(`bn${i + 1}`, norm),
    }))
    this.activation = activation
    if (stride !== 1 || inChannels !== width)
      this.downsample = this.addModule(
        'downsample',
        new Downsample(convolution(inChannels, width, 1, { stride, ...generator })),
      )
  }

  forward(x: tf.Tensor): tf.Tensor4D {
    return tf.tidy(() => {
      const added = this.downsample?.forward(x) ?? x
      const last = this.steps.length - 1
      const ends = this.activation === 'relu'
      let y = x
      for (const [i, { conv, norm }] of this.steps.entries())
        y = conv.forwardInto(norm, y, i < last ? { relu: true } : { relu: ends, added })
      return (ends ? y : activate(y, this.activation)) as tf.Tensor4D
    })
  }
}
