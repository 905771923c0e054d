import { VqAbortError, VqConfigError } from '@vq/core'
import type { FoundFile } from '../found-files.js'
import { compact } from '../images.js'
import { type Kernel, unique } from '../kernel.js'
import type { FailedItem, SkippedItem, SourceOptions } from '../source.js'
import { openTable } from '../tables/index.js'
import { namesRows } from '../tables/items.js'
import { countFrom, isTable } from '../tables/table.js'
import { openOr } from '../texts.js'
import { openArray } from './arrays.js'
import { firstLength, listColumn, listPart } from './lists.js'
import type { RowPart } from './part.js'

/** Endings of files of arrays. */
export const arrayEndings: ReadonlySet<string> = new Set([
  '.npy',
  '.npz',
  '.fvecs',
  '.bvecs',
  '.ivecs',
  '.safetensors',
])

/** Rows of numbers: vectors, or images and videos that were decoded before, bytes as k/255. */
export async function rowKernel(
  files: readonly FoundFile[],
  skipped: SkippedItem[],
  options: SourceOptions,
): Promise<Kernel> {
  const { modality, memoryBytes = 2 ** 28, column } = options
  const vector = modality === 'vector'
  const parts: RowPart[] = []
  let shape = options.shape
  const name = typeof column === 'string' ? column : undefined
  const pickOne = files.length === 1 && files[0].named
  for (const file of files) {
    const prefix = pickOne ? '' : `${file.id}#`
    const part = await openOr(skipped, file, async () => {
      if (!isTable(file.path)) {
        const divisor = vector ? 1 : await divisorOf(file.path)
        return openArray(file.path, { name, memoryBytes, prefix, divisor })
      }
      const table = await openTable(file.path, options)
      const length = shape?.[0] ?? (await firstLength(table, listColumn(table, options)))
      if (length !== undefined) shape ??= [length]
      return listPart(table, options, prefix, skipped)
    })
    if (part === undefined) continue
    const own = part.shape
    if (own !== undefined && vector && own.length !== 1) {
      await part.close()
      throw notRows(file, own)
    }
    shape ??= own
    if (own === undefined || (shape !== undefined && `${own}` === `${shape}`)) parts.push(part)
    else {
      await part.close()
      skipped.push({
        id: file.id,
        reason: `${part.count} items of shape [${own}] where [${shape}] is needed`,
      })
    }
  }
  return joined(parts, shape ?? [1], skipped, options)
}

// Bytes are pixels from 0 to 255; floats are taken as they are.
async function divisorOf(path: string): Promise<number> {
  const part = await import('@vq/core/io').then(({ openRows }) => openRows(path))
  await part.close()
  return part.dtype === 'U8' ? 255 : 1
}

function notRows(file: FoundFile, shape: readonly number[]): VqConfigError {
  return new VqConfigError({
    operation: 'openSource',
    expected: `vectors [N, D] in ${file.path}`,
    received: `[N${shape.map(size => `, ${size}`).join('')}]`,
    remedy: 'Reshape the array to two axes.',
  })
}

