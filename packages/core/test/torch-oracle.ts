import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { StoredTensor } from '@vq/core/io'

/** Fixtures that test/oracle/torch-checkpoints.py wrote, and what PyTorch reads from them. */
export const oracle: string = join(import.meta.dirname, '../../../test/oracle/torch')

/** What the script says of each file in a folder. */
export function expectedIn(folder: string): [file: string, tree: unknown][] {
  const { files, trees } = JSON.parse(readFileSync(join(folder, 'expected.json'), 'utf8'))
  return Object.entries<number>(files).map(([file, tree]) => [file, trees[tree]])
}

/** A tree in the words of the script's `describe`: tensors by the bytes of their arrays. */
export function describeTree(value: unknown): unknown {
  if (typeof value === 'bigint') return { $int: String(value) }
  if (typeof value === 'number' && !Number.isFinite(value)) return { $float: String(value) }
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map(describeTree)
  if (value instanceof Uint8Array) return { $bytes: Buffer.from(value).toString('hex') }
  if (value instanceof Set) return { $set: [...value].map(describeTree) }
  if (value instanceof Map) return { $dict: [...value].map(pair => pair.map(describeTree)) }
  const { dtype, shape, data } = value as StoredTensor
  if (ArrayBuffer.isView(data) && typeof dtype === 'string') {
    // As in the script: NaNs of small floats are NaNs, whatever their payload.
    const small = /^(F8|F16|BF16)/.test(dtype)
    const array = small
      ? Float32Array.from(data as Float32Array, v => (Number.isNaN(v) ? Number.NaN : v))
      : data
    const bytes = Buffer.from(array.buffer, array.byteOffset, array.byteLength)
    return { $tensor: [dtype, shape, bytes.toString('base64')] }
  }
  return { $dict: Object.entries(value).map(([key, child]) => [key, describeTree(child)]) }
}
