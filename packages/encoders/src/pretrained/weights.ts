// A checkpoint's weights under the encoder's names: renamed, heads left out, parts joined.
import { VqFormatError } from '@vq/core'
import {
  openSafetensors,
  openWeights,
  type StoredArray,
  type StoredTensor,
  type TensorEntry,
  type TensorFile,
} from '@vq/core/io'
import type { PretrainedFamily } from './families.js'
import { type ModelFiles, readJson } from './model-files.js'

const single = ['model.safetensors', 'pytorch_model.bin']
const indices = ['model.safetensors.index.json', 'pytorch_model.bin.index.json']

/** Opens the weights of a model: safetensors or PyTorch's, in one file or in several with an index. */
export async function openModelWeights(files: ModelFiles): Promise<TensorFile> {
  for (const [i, name] of single.entries()) {
    const file = await files.find(name)
    if (file !== undefined) return openWeights(file)
    const index = await files.find(indices[i]!)
    if (index === undefined) continue
    const shards = await shardsOf(files, indices[i]!)
    const paths = new Map<string, string>()
    for (const shard of new Set(shards.values())) paths.set(shard, await files.path(shard))
    // The cache's files are links to blobs elsewhere.
    return i === 0 ? openSafetensors(index, { followLinks: true }) : openShards(shards, paths)
  }
  throw new VqFormatError({
    operation: `reading the model '${files.name}'`,
    expected: `one of ${[...single, ...indices].join(', ')}`,
    received: 'none of them',
    remedy: 'Convert weights of another kind to safetensors, or pass the path of the file itself.',
  })
}

/** Names of tensors to those of files. */
async function shardsOf(files: ModelFiles, index: string): Promise<Map<string, string>> {
  const map = (await readJson(files, index)).weight_map
  const entries = Object.entries(typeof map === 'object' && map !== null ? map : {})
  const bad = entries.find(([, file]) => typeof file !== 'string' || !/^[\w.-]+$/.test(file))
  if (entries.length > 0 && bad === undefined) return new Map(entries as [string, string][])
  throw new VqFormatError({
    operation: `reading ${index} of '${files.name}'`,
    expected: 'a weight_map of names to files beside it',
    received: bad === undefined ? 'none' : JSON.stringify(bad),
    remedy: 'The file is damaged: fetch it again.',
  })
}

/** PyTorch's files with an index, one open at a time. */
async function openShards(shards: Map<string, string>, paths: Map<string, string>): Promise<TensorFile> {
  const entries = new Map<string, TensorEntry>()
  for (const [shard, path] of paths) {
    const file = await openWeights(path)
    for (const [name, entry] of file.entries) if (shards.get(name) === shard) entries.set(name, entry)
    await file.close()
  }
  const missing = [...shards].find(([name]) => !entries.has(name))
  if (missing !== undefined)
    throw new VqFormatError({
      operation: 'reading weights in several files',
      expected: `'${missing[0]}' in ${missing[1]}, as the index says`,
      received: 'no tensor of that name',
      remedy: 'The files do not belong together: fetch them again.',
    })
  let last: { shard: string; file: TensorFile } | undefined
  return {
    entries,
    metadata: {},
    async read(name) {
      const shard = shards.get(name) ?? ''
      if (last?.shard !== shard) {
        await last?.file.close()
        last = undefined
        last = { shard, file: await openWeights(paths.get(shard) ?? shard) }
      }
      return last.file.read(name)
    },
    close: async () => last?.file.close(),
  }
}

// Where programs that train keep the weights, beside the optimizer's state.
const containers = ['state_dict.', 'model_state_dict.', 'model.']

/**
 * The file's names by what is left of them without what training in parallel and torch.compile put before them. Where a
 * checkpoint holds the weights in a part of it, only of that part.
 */
function originals(file: TensorFile, contained: boolean): Map<string, string> {
  const names = [...file.entries.keys()]
  const starts = (prefix: string): boolean => names.some(name => name.startsWith(prefix))
  const container = (contained && containers.find(starts)) || ''
  const inside = names.filter(name => name.startsWith(container))
  return new Map(
    inside.map(name => [name.slice(container.length).replace(/^(?:(?:module|_orig_mod)\.)+/, ''), name]),
  )
}

