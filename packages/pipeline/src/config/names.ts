import { encoderNames } from '@vq/encoders'
import { quantizerNames } from '@vq/quantizers'
import { encoderSchemas, methodSchemas } from './schema.js'
import type { Modality } from './values.js'

const encoderAliases: Readonly<Record<string, string>> = {
  bert_like: 'bert',
  cnn_3d: 'cnn3d',
  '3d_cnn': 'cnn3d',
  vision_transformer: 'vit',
  identity: 'none',
}
const methodAliases: Readonly<Record<string, string>> = { vq: 'basic_vq', residual_vq: 'rvq' }

/** Which encoders read which inputs. */
export const encodersOf: Readonly<Record<Modality, readonly string[]>> = {
  image: ['cnn', 'resnet', 'vit'],
  text: ['lstm', 'transformer', 'bert'],
  video: ['cnn3d', 'video_transformer'],
  vector: ['none', 'linear'],
}

// Of its own keys alone: 'constructor' is no alias.
const aliasIn = (aliases: Readonly<Record<string, string>>, name: string): string =>
  (Object.hasOwn(aliases, name) ? aliases[name] : undefined) ?? name
export const encoderOf = (name: string): string => aliasIn(encoderAliases, name)
export const methodOf = (name: string): string => aliasIn(methodAliases, name)

/** The names that `encoderType` may have for inputs of a modality, a hub id or folder aside. */
export function encoderChoices(modality: Modality): string[] {
  const builtIn = new Set(Object.values(encodersOf).flat())
  // Those of the user, and no encoder of another modality.
  const own = encoderNames().filter(name => !builtIn.has(name) && !['deeplabv3', 'pca'].includes(name))
  return [...encodersOf[modality], ...own]
}

export function methodChoices(): string[] {
  const known = Object.keys(methodSchemas)
  return [...known, ...quantizerNames().filter(name => !known.includes(name) && methodOf(name) === name)]
}

/** Whether an `encoderType` is a pretrained model: a path, a file, or a hub id of two parts. */
export function isPretrained(name: string): boolean {
  return /[/\\]/.test(name) || /\.(safetensors|pth|pt|bin)$/.test(name) || name.startsWith('.')
}

export function isBuiltInEncoder(name: string): boolean {
  return Object.hasOwn(encoderSchemas, name)
}

export function isBuiltInMethod(name: string): boolean {
  return Object.hasOwn(methodSchemas, name)
}
