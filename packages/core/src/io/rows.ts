import { expectConfig } from '../check.js'
import { FileBytes } from './file-bytes.js'
import { largestHeader, parseHeader, toStored } from './npy.js'
import { bytesOf } from './stored-bytes.js'
import type { StoredArray, StoredType } from './stored-tensor.js'
import { VecsReader } from './vecs.js'

/** An open file of rows, read where they are needed. Close it when done. */
export interface RowFile {
  readonly count: number
  /** Of one row. */
  readonly shape: readonly number[]
  readonly dtype: StoredType
  /** Differs between versions of the file. */
  readonly stamp: string
  /** `count` rows from `row` on, one after another. Throws VqFormatError where the file breaks its promises. */
  read(row: number, count: number): Promise<StoredArray>
  close(): Promise<void>
}

/**
 * Opens a `.npy` file, whose first axis counts the rows, or a `.fvecs`, `.ivecs` or `.bvecs` file. Throws VqConfigError for other
 * endings, VqFormatError where it is damaged, in Fortran's order with more than one axis, or a single number.
 */
export async function openRows(path: string): Promise<RowFile> {
  if (/\.[fib]vecs$/.test(path)) return openVecs(path)
  expectConfig(
    path.endsWith('.npy'),
    'openRows',
    'a name that ends in .npy, .fvecs, .ivecs or .bvecs',
    path,
    'Rename the file.',
  )
  const file = await FileBytes.open(path, 'npy')
  try {
    const start = await file.read(0, Math.min(file.size, 12 + largestHeader))
    const header = parseHeader(start, file.size, path)
    const { dtype, offset, fortran } = header
    if (header.shape.length === 0) throw file.bad('rows: at least one axis', 'a single number')
    if (fortran && header.shape.length > 1)
      throw file.bad("rows one after another (C's order)", "Fortran's order")
    const [count, ...shape] = header.shape
    const size = bytesOf(dtype, shape)
    return {
      count,
      shape,
      dtype,
      stamp: file.stamp,
      read: async (row, rows) => {
        const bytes = await file.read(offset + row * size, rows * size)
        return toStored({ ...header, shape: [rows, ...shape], length: bytes.length }, bytes, path).data
      },
      close: () => file.close(),
    }
  } catch (error) {
    await file.close()
    throw error
  }
}

async function openVecs(path: string): Promise<RowFile> {
  const reader = await VecsReader.open(path, 'openRows')
  const dtype = path.endsWith('.fvecs') ? 'F32' : path.endsWith('.ivecs') ? 'I32' : 'U8'
  return {
    count: reader.count,
    shape: [reader.dim],
    dtype,
    stamp: reader.stamp,
    read: async (row, count) => {
      const rows = reader.array(count)
      await reader.read(row, rows)
      return rows
    },
    close: () => reader.close(),
  }
}
