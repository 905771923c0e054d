// A trained network in one file: weights in safetensors under PyTorch's names, and in its header all that it takes to build it.
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { expectConfig, type Random, VqConfigError, VqFormatError } from '@vq/core'
import { loadSafetensors, type StateDict, saveSafetensors } from '@vq/core/io'
import { expectOptions } from '@vq/core/nn'
import { type BackboneConfig, createBackbone, modelNames } from '../backbones/create.js'
import type { LossType } from '../losses/index.js'
import { expectPath } from '../options.js'
import { createQuantizer, type QuantizerSettings } from '../quantizers/create.js'
import type { Normalization } from './normalization.js'
import { expectModel, SqueezeModule } from './squeeze-module.js'

export const formatVersion = 1

/** What a checkpoint says of its network, as plain JSON. */
export interface SegmentationConfig {
  backbone: BackboneConfig
  quantizer: QuantizerSettings
  /** Names of the classes, by number. */
  classes: readonly string[]
  imageSize: number
  normalization: Normalization
  lossType: LossType
  vqLossWeight: number
  /** What became of the border, where the data have one. */
  border?: string
}

/** The network of a configuration with random weights. */
export function buildModel(
  config: SegmentationConfig,
  random?: Random,
  freezeBackbone = true,
): SqueezeModule {
  expectOptions('buildModel', config, 'the config of loadSegmentation(path)')
  const backbone = createBackbone(config.backbone, random)
  const { normalization, lossType, vqLossWeight } = config
  return new SqueezeModule({
    backbone,
    quantizer: createQuantizer(config.quantizer, backbone.featureDim, random),
    ...{ normalization, lossType, vqLossWeight, freezeBackbone },
  })
}

export async function saveSegmentation(
  path: string,
  model: SqueezeModule,
  config: SegmentationConfig,
): Promise<void> {
  expectPath('saveSegmentation', path)
  expectModel('saveSegmentation', model)
  expectOptions('saveSegmentation', config, 'what buildModel takes')
  const text = JSON.stringify({ formatVersion, kind: 'segmentation', ...config })
  await saveSafetensors(path, model.stateDict(), { format: 'pt', config: text })
}

/** A checkpoint's file: itself, or `best.safetensors` or `last.safetensors` in a folder. Throws VqConfigError. */
export async function checkpointFile(path: string): Promise<string> {
  expectConfig(
    typeof path === 'string' && path !== '',
    'opening a checkpoint',
    'the path of a checkpoint',
    path,
    'Pass what vq-segment squeeze or baseline wrote.',
  )
  const info = await stat(path).catch(() => undefined)
  if (info?.isFile()) return path
  for (const name of ['best.safetensors', 'last.safetensors']) {
    const file = join(path, name)
    if (info?.isDirectory() && (await stat(file).catch(() => undefined))?.isFile()) return file
  }
  throw new VqConfigError({
    operation: 'opening a checkpoint',
    expected: `${path} to be a checkpoint, or a folder with best.safetensors or last.safetensors`,
    received: info === undefined ? 'nothing of that name' : 'neither',
    remedy: 'Pass what vq-segment squeeze or baseline wrote.',
  })
}

/** What a checkpoint holds, nothing built. Throws VqConfigError, VqFormatError for files that are no checkpoints of ours. */
export async function readSegmentation(
  path: string,
): Promise<{ file: string; config: SegmentationConfig; state: StateDict }> {
  const file = await checkpointFile(path)
  const { tensors: state, metadata } = await loadSafetensors(file)
  const config = configOf(file, metadata.config)
  expectFits(file, config, state)
  return { file, config, state }
}

/** The network in a checkpoint, in evaluation mode. Throws as `readSegmentation`. */
export async function loadSegmentation(
  path: string,
): Promise<{ model: SqueezeModule; config: SegmentationConfig; file: string }> {
  const { file, config, state } = await readSegmentation(path)
  const model = built(file, config)
  try {
    model.loadStateDict(state)
  } catch (error) {
    model.dispose()
    throw error
  }
  model.eval()
  return { model, config, file }
}

/** The network of a header, whose errors name the file that it stands in. */
function built(file: string, config: SegmentationConfig): SqueezeModule {
  try {
    return buildModel(config)
  } catch (cause) {
    if (!(cause instanceof VqConfigError)) throw cause
    const { expected, received } = cause
    const remedy = 'The file is damaged: train again, or fetch it again.'
    throw new VqFormatError({ operation: `reading ${file}`, expected, received, remedy, cause })
  }
}

function configOf(file: string, text: string | undefined): SegmentationConfig {
  let value: (SegmentationConfig & { kind?: string; formatVersion?: number }) | undefined
  try {
    value = JSON.parse(text ?? 'null')
  } catch {
    // Said below.
  }
  const isObject = (part: unknown): boolean => typeof part === 'object' && part !== null
  const whole =
    value?.kind === 'segmentation' &&
    isObject(value.backbone) &&
    isObject(value.quantizer) &&
    Array.isArray(value.classes) &&
    value.classes.every(name => typeof name === 'string') &&
    value.classes.length === value.backbone.numClasses &&
    modelNames.includes(value.backbone.model) &&
    Number.isInteger(value.imageSize) &&
    value.imageSize >= 8 &&
    value.imageSize <= 4096
  if (whole && value?.formatVersion === formatVersion) return value
  throw new VqFormatError({
    operation: `reading ${file}`,
    expected: `a segmentation checkpoint of format version ${formatVersion}`,
    received:
      value?.kind !== 'segmentation'
        ? 'another file'
        : value.formatVersion === formatVersion
          ? 'a header that names no such network'
          : `version ${value.formatVersion}`,
    remedy: 'Pass what vq-segment squeeze or baseline wrote.',
  })
}

/** A header that was tampered with may not make networks of any size: no number is larger than what the file holds. */
function expectFits(file: string, config: SegmentationConfig, state: StateDict): void {
  const tensors = Object.values(state)
  const largest = tensors.reduce((most, { shape }) => Math.max(most, ...shape), 4096)
  const { codebookSize = 0, bottleneckDim = 0, numQuantizers = 0, type } = config.quantizer
  const learned = type === 'vq' || type === 'rvq' ? codebookSize : 0
  const { vit, resnet } = config.backbone
  const blocks = [vit?.numLayers ?? 0, ...(Array.isArray(resnet?.depths) ? resnet.depths : []), numQuantizers]
  const tooLarge =
    numbersIn([config.backbone, learned, bottleneckDim]).find(n => !(Math.abs(n) <= largest)) ??
    numbersIn(blocks).find(n => !(n <= tensors.length))
  if (tooLarge === undefined) return
  throw new VqFormatError({
    operation: `reading ${file}`,
    expected: 'a network of the size of its weights',
    received: `the number ${tooLarge} in its configuration`,
    remedy: 'The file is damaged: train again, or fetch it again.',
  })
}

function numbersIn(value: unknown): number[] {
  if (typeof value === 'number') return [value]
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(numbersIn) : []
}
