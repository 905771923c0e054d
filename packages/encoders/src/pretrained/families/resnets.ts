// ResNet in transformers' and in torchvision's names, and torchvision's DeepLabV3.
import type { TensorEntry } from '@vq/core/io'
import { DeepLabV3Encoder, ResNetEncoder, type ResNetOptions } from '../../resnet/index.js'
import { activationNames } from '../../transformer/index.js'
import type { FamilyInput, PretrainedFamily } from '../families.js'
import { ModelConfig } from '../model-config.js'
import { type NamingRules, ruled } from '../rules.js'

const counted = (at: string | undefined): number => Number(at) + 1
const stage = String.raw`^encoder\.stages\.(\d+)\.layers\.(\d+)\.`

const transformersRules: NamingRules = [
  [/^classifier\./, () => undefined],
  [/^embedder\.embedder\.convolution\./, 'conv1.'],
  [/^embedder\.embedder\.normalization\./, 'bn1.'],
  [
    new RegExp(`${stage}layer\\.(\\d+)\\.(convolution|normalization)\\.(.+)$`),
    ([, s, block, step, what, rest]) => ({
      name: `layer${counted(s)}.${block}.${what === 'convolution' ? 'conv' : 'bn'}${counted(step)}.${rest}`,
    }),
  ],
  [
    new RegExp(`${stage}shortcut\\.(convolution|normalization)\\.(.+)$`),
    ([, s, block, what, rest]) => ({
      name: `layer${counted(s)}.${block}.downsample.${what === 'convolution' ? 0 : 1}.${rest}`,
    }),
  ],
]

function transformers({ config }: FamilyInput): ResNetEncoder {
  const block = config.choice('layer_type', 'bottleneck', ['basic', 'bottleneck'])
  return new ResNetEncoder({
    inputDim: [224, 224, config.integer('num_channels', 3)],
    block,
    depths: config.integers('depths', [3, 4, 6, 3]),
    widths: config.integers('hidden_sizes', [256, 512, 1024, 2048]),
    stemWidth: config.integer('embedding_size', 64),
    activation: config.choice('hidden_act', 'relu', activationNames),
    firstStride: config.flag('downsample_in_first_stage', false) ? 2 : 1,
    stepAt: config.flag('downsample_in_bottleneck', false) ? '1x1' : '3x3',
  })
}

type Entries = ReadonlyMap<string, TensorEntry>

/** What the shapes of torchvision's weights tell of a network. */
function fromShapes(entries: Entries, prefix: string): ResNetOptions {
  const shape = (name: string): number[] => entries.get(prefix + name)?.shape ?? []
  const blocks = (s: number): number => {
    let count = 0
    while (entries.has(`${prefix}layer${s + 1}.${count}.conv1.weight`)) count++
    return count
  }
  const depths: number[] = []
  while (blocks(depths.length) > 0) depths.push(blocks(depths.length))
  const bottleneck = entries.has(`${prefix}layer1.0.conv3.weight`)
  const outputs = (conv: number) => depths.map((_, s) => shape(`layer${s + 1}.0.conv${conv}.weight`)[0] ?? 0)
  const [inner = 0, perGroup = 1] = shape('layer1.0.conv2.weight')
  const [stemWidth = 0, channels = 0] = shape('conv1.weight')
  return {
    inputDim: [224, 224, channels],
    block: bottleneck ? 'bottleneck' : 'basic',
    depths,
    widths: outputs(bottleneck ? 3 : 2),
    innerWidths: outputs(2),
    stemWidth,
    groups: bottleneck ? inner / perGroup : 1,
  }
}

function dilation(options: Readonly<Record<string, unknown>>): Partial<ResNetOptions> {
  const { replaceStrideWithDilation, outputStride } = options as Partial<ResNetOptions>
  return {
    ...(replaceStrideWithDilation && { replaceStrideWithDilation }),
    ...(outputStride && { outputStride }),
  }
}

function deeplab({ entries, options }: FamilyInput): DeepLabV3Encoder {
  const shape = (name: string): number[] => entries.get(name)?.shape ?? []
  const [numClasses = 0, headWidth = 0] = shape('classifier.4.weight')
  const given = new ModelConfig(options, 'the options of fromPretrained')
  const rates = given.has('rates') ? given.integers('rates', []) : undefined
  const wanted = options.head !== false && numClasses > 0
  if (!wanted)
    for (const name of [...entries.keys()]) if (name.startsWith('classifier.')) entries.delete(name)
  return new DeepLabV3Encoder({
    ...fromShapes(entries, 'backbone.'),
    ...dilation(options),
    ...(wanted ? { numClasses, headWidth } : {}),
    ...(rates && { rates }),
  })
}

export const residualNetworks: readonly PretrainedFamily[] = [
  {
    name: 'ResNet',
    modelTypes: ['resnet'],
    prefixes: ['resnet.'],
    rename: ruled(transformersRules),
    create: transformers,
  },
  {
    name: "torchvision's DeepLabV3",
    modelTypes: [],
    detect: names => names.has('backbone.conv1.weight') && names.has('classifier.0.convs.0.0.weight'),
    rename: name => (name.startsWith('aux_classifier.') ? undefined : name),
    create: deeplab,
  },
  {
    name: "torchvision's ResNet",
    modelTypes: [],
    detect: names => names.has('conv1.weight') && names.has('layer1.0.conv1.weight'),
    rename: name => (name.startsWith('fc.') ? undefined : name),
    create: ({ entries, options }) => new ResNetEncoder({ ...fromShapes(entries, ''), ...dilation(options) }),
  },
]
