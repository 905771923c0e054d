import { expectConfig, VqConfigError } from '@vq/core'
import type { TensorEntry } from '@vq/core/io'
import type { BaseEncoder } from '../base/encoder.js'
import type { ModelConfig } from './model-config.js'
import type { ModelFiles } from './model-files.js'

/** Where a tensor of a file goes, if not as it is under another name. */
export interface WeightTarget {
  name: string
  /** It is one of `of` that stand along the first axis of the encoder's, such as a query among q, k and v. Default 0. */
  part?: number
  /** Default 1. */
  of?: number
  /** Whether parts that the file lacks are zeros, as biases that some models do without. Default false. */
  zeros?: boolean
  /** How many axes of size 1 the encoder's has before its own. Default 0. */
  leading?: number
}

/** What a family makes an encoder of. */
export interface FamilyInput {
  /** `config.json`; empty where the weights have none, as torchvision's. */
  config: ModelConfig
  /** Types and shapes of the weights, by the encoder's names. `create` deletes those that the encoder does without. */
  entries: Map<string, TensorEntry>
  /** What was passed to `fromPretrained`. */
  options: Readonly<Record<string, unknown>>
}

/** How the checkpoints of one kind of model become encoders. */
export interface PretrainedFamily {
  name: string
  /** `model_type` in config.json, with ':' and the tower behind it for models of several ('clip:text'). */
  modelTypes: readonly string[]
  /** Where there is no config.json: whether weights of these names (without 'state_dict.', 'module.' and the like) are its own. */
  detect?: (names: ReadonlySet<string>) => boolean
  /**
   * What stands before the names where the model is part of a larger one ('vit.'): if any name has it, the others are a
   * head's and are left out.
   */
  prefixes?: readonly string[]
  /** The encoder's name for one of the file's; undefined for what the encoder does without. */
  rename: (name: string) => string | WeightTarget | undefined
  /** Options that files beside config.json imply; those passed to `fromPretrained` go first. */
  optionsOf?: (files: ModelFiles) => Promise<Record<string, unknown>>
  /** Reads every field that changes the mathematics; throws VqConfigError for what it does not support. */
  create: (input: FamilyInput) => BaseEncoder
}

const families: PretrainedFamily[] = []

/**
 * Teaches `fromPretrained` another kind of model. Later ones go first.
 *
 * @example
 * registerFamily({ name: 'mine', modelTypes: ['my_model'], rename: name => name, create: ({ config }) => new Mine(config) })
 */
export function registerFamily(family: PretrainedFamily): void {
  expectConfig(
    typeof family?.create === 'function' &&
      typeof family.rename === 'function' &&
      Array.isArray(family.modelTypes),
    'registerFamily',
    'a family with modelTypes, rename and create',
    family,
    'Pass { name, modelTypes, rename, create }.',
  )
  families.unshift(family)
}

export function familyOfType(type: string, builtIn: readonly PretrainedFamily[]): PretrainedFamily {
  const all = [...families, ...builtIn]
  const found = all.find(({ modelTypes }) => modelTypes.includes(type))
  if (found !== undefined) return found
  throw new VqConfigError({
    operation: 'fromPretrained',
    expected: `a model_type among ${[...new Set(all.flatMap(({ modelTypes }) => modelTypes))].sort().join(', ')}`,
    received: `'${type}'`,
    remedy: 'registerFamily teaches it others.',
  })
}

export function familyOfNames(
  names: ReadonlySet<string>,
  source: string,
  builtIn: readonly PretrainedFamily[],
): PretrainedFamily {
  const found = [...families, ...builtIn].find(({ detect }) => detect?.(names))
  if (found !== undefined) return found
  throw new VqConfigError({
    operation: 'fromPretrained',
    expected: `a config.json beside ${source}, or weights with torchvision's names`,
    received: `names such as ${[...names].slice(0, 5).join(', ')}`,
    remedy: 'Pass the folder of a model that has its config.json.',
  })
}
