import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { VqFormatError } from '@vq/core'
import { loadSafetensors, type StateDict, saveSafetensors, writeFileAtomic } from '@vq/core/io'
import type { Module } from '@vq/core/nn'

/** The version of the artifact format that this program writes and reads. */
export const formatVersion = 1

export interface ArtifactConfig {
  /** Name of the model's class. */
  model: string
  /** What its constructor takes. */
  options: unknown
  /** Anything else that belongs to the model, such as how its images were prepared. */
  [key: string]: unknown
}

/**
 * Writes `config.json` and `model.safetensors` into a folder; other files in it stay. The weights carry a copy of the
 * configuration, and readers take that one: so the one rename of the weights is the moment the new artifact is there.
 */
export async function saveArtifact(folder: string, config: ArtifactConfig, state: StateDict): Promise<void> {
  const json = JSON.stringify({ formatVersion, ...config }, null, 2)
  await saveSafetensors(join(folder, 'model.safetensors'), state, { format: 'pt', config: json })
  await writeFileAtomic(join(folder, 'config.json'), `${json}\n`)
}

/** Reads an artifact of class `model`. Throws VqFormatError where it is of another class or a newer version. */
export async function loadArtifact(
  folder: string,
  model: string,
): Promise<{ config: ArtifactConfig; state: StateDict }> {
  const { tensors: state, metadata } = await loadSafetensors(join(folder, 'model.safetensors'))
  const path = join(folder, 'config.json')
  const config = parse(metadata.config ?? (await readFile(path, 'utf8')), path)
  if (config.formatVersion !== formatVersion || config.model !== model)
    throw new VqFormatError({
      operation: `reading ${path}`,
      expected: `a ${model} of format version ${formatVersion}`,
      received: `a ${config.model} of format version ${config.formatVersion}`,
      remedy: 'Load it with its own class, or with the release of VQ that wrote it.',
    })
  return { config, state }
}

/** The model that `build` makes of an artifact's options, with its weights, in evaluation mode. Throws as `loadArtifact`. */
export async function restoreModel<M extends Module, Options extends object>(
  folder: string,
  name: string,
  build: (options: Options) => M,
): Promise<M> {
  const { config, state } = await loadArtifact(folder, name)
  const { options } = config
  if (typeof options !== 'object' || options === null)
    throw new VqFormatError({
      operation: `reading ${folder}`,
      expected: `the options of a ${name}`,
      received: JSON.stringify(options) ?? 'none',
      remedy: 'The file is damaged: save the artifact again.',
    })
  const model = build(options as Options)
  try {
    model.loadStateDict(state)
  } catch (error) {
    model.dispose()
    throw error
  }
  return model.eval()
}

function parse(text: string, path: string): ArtifactConfig {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    value = undefined
  }
  if (typeof value === 'object' && value !== null) return value as ArtifactConfig
  throw new VqFormatError({
    operation: `reading ${path}`,
    expected: 'a JSON object',
    received: text.slice(0, 80),
    remedy: 'The file is damaged: save the artifact again.',
  })
}
