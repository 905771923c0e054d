import { readdir, realpath, stat } from 'node:fs/promises'
import { dirname, isAbsolute, join, sep, win32 } from 'node:path'
import { VqFormatError } from '../errors.js'
import { badFile, expectPath, FileBytes } from './file-bytes.js'
import { JsonError, JsonReader } from './json-reader.js'
import { type OpenSafetensors, type ReadOptions, SingleFile, unknownName } from './safetensors-file.js'
import { decodeText, largestHeader } from './safetensors-header.js'
import type { StoredTensor, TensorEntry } from './stored-tensor.js'

const format = 'an index of safetensors'
const mostOpen = 4

export interface OpenOptions {
  /**
   * Takes files of an index that are links to somewhere outside of its folder, such as those in Hugging Face's cache.
   * Default: false, they are refused.
   */
  followLinks?: boolean
}

/**
 * Opens safetensors for reading one tensor at a time: a file, an index (`….index.json`, Hugging Face's form), or a folder that holds
 * either (`model.safetensors`, else `model.safetensors.index.json`, else the only one of its kind). Headers alone are read.
 * Throws VqFormatError where a file is truncated, or its header or index lies.
 *
 * @example
 * const file = await openSafetensors('model')
 * for (const [name, { dtype, shape }] of file.entries) console.log(name, dtype, shape)
 * const { data } = await file.read('encoder.weight', { rows: [0, 16] })
 * await file.close()
 */
export async function openSafetensors(path: string, options: OpenOptions = {}): Promise<OpenSafetensors> {
  expectPath('openSafetensors', path)
  const file = await fileOf(path)
  return file.endsWith('.json') ? ShardedFile.open(file, options) : SingleFile.open(file)
}

// A path that is no folder stands for itself; opening it says what is wrong with it.
async function fileOf(path: string): Promise<string> {
  const folder = await stat(path).catch(() => undefined)
  if (folder?.isDirectory() !== true) return path
  let names: string[]
  try {
    names = await readdir(path)
  } catch (cause) {
    throw notInside(path, String((cause as NodeJS.ErrnoException).code), cause)
  }
  for (const name of ['model.safetensors', 'model.safetensors.index.json'])
    if (names.includes(name)) return join(path, name)
  const indices = names.filter(name => name.endsWith('.safetensors.index.json'))
  const found = indices.length > 0 ? indices : names.filter(name => name.endsWith('.safetensors'))
  if (found.length === 1) return join(path, found[0])
  throw notInside(path, found.length === 0 ? 'neither' : found.slice(0, 5).join(', '))
}

function notInside(path: string, received: string, cause?: unknown): VqFormatError {
  return new VqFormatError({
    operation: `reading ${path} as safetensors`,
    expected: 'a folder with model.safetensors, an index, or one file of either kind',
    received,
    remedy: 'Pass the path of the file or index itself.',
    cause,
  })
}

/** Names of tensors to those of files, in the index's order. */
export function parseIndex(text: string, source: string): Map<string, string> {
  const reader = new JsonReader(text)
  const files = new Map<string, string>()
  let found = false
  try {
    reader.object(key => {
      if (key !== 'weight_map') return reader.skip()
      found = true
      reader.object(name => {
        files.set(name, reader.string())
      })
    })
    reader.end()
  } catch (error) {
    if (!(error instanceof JsonError)) throw error
    throw badFile(source, format, `JSON with ${error.message}`, error.received)
  }
  if (!found) throw badFile(source, format, 'a weight_map', 'none')
  return files
}

/** Several files with an index. Reads wait for each other, and few files are open at a time. */
class ShardedFile implements OpenSafetensors {
  readonly entries: ReadonlyMap<string, TensorEntry>
  readonly metadata: Readonly<Record<string, string>>
  private readonly index: string
  private readonly files: ReadonlyMap<string, string>
  private readonly stamps: ReadonlyMap<string, string>
  private readonly open = new Map<string, SingleFile>()
  private last: Promise<unknown> = Promise.resolve()

  private constructor(
    index: string,
    files: ReadonlyMap<string, string>,
    stamps: ReadonlyMap<string, string>,
    entries: ReadonlyMap<string, TensorEntry>,
    metadata: Readonly<Record<string, string>>,
  ) {
    this.index = index
    this.files = files
    this.stamps = stamps
    this.entries = entries
    this.metadata = metadata
  }