function joined(
  parts: readonly RowPart[],
  shape: readonly number[],
  skipped: SkippedItem[],
  options: SourceOptions,
): Kernel {
  const size = shape.reduce((a, b) => a * b, 1)
  const starts = [0]
  for (const part of parts) starts.push(starts[starts.length - 1] + part.count)
  const length = starts[starts.length - 1]
  const partOf = (index: number): number => {
    let p = 0
    while (index >= starts[p + 1]) p++
    return p
  }
  const own = (index: number): string => {
    const p = partOf(index)
    return parts[p].id(index - starts[p])
  }
  // Numbers of rows are never twice.
  const named = namesRows(options)
    ? unique(
        Array.from({ length }, (_, i) => own(i)),
        options.strict ?? false,
      )
    : undefined
  const all = (of: (part: RowPart) => readonly string[] | undefined): readonly string[] | undefined =>
    parts.some(part => of(part) !== undefined)
      ? parts.flatMap(part => of(part) ?? new Array<string>(part.count).fill(''))
      : undefined
  const id = (index: number): string => named?.[index] ?? own(index)

  const readPart = async (
    p: number,
    indices: Int32Array,
    signal: AbortSignal | undefined,
  ): Promise<{ values: Float32Array; bad: Map<number, string> }> => {
    if (signal?.aborted) throw new VqAbortError('Source.read', signal.reason)
    const rows = starts[p] === 0 ? indices : indices.map(index => index - starts[p])
    return parts[p].read(rows, size)
  }
  const blockRows = Math.max(1, Math.min(16384, Math.floor(2 ** 24 / (4 * size))))
  let wantsAll = false
  let whole: Promise<Float32Array | undefined> | undefined
  // Undefined where a row cannot be read: reading it by itself says why.
  const loadAll = async (): Promise<Float32Array | undefined> => {
    const out = new Float32Array(length * size)
    for (const [p, part] of parts.entries())
      for (let row = 0; row < part.count; row += blockRows) {
        const { values, bad } = await part.read(countFrom(row, Math.min(blockRows, part.count - row)), size)
        if (bad.size > 0) return undefined
        out.set(values, (starts[p] + row) * size)
      }
    return out
  }
  return {
    modality: options.modality,
    length,
    shape,
    id,
    labels: all(part => part.labels),
    captions: all(part => part.captions),
    skipped,
    checkedAtOnce: blockRows,
    load: () => {
      wantsAll = 4 * length * size <= (options.memoryBytes ?? 2 ** 28)
    },
    read: async (indices, signal) => {
      let values: Float32Array
      let bad: Map<number, string>
      if (wantsAll) whole ??= loadAll()
      const rows = await whole
      if (rows !== undefined) {
        values = new Float32Array(indices.length * size)
        for (const [n, i] of indices.entries()) values.set(rows.subarray(i * size, (i + 1) * size), n * size)
        bad = new Map()
      } else if (parts.length === 1 && indices.length > 0)
        ({ values, bad } = await readPart(0, indices, signal))
      else {
        values = new Float32Array(indices.length * size)
        bad = new Map()
        for (const p of parts.keys()) {
          const places = indices
            .map((_, n) => n)
            .filter(n => indices[n] >= starts[p] && indices[n] < starts[p + 1])
          if (places.length === 0) continue
          const part = await readPart(
            p,
            places.map(n => indices[n]),
            signal,
          )
          for (const [i, n] of places.entries())
            values.set(part.values.subarray(i * size, (i + 1) * size), n * size)
          for (const [i, reason] of part.bad) bad.set(places[i], reason)
        }
      }
      findUnusable(values, size, bad)
      const good = new Uint8Array(indices.length).fill(1)
      const failed: FailedItem[] = []
      for (const [n, reason] of bad) {
        good[n] = 0
        failed[n] = { index: indices[n], id: id(indices[n]), reason }
      }
      return compact(indices, values, size, good, failed)
    },
    close: async () => {
      await Promise.all(parts.map(part => part.close()))
    },
  }
}

// NaN and infinities survive the product with 0; most batches have none.
function findUnusable(values: Float32Array, size: number, bad: Map<number, string>): void {
  let [a, b, c, d] = [0, 0, 0, 0]
  const whole = values.length & ~3
  for (let i = 0; i < whole; i += 4) {
    a += values[i] * 0
    b += values[i + 1] * 0
    c += values[i + 2] * 0
    d += values[i + 3] * 0
  }
  for (let i = whole; i < values.length; i++) a += values[i] * 0
  if (a + b + c + d === 0) return
  for (let i = 0; i < values.length; i++) {
    if (Number.isFinite(values[i])) continue
    const n = Math.floor(i / size)
    if (!bad.has(n)) bad.set(n, `${values[i]} at ${i % size}`)
    i = (n + 1) * size - 1
  }
}
