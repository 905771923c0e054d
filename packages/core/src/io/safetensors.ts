import { cp, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { expectInteger } from '../check.js'
import { writeFileAtomic, writeFolderAtomic } from './atomic.js'
import { type OpenOptions, openSafetensors } from './safetensors-index.js'
import {
  fileParts,
  isTensorFile,
  type Planned,
  plan,
  type SaveOptions,
  type TensorSource,
} from './safetensors-plan.js'
import type { StateDict } from './stored-tensor.js'

export interface SafetensorsFile {
  /** In the order of the file. */
  tensors: StateDict
  /** The header's free strings. */
  metadata: Record<string, string>
}

/**
 * Reads all of a safetensors file, index or folder, as `openSafetensors` takes them. No more is allocated than the file is long,
 * times what its types take more in memory.
 * Throws VqFormatError where the file is truncated, or its header lies about sizes, overlaps or leaves gaps.
 * Source: https://github.com/huggingface/safetensors#format.
 */
export async function loadSafetensors(path: string, options: OpenOptions = {}): Promise<SafetensorsFile> {
  const file = await openSafetensors(path, options)
  try {
    const tensors: StateDict = Object.create(null)
    for (const name of file.entries.keys()) tensors[name] = await file.read(name)
    return { tensors, metadata: file.metadata }
  } finally {
    await file.close()
  }
}

/**
 * Writes named tensors to a safetensors file, atomically. Values may be tfjs tensors (float32, int32, bool, complex64), stored ones,
 * or lazy ones, which are read one at a time, as are those of an open file. Layouts are written as they are;
 * `Module.stateDict()` gives PyTorch's. The same tensors and metadata give the same bytes as Python's safetensors writes.
 * `metadata` defaults to that of an open file, else to none.
 * Throws VqShapeError where type, shape and array do not fit each other, VqValueError for values that the type lacks.
 */
export async function saveSafetensors(
  path: string,
  tensors: TensorSource,
  metadata: Readonly<Record<string, string>> = isTensorFile(tensors) ? tensors.metadata : {},
  options: SaveOptions = {},
): Promise<void> {
  const planned = plan('saveSafetensors', tensors, options)
  await writeFileAtomic(path, fileParts('saveSafetensors', planned, metadata))
}

export interface ShardOptions extends SaveOptions {
  /** Most bytes of values per file; a larger tensor has a file of its own. Default: 5e9. */
  maxShardBytes?: number
  metadata?: Readonly<Record<string, string>>
}

const shardName = /^model(-\d{5,}-of-\d{5,})?\.safetensors(\.index\.json)?$/

/**
 * Writes named tensors to `model-00001-of-0000N.safetensors` in a folder, with Hugging Face's `model.safetensors.index.json`; to
 * `model.safetensors` alone where all fits into one. The folder is replaced as a whole, and keeps what else was in it.
 * Otherwise as `saveSafetensors`.
 */
export async function saveSharded(
  folder: string,
  tensors: TensorSource,
  options: ShardOptions = {},
): Promise<void> {
  const { maxShardBytes = 5e9, metadata = isTensorFile(tensors) ? tensors.metadata : {} } = options
  expectInteger('saveSharded', 'maxShardBytes', maxShardBytes, 1)
  const shards = split(plan('saveSharded', tensors, options), maxShardBytes)
  await writeFolderAtomic(folder, async temp => {
    await copyOthers(folder, temp)
    if (shards.length === 1)
      return writeFileAtomic(join(temp, 'model.safetensors'), fileParts('saveSharded', shards[0], metadata))
    const weightMap: [string, string][] = []
    for (const [i, shard] of shards.entries()) {
      const [part, of] = [i + 1, shards.length].map(n => String(n).padStart(5, '0'))
      const name = `model-${part}-of-${of}.safetensors`
      await writeFileAtomic(join(temp, name), fileParts('saveSharded', shard, metadata))
      for (const tensor of shard) weightMap.push([tensor.name, name])
    }
    const total = shards.flat().reduce((sum, { bytes }) => sum + bytes, 0)
    await writeFileAtomic(join(temp, 'model.safetensors.index.json'), indexText(total, weightMap))
  })
}

function split(tensors: readonly Planned[], most: number): Planned[][] {
  const shards: Planned[][] = [[]]
  let bytes = 0
  for (const tensor of tensors) {
    if (shards[shards.length - 1].length > 0 && bytes + tensor.bytes > most) {
      shards.push([])
      bytes = 0
    }
    shards[shards.length - 1].push(tensor)
    bytes += tensor.bytes
  }
  return shards
}

// By hand: an object would move names that are numbers to the front.
function indexText(total: number, weightMap: readonly [string, string][]): string {
  const lines = weightMap.map(pair => `    ${pair.map(text => JSON.stringify(text)).join(': ')}`)
  return `{\n  "metadata": {\n    "total_size": ${total}\n  },\n  "weight_map": {\n${lines.join(',\n')}\n  }\n}\n`
}

async function copyOthers(from: string, to: string): Promise<void> {
  const names = await readdir(from).catch(error => {
    if (error.code === 'ENOENT') return []
    throw error
  })
  for (const name of names)
    if (!shardName.test(name))
      await cp(join(from, name), join(to, name), {
        recursive: true,
        verbatimSymlinks: true,
        preserveTimestamps: true,
      })
}
