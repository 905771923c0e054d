// What sentence-transformers writes beside a model: modules.json names its parts, 1_Pooling/config.json how tokens become one
// vector.

import { readFile } from 'node:fs/promises'
import { VqConfigError, VqFormatError } from '@vq/core'
import type { TextPooling } from '../text/pooling.js'
import { type ModelFiles, readJson } from './model-files.js'

const modes: readonly (readonly [flag: string, pooling: TextPooling])[] = [
  ['pooling_mode_cls_token', 'cls'],
  ['pooling_mode_mean_tokens', 'mean'],
  ['pooling_mode_max_tokens', 'max'],
  ['pooling_mode_mean_sqrt_len_tokens', 'mean_sqrt_len'],
  ['pooling_mode_weightedmean_tokens', 'weighted_mean'],
  ['pooling_mode_lasttoken', 'last'],
]
const newNames: Readonly<Record<string, TextPooling>> = {
  ...{ cls: 'cls', mean: 'mean', max: 'max', mean_sqrt_len_tokens: 'mean_sqrt_len' },
  ...{ weightedmean: 'weighted_mean', lasttoken: 'last' },
}

/** `pooling` and `normalize` as a model of sentence-transformers has them; nothing for other models. */
export async function sentenceOptions(files: ModelFiles): Promise<Record<string, unknown>> {
  const path = await files.find('modules.json')
  if (path === undefined) return {}
  const source = `modules.json of '${files.name}'`
  const modules = listed(await readFile(path, 'utf8'), source)
  const options: Record<string, unknown> = {}
  for (const { type, path: folder } of modules) {
    const kind = type.split('.').at(-1)
    const inRoot = folder === '' || folder === '.'
    if (kind === 'Transformer' && inRoot) continue
    if (kind === 'Pooling' && options.pooling === undefined && options.normalize === undefined) {
      options.pooling = poolingOf(await readJson(files, `${folder}/config.json`), source)
      options.sentence = true
    } else if (kind === 'Normalize' && options.pooling !== undefined) options.normalize = true
    else
      throw new VqConfigError({
        operation: `reading ${source}`,
        expected: 'a Transformer in the same folder, Pooling and perhaps Normalize, in this order',
        received: `${type} in '${folder}'`,
        remedy: 'Models with other modules are not supported: pass the folder of the transformer alone.',
      })
  }
  return options
}

function listed(text: string, source: string): { type: string; path: string }[] {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {}
  const fits =
    Array.isArray(value) &&
    value.every(m => typeof m?.type === 'string' && typeof m.path === 'string' && !m.path.includes('..'))
  if (fits) return value as { type: string; path: string }[]
  throw new VqFormatError({
    operation: `reading ${source}`,
    expected: 'a list of modules with type and path',
    received: text.slice(0, 100),
    remedy: 'The file is damaged: fetch it again.',
  })
}

function poolingOf(config: Record<string, unknown>, source: string): TextPooling {
  const named = config.pooling_mode
  const chosen =
    typeof named === 'string'
      ? [newNames[named]]
      : modes.filter(([flag]) => config[flag] === true).map(([, pooling]) => pooling)
  const [pooling] = chosen
  if (chosen.length === 1 && pooling !== undefined) return pooling
  throw new VqConfigError({
    operation: `reading the pooling of ${source}`,
    expected: 'one kind of pooling',
    received: typeof named === 'string' ? named : chosen.length === 0 ? 'none' : chosen.join(' and '),
    remedy: "Pass { pooling: 'mean' } or another kind.",
  })
}
