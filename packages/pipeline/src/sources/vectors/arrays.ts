// Arrays whose rows have one length: npy, fvecs and its kin, safetensors, npz.
import { basename } from 'node:path'
import { closest, VqConfigError, VqError, VqFormatError, VqMemoryError } from '@vq/core'
import { openNpz, openRows, openSafetensors, type StoredArray, type StoredType } from '@vq/core/io'
import { readRows } from '@vq/models/readers'
import type { RowPart } from './part.js'

interface Rows {
  count: number
  shape: readonly number[]
  dtype: StoredType
  read(row: number, count: number): Promise<StoredArray>
  close(): Promise<void>
}

const types: ReadonlySet<StoredType> = new Set(['F32', 'F64', 'F16', 'BF16', 'U8', 'I8', 'U16', 'I16', 'I32'])

/** Opens the array in a file; `name` is the tensor's, where there are several. */
export async function openArray(
  path: string,
  options: { name: string | undefined; memoryBytes: number; prefix: string; divisor?: number },
): Promise<RowPart> {
  const { prefix, divisor = 1 } = options
  const rows = await rowsOf(path, options.name, options.memoryBytes)
  if (!types.has(rows.dtype)) {
    await rows.close()
    throw new VqFormatError({
      operation: `reading ${path}`,
      expected: [...types].join(', '),
      received: rows.dtype,
      remedy: 'Save the numbers as one of these.',
    })
  }
  const read = async (wanted: Int32Array, size: number): Promise<Float32Array> => {
    const values = await readRows(rows, wanted, size)
    if (divisor !== 1) for (let i = 0; i < values.length; i++) values[i] /= divisor
    return values
  }
  return {
    count: rows.count,
    shape: rows.shape,
    id: row => `${prefix}row-${row}`,
    read: async (wanted, size) => {
      const bad = new Map<number, string>()
      try {
        return { values: await read(wanted, size), bad }
      } catch (error) {
        if (!(error instanceof VqFormatError)) throw error
      }
      // One damaged row is no loss of the others.
      const values = new Float32Array(wanted.length * size)
      for (const [n, row] of wanted.entries())
        try {
          values.set(await read(Int32Array.of(row), size), n * size)
        } catch (error) {
          if (!(error instanceof VqError)) throw error
          bad.set(n, error.received)
        }
      return { values, bad }
    },
    close: () => rows.close(),
  }
}

async function rowsOf(path: string, name: string | undefined, memoryBytes: number): Promise<Rows> {
  if (path.endsWith('.safetensors')) {
    const file = await openSafetensors(path)
    try {
      const chosen = choose(
        path,
        [...file.entries].map(([key, { shape }]) => [key, shape]),
        name,
      )
      const { shape, dtype } = file.entries.get(chosen) as { shape: number[]; dtype: StoredType }
      return {
        count: shape[0],
        shape: shape.slice(1),
        dtype,
        read: async (row, count) => (await file.read(chosen, { rows: [row, row + count] })).data,
        close: () => file.close(),
      }
    } catch (error) {
      await file.close()
      throw error
    }
  }
  if (!path.endsWith('.npz')) return openRows(path)
  const file = await openNpz(path, { maxBytes: memoryBytes })
  try {
    const chosen = choose(
      path,
      [...file.entries].map(([key, { shape }]) => [key, shape]),
      name,
    )
    const entry = file.entries.get(chosen) as { shape: number[] }
    const numbers = entry.shape.reduce((a, b) => a * b, 1)
    if (numbers * 4 > memoryBytes)
      throw new VqMemoryError({
        operation: `reading '${chosen}' of ${path}`,
        expected: `an array of at most ${memoryBytes} bytes: npz archives can only be read as a whole`,
        received: `${numbers} numbers`,
        remedy: 'Save it as .npy, or pass a larger memoryBytes.',
      })
    const { dtype, data } = await file.read(chosen)
    const size = entry.shape.slice(1).reduce((a, b) => a * b, 1)
    return {
      count: entry.shape[0],
      shape: entry.shape.slice(1),
      dtype,
      read: async (row, count) => data.slice(row * size, (row + count) * size),
      close: async () => {},
    }
  } finally {
    await file.close()
  }
}

function choose(
  path: string,
  all: readonly (readonly [string, readonly number[]])[],
  name: string | undefined,
): string {
  const rows = all.filter(([, shape]) => shape.length > 1)
  const listed = all.map(([key, shape]) => `${key} [${shape.join(', ')}]`).join(', ')
  if (name === undefined && rows.length === 1) return rows[0][0]
  if (name !== undefined && all.some(([key]) => key === name)) return name
  const near =
    name === undefined
      ? undefined
      : closest(
          name,
          all.map(([key]) => key),
        )
  throw new VqConfigError({
    operation: 'openSource',
    expected:
      name === undefined
        ? `one tensor of rows in ${basename(path)}`
        : `the tensor '${name}' in ${basename(path)}`,
    received: listed === '' ? 'none' : listed.slice(0, 300),
    remedy: near === undefined ? 'Pass the name of the tensor as `column`.' : `Did you mean '${near}'?`,
  })
}
