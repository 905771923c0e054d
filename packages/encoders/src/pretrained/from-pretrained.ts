import { stat } from 'node:fs/promises'
import { basename } from 'node:path'
import { VqFormatError } from '@vq/core'
import { loadWeights, openWeights, type TensorFile } from '@vq/core/io'
import type { BaseEncoder } from '../base/encoder.js'
import { builtInFamilies } from './built-in.js'
import type { HubOptions } from './environment.js'
import { familyOfNames, familyOfType, type PretrainedFamily } from './families.js'
import { ModelConfig } from './model-config.js'
import { openModel, readJson } from './model-files.js'
import { openModelWeights, plainNames, renamed } from './weights.js'

export interface FromPretrainedOptions extends HubOptions {
  /** Of models that have several, as CLIP: 'vision' (default) or 'text'. */
  tower?: 'vision' | 'text'
  /** What a family takes beside its config.json, such as `pooling` or `replaceStrideWithDilation`. */
  [option: string]: unknown
}

/**
 * An encoder with pretrained weights, in evaluation mode: of a folder with `config.json` and safetensors or
 * `pytorch_model.bin` (in one file or several), of a model's name on Hugging Face's hub, or of one file of weights with
 * torchvision's names. Every layer computes what the Python library's does. Heads for classification are left out.
 *
 * Files in the hub's cache are used as they are; missing ones are downloaded into it. HF_HOME, HF_HUB_CACHE,
 * HF_HUB_OFFLINE, HF_TOKEN and HF_ENDPOINT are honoured.
 * Throws VqConfigError for kinds of models and options that are not supported, VqFormatError that names missing or
 * misshapen files and weights, VqDeviceError where the hub does not answer.
 *
 * @example
 * const encoder = await fromPretrained('google/vit-base-patch16-224')
 * const { embedding, sequence } = encoder.forward(images)   // [B, 768], [B, 197, 768]
 */
export async function fromPretrained(
  idOrFolder: string,
  options: FromPretrainedOptions = {},
): Promise<BaseEncoder> {
  const { file, family, config, implied } = await opened(idOrFolder, options)
  try {
    const weights = renamed(file, family)
    const encoder = family.create({ config, entries: weights.entries, options: overriding(implied, options) })
    try {
      await loadWeights(encoder, weights)
    } catch (error) {
      encoder.dispose()
      throw error
    }
    return encoder.eval()
  } finally {
    await file.close()
  }
}

/** Options that are there but undefined override nothing. */
function overriding(
  implied: Readonly<Record<string, unknown>> | undefined,
  options: FromPretrainedOptions,
): Readonly<Record<string, unknown>> {
  return { ...implied, ...Object.fromEntries(Object.entries(options).filter(([, v]) => v !== undefined)) }
}

interface Opened {
  file: TensorFile
  family: PretrainedFamily
  config: ModelConfig
  implied?: Record<string, unknown>
}

async function opened(idOrFolder: string, options: FromPretrainedOptions): Promise<Opened> {
  const there = typeof idOrFolder === 'string' ? await stat(idOrFolder).catch(() => undefined) : undefined
  if (there?.isFile()) return bare(await openWeights(idOrFolder), idOrFolder)
  const files = await openModel(idOrFolder, options)
  const values = await readJson(files, 'config.json')
  const { tower } = options
  const type = values.model_type
  if (typeof type !== 'string')
    throw new VqFormatError({
      operation: `reading config.json of '${idOrFolder}'`,
      expected: 'its model_type',
      received: String(type),
      remedy: 'Pass the folder of a model of transformers, or a file with torchvision’s weights.',
    })
  const family = familyOfType(tower === undefined ? type : `${type}:${tower}`, builtInFamilies)
  const implied = await family.optionsOf?.(files)
  return {
    ...(implied && { implied }),
    file: await openModelWeights(files),
    family,
    config: new ModelConfig(values, `config.json of '${idOrFolder}'`),
  }
}

/** Weights alone: their names tell the family. */
async function bare(file: TensorFile, path: string): Promise<Opened> {
  try {
    const family = familyOfNames(plainNames(file), path, builtInFamilies)
    return { file, family, config: new ModelConfig({}, basename(path)) }
  } catch (error) {
    await file.close()
    throw error
  }
}
