import { expectConfig, expectInteger, expectOneOf, type Random } from '@vq/core'
import { expectOptions } from '../base/options.js'
import { type ActivationName, activationNames } from '../transformer/index.js'
import { imageDim } from '../vit/options.js'

export interface ResNetOptions {
  /** [H, W, C] of the images; only C counts, other sizes are taken as well. */
  inputDim: readonly number[]
  /** Where given, a linear layer leads there from the pooled features; else these are the embedding. */
  embeddingDim?: number
  /** Number of layers: sets `block` and `depths`. Default 18. */
  depth?: 18 | 34 | 50 | 101 | 152
  /** Two 3×3 convolutions, or 1×1, 3×3 and 1×1. */
  block?: 'basic' | 'bottleneck'
  /** Blocks per stage. */
  depths?: readonly number[]
  /** Channels that each stage gives. Default 64, 128, …, four times as many with bottlenecks. */
  widths?: readonly number[]
  /** Channels of the 3×3 convolutions of bottlenecks in each stage. Default: a quarter of `widths`. */
  innerWidths?: readonly number[]
  /** Channels of the first convolution. Default 64. */
  stemWidth?: number
  /** Groups of the 3×3 convolutions of bottlenecks, as in ResNeXt. Default 1. */
  groups?: number
  /** Step of the first stage. Default 1. */
  firstStride?: 1 | 2
  /** Which convolution of a bottleneck makes the step. Default '3x3'. */
  stepAt?: '1x1' | '3x3'
  /** Of the first convolution and behind each block. Default 'relu'. */
  activation?: ActivationName
  /** Whether the stages from the second on are dilated instead of stepping. Default none. */
  replaceStrideWithDilation?: readonly boolean[]
  /** Pixels of the image per place of the feature map; sets replaceStrideWithDilation. */
  outputStride?: 8 | 16 | 32
  /** Draws the initial weights. Default: the global generator. */
  random?: Random
}

const byDepth = {
  18: { block: 'basic', depths: [2, 2, 2, 2] },
  34: { block: 'basic', depths: [3, 4, 6, 3] },
  50: { block: 'bottleneck', depths: [3, 4, 6, 3] },
  101: { block: 'bottleneck', depths: [3, 4, 23, 3] },
  152: { block: 'bottleneck', depths: [3, 8, 36, 3] },
} as const

export interface Stage {
  depth: number
  width: number
  innerWidth: number
  stride: number
  /** Of the first block and of the others. */
  dilations: readonly [number, number]
}

export interface CheckedResNet {
  channels: number
  block: 'basic' | 'bottleneck'
  stemWidth: number
  groups: number
  stepAt: '1x1' | '3x3'
  activation: ActivationName
  stages: readonly Stage[]
}

export function checkedResNet(name: string, options: ResNetOptions): CheckedResNet {
  expectOptions(name, options, 'inputDim')
  const { depth = 18, outputStride, groups = 1, firstStride = 1, stemWidth = 64 } = options
  const { stepAt = '3x3', activation = 'relu' } = options
  const [, , channels] = imageDim(name, options.inputDim)
  expectOneOf(name, 'depth', String(depth), Object.keys(byDepth))
  const { block = byDepth[depth].block, depths = byDepth[depth].depths } = options
  expectOneOf(name, 'block', block, ['basic', 'bottleneck'])
  expectOneOf(name, 'stepAt', stepAt, ['1x1', '3x3'])
  expectOneOf(name, 'activation', activation, activationNames)
  expectInteger(name, 'firstStride', firstStride, 1, 2)
  expectInteger(name, 'stemWidth', stemWidth, 1)
  expectInteger(name, 'groups', groups, 1)
  expectConfig(
    Array.isArray(depths) && depths.length > 0,
    name,
    'depths of the stages',
    depths,
    'Pass [2, 2].',
  )
  const widths = options.widths ?? depths.map((_, i) => 64 * 2 ** i * (block === 'basic' ? 1 : 4))
  expectConfig(Array.isArray(widths), name, 'widths: one per stage', widths, 'Pass [64, 128].')
  const innerWidths = options.innerWidths ?? widths.map(w => (block === 'basic' ? w : Math.floor(w / 4)))
  const later = Math.max(0, depths.length - 1)
  const dilated = dilatedStages(name, options.replaceStrideWithDilation, outputStride, later)
  for (const [what, list] of Object.entries({ widths, innerWidths, 'dilated stages': dilated }))
    expectConfig(
      Array.isArray(list) && list.length === (what === 'dilated stages' ? later : depths.length),
      name,
      `${what}: one per stage${what === 'dilated stages' ? ' from the second on' : ''}`,
      list,
      `There are ${depths.length} stages.`,
    )
  let dilation = 1
  const stages = depths.map((count, i): Stage => {
    expectInteger(name, 'depths', count, 1, 1000)
    expectInteger(name, 'widths', widths[i], 1)
    expectInteger(name, 'innerWidths', innerWidths[i], 1)
    const step = i === 0 ? firstStride : 2
    const before = dilation
    const keeps = i > 0 && dilated[i - 1] === true
    if (keeps) dilation *= step
    return {
      depth: count,
      width: widths[i]!,
      innerWidth: innerWidths[i]!,
      stride: keeps ? 1 : step,
      dilations: [before, dilation],
    }
  })
  return { channels, block, stemWidth, groups, stepAt, activation, stages }
}

function dilatedStages(
  name: string,
  given: readonly boolean[] | undefined,
  outputStride: number | undefined,
  later: number,
): readonly boolean[] {
  if (outputStride === undefined) return given ?? new Array<boolean>(later).fill(false)
  expectOneOf(name, 'outputStride', String(outputStride), ['8', '16', '32'])
  expectConfig(
    given === undefined,
    name,
    'outputStride or replaceStrideWithDilation',
    'both',
    'Leave one of them out.',
  )
  const kept = Math.log2(outputStride / 4)
  return Array.from({ length: later }, (_, i) => i >= kept)
}
