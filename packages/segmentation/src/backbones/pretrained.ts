import { expectConfig, type Random, VqConfigError } from '@vq/core'
import type { StateDict } from '@vq/core/io'
import {
  type BaseEncoder,
  DeepLabV3Encoder,
  fromPretrained,
  ResNetEncoder,
  VisionTransformerEncoder,
} from '@vq/encoders'
import type { SegmentationBackbone } from './base.js'
import {
  type BackboneConfig,
  type BackboneRequest,
  createBackbone,
  presetOf,
  type ResNetShape,
  type ViTShape,
} from './create.js'

/**
 * A backbone with the weights of an encoder: a file with torchvision's names, a folder, or a model's name on the hub, of any shape
 * of the model that is asked for. A DeepLabV3's head is taken too, but for its last layer where the classes are others; other
 * heads start anew. Throws as `fromPretrained`, and VqConfigError where the weights are of another kind.
 */
export async function pretrainedBackbone(
  weights: string,
  request: BackboneRequest,
  random?: Random,
): Promise<{ backbone: SegmentationBackbone; config: BackboneConfig }> {
  const wanted = presetOf(request)
  const isVit = wanted.vit !== undefined
  const encoder = await fromPretrained(
    weights,
    isVit ? {} : { outputStride: 8, ...(wanted.rates && { rates: wanted.rates }) },
  )
  try {
    const { config, state } = described(encoder, wanted, weights)
    const { headWidth = config.headWidth } = request
    expectConfig(
      headWidth === config.headWidth,
      `--head-width with --weights ${weights}`,
      `${config.headWidth}, as the head of the weights has`,
      headWidth,
      'Leave it out.',
    )
    const backbone = createBackbone(config, random)
    const names = backbone.stateDict()
    const fits = (name: string): boolean => `${state[name]?.shape}` === `${names[name]?.shape}`
    const lacking = Object.keys(names).find(name => name.startsWith('backbone.') && !fits(name))
    const extra = Object.keys(state).find(name => name.startsWith('backbone.') && !(name in names))
    if (lacking !== undefined || extra !== undefined) {
      backbone.dispose()
      throw new VqConfigError({
        operation: `--weights ${weights}`,
        expected: `weights of a plain ${isVit ? 'Vision Transformer' : 'residual network'}`,
        received: `${extra === undefined ? 'none that fit' : 'also'} '${extra ?? lacking}'`,
        remedy: 'Build the backbone in a program: new ViTSegmentationBackbone({ encoder, numClasses }).',
      })
    }
    const kept = Object.fromEntries(Object.entries(state).filter(([name]) => name in names && fits(name)))
    backbone.loadStateDict(kept, { strict: false })
    return { backbone, config }
  } finally {
    encoder.dispose()
  }
}

function described(
  encoder: BaseEncoder,
  wanted: BackboneConfig,
  weights: string,
): { config: BackboneConfig; state: StateDict } {
  const state = encoder.stateDict()
  const below = (prefix: string): StateDict =>
    Object.fromEntries(
      Object.entries(state)
        .filter(([name]) => !name.startsWith('head.') && !name.startsWith('fc.'))
        .map(([name, value]) => [prefix + name, value]),
    )
  if (wanted.vit !== undefined) {
    expectConfig(
      encoder instanceof VisionTransformerEncoder,
      `--weights ${weights}`,
      'a Vision Transformer for --model vit',
      encoder,
      'Choose the model that the weights are of.',
    )
    return { config: { ...wanted, vit: vitShape(encoder, state) }, state: below('backbone.') }
  }
  expectConfig(
    encoder instanceof DeepLabV3Encoder || encoder instanceof ResNetEncoder,
    `--weights ${weights}`,
    `a residual network for --model ${wanted.model}`,
    encoder,
    'Choose the model that the weights are of.',
  )
  const whole = encoder instanceof DeepLabV3Encoder
  const headWidth = state['classifier.4.weight']?.shape[1] ?? wanted.headWidth
  return {
    config: {
      ...wanted,
      headWidth: wanted.rates === undefined ? wanted.headWidth : headWidth,
      resnet: resnetShape(state, whole ? 'backbone.' : ''),
    },
    state: whole ? below('') : below('backbone.'),
  }
}

function vitShape(encoder: VisionTransformerEncoder, state: StateDict): ViTShape {
  const [patchSize, other] = encoder.patchSize
  const [rows, columns] = encoder.grid
  const [first] = [...encoder.blocks]
  expectConfig(
    patchSize === other && rows === columns && first !== undefined,
    '--weights',
    'square patches of square images, and layers',
    encoder.patchSize,
    'Build the backbone in a program: new ViTSegmentationBackbone({ encoder, numClasses }).',
  )
  return {
    imageSize: rows * patchSize,
    patchSize,
    hiddenDim: encoder.hiddenDim,
    numLayers: [...encoder.blocks].length,
    numHeads: first.attention.numHeads,
    mlpDim: state['blocks.0.mlp.fc1.weight']?.shape[0] ?? 0,
    epsilon: first.norm1.epsilon,
  }
}

/** What the shapes of the weights tell. */
function resnetShape(state: StateDict, prefix: string): ResNetShape {
  const shape = (name: string): readonly number[] => state[prefix + name]?.shape ?? []
  const depths: number[] = []
  for (let s = 1; shape(`layer${s}.0.conv1.weight`).length > 0; s++) {
    let blocks = 0
    while (shape(`layer${s}.${blocks}.conv1.weight`).length > 0) blocks++
    depths.push(blocks)
  }
  const bottleneck = shape('layer1.0.conv3.weight').length > 0
  const outputs = (conv: number): number[] =>
    depths.map((_, s) => shape(`layer${s + 1}.0.conv${conv}.weight`)[0]!)
  const [inner = 1, perGroup = 1] = shape('layer1.0.conv2.weight')
  return {
    block: bottleneck ? 'bottleneck' : 'basic',
    depths,
    widths: outputs(bottleneck ? 3 : 2),
    innerWidths: outputs(2),
    stemWidth: shape('conv1.weight')[0] ?? 64,
    groups: bottleneck ? inner / perGroup : 1,
    outputStride: 8,
  }
}
