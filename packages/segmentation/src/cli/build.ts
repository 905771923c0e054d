import { Random, VqConfigError } from '@vq/core'
import { openSafetensors } from '@vq/core/io'
import { fsqLevels } from '@vq/quantizers'
import type { SegmentationBackbone } from '../backbones/base.js'
import { type BackboneConfig, createBackbone, presetOf } from '../backbones/create.js'
import { pretrainedBackbone } from '../backbones/pretrained.js'
import { checkpointFile, readSegmentation, type SegmentationConfig } from '../model/checkpoint.js'
import { SqueezeModule } from '../model/squeeze-module.js'
import { createQuantizer, type QuantizerSettings } from '../quantizers/create.js'
import { mostStartVectors } from '../train/fit.js'
import type { QuantizerFlags, TrainFlags } from './flags.js'

export interface Built {
  model: SqueezeModule
  config: SegmentationConfig
}

/** The settings of the quantizer that flags name; says what FSQ made of the size. */
export function quantizerSettings(flags: QuantizerFlags, say: (line: string) => void): QuantizerSettings {
  const { quantizerType: type, codebookSize, bottleneckDim, numQuantizers, decay, commitmentWeight } = flags
  const { entropyLossWeight, diversityGamma, spherical = false } = flags
  if (flags.levels !== undefined && type !== 'fsq')
    throw new VqConfigError({
      operation: '--levels',
      expected: '--quantizer-type fsq',
      received: type,
      remedy: 'Leave it out.',
    })
  if (type === 'none') return { type }
  // Said before gigabytes are asked for.
  if ((type === 'vq' || type === 'rvq') && codebookSize > mostStartVectors)
    throw new VqConfigError({
      operation: `--codebook-size with ${type}`,
      expected: `at most ${mostStartVectors} codes, since so many feature vectors start them`,
      received: `${codebookSize}`,
      remedy: 'Use a smaller codebook, or more levels with rvq.',
    })
  if (type === 'vq') return { type, codebookSize, bottleneckDim, decay, commitmentWeight }
  if (type === 'rvq') return { type, codebookSize, bottleneckDim, numQuantizers, decay, commitmentWeight }
  if (type === 'lfq') return { type, codebookSize, entropyLossWeight, diversityGamma, spherical }
  const levels = flags.levels ?? fsqLevels(codebookSize)
  const size = levels.reduce((a, b) => a * b, 1)
  say(`FSQ with levels ${levels.join(' × ')} has ${size} codes, ${Math.log2(size).toFixed(2)} bits`)
  return { type, levels }
}

/** The network that flags name, with its weights. */
export async function buildFrom(
  flags: TrainFlags,
  quantizer: QuantizerSettings & { vqLossWeight: number },
  classes: readonly string[],
  say: (line: string) => void,
): Promise<Built> {
  const { seed, lossType, imageSize } = flags
  const { vqLossWeight, ...settings } = quantizer
  const random = new Random(seed)
  const {
    backbone,
    config,
    normalization = flags.normalization ?? 'imagenet',
  } = await backboneOf(flags, classes.length, random)
  const frozen = isFrozen(flags)
  say(
    `${config.model}${flags.weights === undefined ? '' : ` with the weights of ${flags.weights}`}: ` +
      `${backbone.parameterCount().toLocaleString('en-US')} parameters, features of ${backbone.featureDim} channels; ` +
      (frozen
        ? 'the backbone stays as it is'
        : `everything is trained${flags.weights === undefined ? ' from scratch' : ''}`),
  )
  const made = createQuantizer(settings, backbone.featureDim, random)
  const model = new SqueezeModule({
    ...{ backbone, quantizer: made, lossType, vqLossWeight, normalization, freezeBackbone: frozen },
  })
  return {
    model,
    config: {
      backbone: config,
      quantizer: settings,
      ...{ classes, imageSize, normalization, lossType, vqLossWeight },
      ...(flags.dataset === 'oxford_pet' && { border: flags.border }),
    },
  }
}

/** Whether the backbone's features stay as they are. */
export function isFrozen({ weights, trainBackbone = false }: TrainFlags): boolean {
  return weights !== undefined && !trainBackbone
}

async function backboneOf(
  flags: TrainFlags,
  numClasses: number,
  random: Random,
): Promise<{
  backbone: SegmentationBackbone
  config: BackboneConfig
  normalization?: SegmentationConfig['normalization']
}> {
  const { model, weights, headWidth, imageSize } = flags
  const request = { model, numClasses, imageSize, ...(headWidth !== undefined && { headWidth }) }
  if (weights === undefined) {
    const config = presetOf(request)
    return { backbone: createBackbone(config, random), config }
  }
  const own = await ownCheckpoint(weights)
  if (own === undefined) return pretrainedBackbone(weights, request, random)
  const { config: found, state, file } = await readSegmentation(own)
  const { backbone: trained } = found
  if (trained.model !== model)
    throw new VqConfigError({
      operation: `--weights ${file}`,
      expected: `a checkpoint of --model ${model}`,
      received: `one of ${trained.model}`,
      remedy: `Pass --model ${trained.model}.`,
    })
  const refuse = (flag: string, expected: unknown, received: unknown): void => {
    if (received === undefined || received === expected) return
    throw new VqConfigError({
      operation: `--${flag} with --weights ${file}`,
      expected: `${expected}, as the checkpoint was trained with`,
      received: `${received}`,
      remedy: 'Leave it out.',
    })
  }
  refuse('head-width', trained.headWidth, headWidth)
  refuse('normalization', found.normalization, flags.normalization)
  // The head goes on from there where the classes are as many.
  const config = { ...trained, numClasses }
  const backbone = createBackbone(config, random)
  const names = backbone.stateDict()
  const kept = Object.entries(state)
    .filter(([name]) => name.startsWith('backbone.'))
    .map(([name, value]) => [name.slice('backbone.'.length), value] as const)
    .filter(([name, value]) => `${names[name]?.shape}` === `${value.shape}`)
  backbone.loadStateDict(Object.fromEntries(kept), { strict: false })
  return { backbone, config, normalization: found.normalization }
}

/** The path of one of our checkpoints; undefined for weights of another kind. */
async function ownCheckpoint(path: string): Promise<string | undefined> {
  const file = await checkpointFile(path).catch(() => undefined)
  if (file === undefined || !file.endsWith('.safetensors')) return undefined
  const opened = await openSafetensors(file)
  try {
    return opened.metadata.config === undefined ? undefined : file
  } finally {
    await opened.close()
  }
}
