import { VqConfigError } from '@vq/core'
import { ModelConfig } from '../pretrained/model-config.js'
import { type Filter, filters } from './resize.js'

/** What is done with an image before a model sees it; a step that is left out is not done. */
export interface ImageProcessorOptions {
  /** Of the resized image in pixels: both edges, or the shorter one, the other following. */
  resize?: { height: number; width: number } | { shortestEdge: number }
  /** Default 'bilinear'. */
  filter?: Filter
  /** Of the middle that is cut out of it. */
  crop?: { height: number; width: number }
  /** What bytes are multiplied by. Default 1/255. */
  rescale?: number
  /** Subtracted from each channel, which is then divided by `std`. */
  mean?: readonly number[]
  std?: readonly number[]
}

interface Defaults {
  resample: number
  shortest: boolean
  size: number
  crop: boolean
  mean: readonly number[]
  std: readonly number[]
}

const half = [0.5, 0.5, 0.5]
const openai = { mean: [0.48145466, 0.4578275, 0.40821073], std: [0.26862954, 0.26130258, 0.27577711] }
const vit: Defaults = { resample: 2, shortest: false, size: 224, crop: false, mean: half, std: half }
const clip: Defaults = { ...openai, resample: 3, shortest: true, size: 224, crop: true }

/** What the processors of transformers do where their file says nothing. */
const byType: Readonly<Record<string, Defaults>> = {
  ViTImageProcessor: vit,
  ViTFeatureExtractor: vit,
  DeiTImageProcessor: { ...vit, resample: 3, size: 256, crop: true },
  CLIPImageProcessor: clip,
  CLIPFeatureExtractor: clip,
  BitImageProcessor: clip,
  ConvNextImageProcessor: { ...vit, resample: 3, shortest: true, size: 384 },
  ConvNextFeatureExtractor: { ...vit, resample: 3, shortest: true, size: 384 },
  VideoMAEImageProcessor: { ...vit, shortest: true, crop: true },
  VideoMAEFeatureExtractor: { ...vit, shortest: true, crop: true },
}

/** The steps that a model's `preprocessor_config.json` describes. Throws VqConfigError for those that are not supported. */
export function processorOptions(values: Record<string, unknown>, source: string): ImageProcessorOptions {
  const config = new ModelConfig(values, source)
  const named = values.image_processor_type ?? values.feature_extractor_type ?? 'ViTImageProcessor'
  const type = String(named).replace(/(Fast|Pil)$/, '')
  const defaults = byType[type]
  if (defaults === undefined)
    throw new VqConfigError({
      operation: `reading ${source}`,
      expected: `an image_processor_type among ${Object.keys(byType).join(', ')}`,
      received: JSON.stringify(named),
      remedy: 'new ImageProcessor({ … }) takes the steps themselves.',
    })
  config.require('do_pad', false)
  config.require('rescale_offset', false)
  const steps: { -readonly [K in keyof ImageProcessorOptions]: ImageProcessorOptions[K] } = {}
  if (config.flag('do_resize', true)) Object.assign(steps, resizing(config, type, defaults))
  if (config.flag('do_center_crop', defaults.crop)) steps.crop = both(config, 'crop_size', 224)
  steps.rescale = config.flag('do_rescale', true)
    ? config.number('rescale_factor', 1 / 255, { least: -1e6, most: 1e6 })
    : 1
  if (config.flag('do_normalize', true)) {
    steps.mean = channels(config, 'image_mean', defaults.mean)
    steps.std = channels(config, 'image_std', defaults.std)
  }
  return steps
}

function resizing(config: ModelConfig, type: string, defaults: Defaults): ImageProcessorOptions {
  const filter = filters[config.integer('resample', defaults.resample, { least: 0, most: 5 })]!
  const size = sizeOf(config, defaults)
  if (!type.startsWith('ConvNext')) return { resize: size, filter }
  const edge = 'shortestEdge' in size ? size.shortestEdge : size.height
  if (edge >= 384) return { resize: { height: edge, width: edge }, filter }
  // What is resized is larger by this share, and its middle is cut out.
  const share = config.number('crop_pct', 224 / 256, { least: 0.01, most: 1 })
  return {
    resize: { shortestEdge: Math.trunc(edge / share) },
    crop: { height: edge, width: edge },
    filter,
  }
}

function sizeOf(
  config: ModelConfig,
  { shortest, size }: Defaults,
): { height: number; width: number } | { shortestEdge: number } {
  const value = config.values.size
  if (typeof value === 'object' && value !== null) {
    const section = config.section('size')
    if (section.has('longest_edge')) section.require('longest_edge', undefined)
    if (section.has('shortest_edge')) return { shortestEdge: section.integer('shortest_edge', size) }
    return { height: section.integer('height', size), width: section.integer('width', size) }
  }
  // Older files hold one number.
  const edge = config.integer('size', size)
  return shortest ? { shortestEdge: edge } : { height: edge, width: edge }
}

function both(config: ModelConfig, name: string, fallback: number): { height: number; width: number } {
  const value = config.values[name]
  if (typeof value !== 'object' || value === null) {
    const edge = config.integer(name, fallback)
    return { height: edge, width: edge }
  }
  const section = config.section(name)
  return { height: section.integer('height', fallback), width: section.integer('width', fallback) }
}

function channels(config: ModelConfig, name: string, fallback: readonly number[]): readonly number[] {
  const value = config.values[name] ?? fallback
  const list = typeof value === 'number' ? [value, value, value] : value
  if (Array.isArray(list) && list.length === 3 && list.every(n => typeof n === 'number')) return list
  throw new VqConfigError({
    operation: `reading ${config.source}`,
    expected: `${name} to be three numbers`,
    received: JSON.stringify(value),
    remedy: 'Only images of three channels are supported.',
  })
}
