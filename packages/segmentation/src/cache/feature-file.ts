// Features of a frozen backbone, computed once and kept: `<key>.npy` [N, h, w, D] float32 and `<key>.json` beside it. Node has no
// memory mapping, so the rows of a batch are read at their positions. The JSON file is written last: without it the other
// is of no use, whatever ended the program.
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { VqFormatError } from '@vq/core'
import { openRows, type RowFile, writeFileAtomic } from '@vq/core/io'
import type { Dataset } from '@vq/models/data'
import { readRows } from '@vq/models/readers'

export interface FeatureFileOptions {
  /** Folder of the files. */
  folder: string
  /** What decides the features: weights, preprocessing, images. */
  key: string
  count: number
  /** [h, w, D] */
  shape: readonly [number, number, number]
}

interface Beside {
  formatVersion: 1
  key: string
  count: number
  shape: number[]
  /** CRC-32 of each item's bytes. */
  crc32: number[]
  /** What computing them took. */
  seconds: number
}

export interface FeatureFile {
  /** The features as data [h, w, D]; batches throw VqFormatError where the file is damaged. */
  features: Dataset
  /** What computing took, now or then. */
  seconds: number
  /** Whether they were there already. */
  reused: boolean
  bytes: number
  path: string
  close(): Promise<void>
}

/**
 * Opens the features of a key, or computes them: `compute(from, to)` gives those of items from … to − 1. A file that is damaged
 * where it can be seen at once is computed anew.
 */
export async function openFeatures(
  options: FeatureFileOptions,
  compute: (from: number, to: number) => Promise<Float32Array>,
  batch: number,
): Promise<FeatureFile> {
  const { folder, key, count, shape } = options
  const path = join(folder, `${key}.npy`)
  const before = await readBeside(options)
  const size = shape.reduce((a, b) => a * b, 1)
  if (before !== undefined) {
    const file = await openRows(path).catch(() => undefined)
    if (file !== undefined) return opened(file, path, before, true)
  }
  const started = performance.now()
  const sums: number[] = []
  await writeFileAtomic(
    path,
    (async function* () {
      yield header([count, ...shape])
      for (let from = 0; from < count; from += batch) {
        const rows = await compute(from, Math.min(count, from + batch))
        for (let i = 0; i < rows.length; i += size) sums.push(crc32(bytesOf(rows.subarray(i, i + size))))
        yield bytesOf(rows)
      }
    })(),
  )
  const seconds = (performance.now() - started) / 1000
  const beside: Beside = { formatVersion: 1, key, count, shape: [...shape], crc32: sums, seconds }
  await writeFileAtomic(join(folder, `${key}.json`), `${JSON.stringify(beside)}\n`)
  return opened(await openRows(path), path, beside, false)
}

function opened(file: RowFile, path: string, beside: Beside, reused: boolean): FeatureFile {
  const { count, shape, crc32: sums, seconds } = beside
  const size = shape.reduce((a, b) => a * b, 1)
  return {
    features: {
      length: count,
      shape,
      batch: async indices => {
        const rows = await readRows(file, indices, size)
        for (const [n, i] of indices.entries())
          if (crc32(bytesOf(rows.subarray(n * size, (n + 1) * size))) !== sums[i]) throw damaged(path, i)
        return rows
      },
    },
    seconds,
    reused,
    bytes: count * size * 4,
    path,
    close: () => file.close(),
  }
}

async function readBeside({ folder, key, count, shape }: FeatureFileOptions): Promise<Beside | undefined> {
  try {
    const found = JSON.parse(await readFile(join(folder, `${key}.json`), 'utf8')) as Beside
    const fits =
      found.formatVersion === 1 &&
      found.key === key &&
      found.count === count &&
      `${found.shape}` === `${shape}` &&
      found.crc32.length === count
    return fits ? found : undefined
  } catch {
    return undefined
  }
}

function damaged(path: string, item: number): VqFormatError {
  return new VqFormatError({
    operation: `reading ${path}`,
    expected: `the features of item ${item} as they were written`,
    received: 'other bytes',
    remedy: 'Remove the file: its features are computed anew.',
  })
}

const bytesOf = (values: Float32Array): Uint8Array =>
  new Uint8Array(values.buffer, values.byteOffset, values.byteLength)

/** Of NumPy's format, version 1.0. */
function header(shape: readonly number[]): Uint8Array {
  const text = `{'descr': '<f4', 'fortran_order': False, 'shape': (${shape.join(', ')}), }`
  const length = Math.ceil((10 + text.length + 1) / 64) * 64
  const bytes = Buffer.alloc(length, ' ')
  bytes.set([0x93, ...Buffer.from('NUMPY'), 1, 0, (length - 10) & 255, (length - 10) >> 8])
  bytes.write(text, 10, 'latin1')
  bytes[length - 1] = 10
  return bytes
}

/** A name for parts that decide the features. */
export function keyOf(parts: readonly (string | Uint8Array)[]): string {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(`${part.length}:`).update(part)
  return hash.digest('hex').slice(0, 32)
}