  static async open(index: string, { followLinks = false }: OpenOptions): Promise<ShardedFile> {
    const weightMap = parseIndex(await readText(index), index)
    const paths = new Map<string, string>()
    const stamps = new Map<string, string>()
    const found = new Map<string, TensorEntry>()
    const metadata: Record<string, string> = Object.create(null)
    for (const name of new Set(weightMap.values())) {
      const path = await pathInside(index, name, followLinks)
      paths.set(name, path)
      const shard = await SingleFile.open(path)
      try {
        stamps.set(path, shard.stamp)
        for (const [key, value] of Object.entries(shard.metadata)) metadata[key] ??= value
        for (const [tensor, entry] of shard.entries) {
          const owner = weightMap.get(tensor)
          // Tensors that the index does not name are none of the model's.
          if (owner === name) found.set(tensor, entry)
          else if (owner !== undefined)
            throw badFile(index, format, `'${tensor}' in ${owner} alone`, `it in ${name} too`)
        }
      } finally {
        await shard.close()
      }
    }
    const files = new Map<string, string>()
    const entries = new Map<string, TensorEntry>()
    for (const [tensor, name] of weightMap) {
      const entry = found.get(tensor)
      if (entry === undefined)
        throw badFile(index, format, `'${tensor}' in ${name}`, 'no tensor of that name')
      entries.set(tensor, entry)
      files.set(tensor, paths.get(name)!)
    }
    return new ShardedFile(index, files, stamps, entries, metadata)
  }

  read(name: string, options: ReadOptions = {}): Promise<StoredTensor> {
    return this.queued(async () => {
      const path = this.files.get(name)
      if (path === undefined) throw unknownName(this.index, name)
      return (await this.shard(path)).read(name, options)
    })
  }

  close(): Promise<void> {
    return this.queued(async () => {
      for (const shard of this.open.values()) await shard.close()
      this.open.clear()
    })
  }

  private queued<T>(action: () => Promise<T>): Promise<T> {
    const next = this.last.then(action)
    this.last = next.catch(() => undefined)
    return next
  }

  // The least recently used file makes room.
  private async shard(path: string): Promise<SingleFile> {
    let shard = this.open.get(path)
    if (shard === undefined) {
      for (const [other, file] of this.open) {
        if (this.open.size < mostOpen) break
        this.open.delete(other)
        await file.close()
      }
      shard = await SingleFile.open(path)
      if (shard.stamp !== this.stamps.get(path)) {
        await shard.close()
        throw badFile(
          path,
          'safetensors',
          'the file that was there when the index was opened',
          'a changed one',
        )
      }
    }
    this.open.delete(path)
    this.open.set(path, shard)
    return shard
  }
}

async function readText(path: string): Promise<string> {
  const file = await FileBytes.open(path, format)
  try {
    if (file.size > largestHeader) throw file.bad(`at most ${largestHeader} bytes`, `${file.size}`)
    const text = decodeText(await file.read(0, file.size))
    if (text === undefined) throw file.bad('UTF-8', 'other bytes')
    return text
  } finally {
    await file.close()
  }
}

async function pathInside(index: string, name: string, followLinks: boolean): Promise<string> {
  const folder = dirname(index)
  const path = join(folder, name)
  const leaves =
    isAbsolute(name) || win32.isAbsolute(name) || /^[a-z]:/i.test(name) || name.split(/[/\\]/).includes('..')
  if (name === '' || name.includes('\0') || leaves)
    throw badFile(index, format, 'files in the folder of the index', JSON.stringify(name.slice(0, 200)))
  if (followLinks) return path
  // A missing file is told by opening it.
  const [real, root] = await Promise.all([realpath(path).catch(() => undefined), realpath(folder)])
  if (real !== undefined && !real.startsWith(root.endsWith(sep) ? root : root + sep))
    throw new VqFormatError({
      operation: `reading ${index} as ${format}`,
      expected: 'files in the folder of the index',
      received: `'${name}', a link to ${real}`,
      remedy: 'If you trust the folder and its links, pass { followLinks: true }.',
    })
  return path
}