/** The file's names without what programs that train put before them. */
export function plainNames(file: TensorFile): Set<string> {
  return new Set(originals(file, true).keys())
}

/** Its entries may be deleted: what is not there is not read. */
export interface RenamedFile extends TensorFile {
  readonly entries: Map<string, TensorEntry>
}

interface Source {
  /** The file's names; '' for a part of zeros. */
  parts: string[]
  zeros: boolean
  leading: number
}

/** The file as `loadWeights` wants it for an encoder of the family. Throws VqFormatError where parts are missing. */
export function renamed(file: TensorFile, family: PretrainedFamily): RenamedFile {
  const names = originals(file, family.detect !== undefined)
  const prefix = family.prefixes?.find(p => [...names.keys()].some(name => name.startsWith(p))) ?? ''
  const sources = new Map<string, Source>()
  for (const [plain, original] of names) {
    if (!plain.startsWith(prefix)) continue
    const target = family.rename(plain.slice(prefix.length))
    if (target === undefined) continue
    const {
      name,
      part = 0,
      of = 1,
      leading = 0,
      zeros = false,
    } = typeof target === 'string' ? { name: target } : target
    const source = sources.get(name) ?? { parts: new Array<string>(of).fill(''), leading, zeros }
    source.parts[part] = original
    sources.set(name, source)
  }
  const entries = new Map<string, TensorEntry>()
  for (const [name, source] of sources) entries.set(name, joined(name, source, file))
  return {
    entries,
    metadata: file.metadata,
    async read(name) {
      const source = sources.get(name) ?? { parts: [name], leading: 0, zeros: false }
      const stored: StoredTensor[] = []
      for (const part of present(source)) stored.push(await file.read(part))
      const data = source.parts.length === 1 ? stored[0]!.data : concatenated(withZeros(source, stored))
      return { ...joined(name, source, file), data }
    },
    close: () => file.close(),
  }
}

function present({ parts, zeros }: Source): string[] {
  return zeros ? parts.filter(part => part !== '') : parts
}

function withZeros({ parts, zeros }: Source, stored: StoredTensor[]): StoredTensor[] {
  if (!zeros) return stored
  const [first] = stored as [StoredTensor]
  const Kind = first.data.constructor as new (length: number) => Float32Array
  const given = [...stored]
  return parts.map(part => (part === '' ? { ...first, data: new Kind(first.data.length) } : given.shift()!))
}

function joined(name: string, source: Source, file: TensorFile): TensorEntry {
  const { leading } = source
  const parts = present(source)
  const entries = parts.map(part => file.entries.get(part))
  const [first] = entries
  const rest = JSON.stringify(first?.shape.slice(1))
  const fits = entries.every(
    e => e !== undefined && e.dtype === first?.dtype && JSON.stringify(e.shape.slice(1)) === rest,
  )
  if (!fits || first === undefined)
    throw new VqFormatError({
      operation: `reading '${name}'`,
      expected: `${parts.length} tensors of one type that fit together`,
      received: parts.map((part, i) => `'${part}' [${entries[i]?.shape ?? 'missing'}]`).join(', '),
      remedy: 'The checkpoint is incomplete: fetch it again.',
    })
  const ones = new Array<number>(leading).fill(1)
  if (source.parts.length === 1) return { dtype: first.dtype, shape: [...ones, ...first.shape] }
  const lacking = (source.parts.length - parts.length) * (first.shape[0] ?? 0)
  const rows = entries.reduce((n, e) => n + (e?.shape[0] ?? 0), lacking)
  return { dtype: first.dtype, shape: [...ones, rows, ...first.shape.slice(1)] }
}

function concatenated(parts: readonly StoredTensor[]): StoredArray {
  const length = parts.reduce((n, { data }) => n + data.length, 0)
  const Kind = parts[0]!.data.constructor as new (length: number) => Float32Array
  const all = new Kind(length)
  let at = 0
  for (const { data } of parts) {
    all.set(data as Float32Array, at)
    at += data.length
  }
  return all
}
