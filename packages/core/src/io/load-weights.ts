import { expectConfig } from '../check.js'
import { VqFormatError } from '../errors.js'
import {
  assign,
  type Counter,
  entryMisfit,
  identity,
  isWhole,
  type LoadOptions,
  type LoadResult,
  type Slot,
  snapshot,
  valuesMisfit,
} from '../nn/loading.js'
import type { Module } from '../nn/module.js'
import { openWeights } from './open-weights.js'
import type { StoredTensor, TensorFile } from './stored-tensor.js'

export interface LoadWeightsOptions extends LoadOptions {
  /** The module's name for a name of the file; undefined for what is to be left out. Default: the same. */
  rename?: (name: string) => string | undefined
}

interface Fit {
  /** The module's name. */
  name: string
  /** The file's. */
  source: string
  slot: Slot | Counter
}

/**
 * Sets a module's weights from a path that `openWeights` takes (safetensors, an index or folder of such, a PyTorch checkpoint), or
 * from an open file, one tensor at a time. Names, shapes and types are checked before any value is read. Where anything fails, also
 * the file itself half way, the module stays as it was: its former weights are in memory until the last is read. Any type of
 * floats becomes float32.
 * Throws VqFormatError that names missing, unexpected and misshapen entries; with `strict: false` missing and unexpected
 * ones are returned instead.
 *
 * @example
 * await loadWeights(model, 'weights', { rename: name => name.replace(/^module\./, '') })
 */
export async function loadWeights(
  module: Module,
  source: string | TensorFile,
  options: LoadWeightsOptions = {},
): Promise<LoadResult> {
  expectConfig(
    typeof module?.slotsToLoad === 'function',
    'loadWeights',
    'a module to load into',
    module,
    'Pass the module first, then the path or open file.',
  )
  expectConfig(
    typeof source === 'string' || source?.entries instanceof Map,
    'loadWeights',
    'a path or an open file',
    source,
    'Pass what `openWeights` takes or gives.',
  )
  if (typeof source !== 'string') return load(module, source, options)
  const file = await openWeights(source)
  try {
    return await load(module, file, options)
  } finally {
    await file.close()
  }
}

async function load(
  module: Module,
  file: TensorFile,
  { strict = true, rename = name => name }: LoadWeightsOptions,
): Promise<LoadResult> {
  const slots = module.slotsToLoad()
  const problems: string[] = []
  const unexpected: string[] = []
  const fits = new Map<string, Fit>()
  for (const [source, entry] of file.entries) {
    const name = rename(source)
    if (name === undefined) continue
    const slot = slots.get(name)
    const before = fits.get(name)
    if (slot === undefined) unexpected.push(name)
    else if (before !== undefined) problems.push(`'${name}' from '${before.source}' and '${source}'`)
    else {
      fits.set(name, { name, source, slot })
      const problem = entryMisfit(slot, entry)
      if (problem !== undefined) problems.push(`'${name}' ${problem}`)
    }
  }
  // One name is enough of those that share a tensor.
  const given = new Set([...fits.values()].map(({ slot }) => identity(slot)))
  const missing = [...slots].filter(([, slot]) => !given.has(identity(slot))).map(([name]) => name)
  if (strict)
    problems.push(
      ...missing.map(name => `missing '${name}'`),
      ...unexpected.map(name => `unexpected '${name}'`),
    )
  refuse(module, slots.size, problems)
  const small = await readFirst(file, [...fits.values()], (fit, stored) => {
    const problem = valuesMisfit(fit.slot, stored)
    if (problem !== undefined) problems.push(`'${fit.name}' ${problem}`)
  })
  const [single, tied] = split([...fits.values()])
  for (const group of tied) {
    const [first, ...others] = group
    const values = (await file.read(first.source)).data
    for (const { name, source } of others)
      if (!same(values, (await file.read(source)).data))
        problems.push(`'${name}' differs from '${first.name}', with which it is tied`)
    single.push(first)
  }
  refuse(module, slots.size, problems)
  const before: ReturnType<typeof snapshot>[] = []
  try {
    for (const { name, source, slot } of single) {
      const stored = small.get(source) ?? (await file.read(source))
      const problem = entryMisfit(slot, stored) ?? valuesMisfit(slot, stored)
      if (problem !== undefined) refuse(module, slots.size, [`'${name}' ${problem}`])
      before.push(snapshot(slot))
      assign(slot, stored)
    }
  } catch (error) {
    for (const one of before) one.restore()
    throw error
  } finally {
    for (const one of before) one.release()
  }
  return { missing, unexpected }
}

function refuse(module: Module, count: number, problems: readonly string[]): void {
  if (problems.length === 0) return
  throw new VqFormatError({
    operation: `loadWeights into ${module.constructor.name}`,
    expected: `the ${count} entries of this module`,
    received: problems.slice(0, 20).join('; ') + (problems.length > 20 ? '; …' : ''),
    remedy: 'Build the module with the options that the weights were made with, or pass `rename`.',
  })
}

/** Reads what is whole numbers: few, and their values may not fit. */
async function readFirst(
  file: TensorFile,
  fits: readonly Fit[],
  check: (fit: Fit, stored: StoredTensor) => void,
): Promise<Map<string, StoredTensor>> {
  const found = new Map<string, StoredTensor>()
  for (const fit of fits) {
    if (!isWhole(fit.slot)) continue
    const stored = await file.read(fit.source)
    check(fit, stored)
    found.set(fit.source, stored)
  }
  return found
}

function split(fits: readonly Fit[]): [single: Fit[], tied: Fit[][]] {
  const groups = new Map<unknown, Fit[]>()
  for (const fit of fits) {
    const group = groups.get(identity(fit.slot))
    if (group === undefined) groups.set(identity(fit.slot), [fit])
    else group.push(fit)
  }
  const all = [...groups.values()]
  return [all.filter(group => group.length === 1).flat(), all.filter(group => group.length > 1)]
}

function same(a: StoredTensor['data'], b: StoredTensor['data']): boolean {
  for (let i = 0; i < a.length; i++) if (!Object.is(a[i], b[i])) return false
  return a.length === b.length
}
