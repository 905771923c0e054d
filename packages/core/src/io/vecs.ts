import { expectConfig, expectInteger } from '../check.js'
import { VqShapeError } from '../errors.js'
import { writeFileAtomic } from './atomic.js'
import { FileBytes } from './file-bytes.js'

/** Vectors of one length, row by row, as TEXMEX files hold them: `.fvecs` float32, `.ivecs` int32, `.bvecs` bytes. */
export interface Vecs<T extends VecsArray = VecsArray> {
  /** [count, dim]. */
  data: T
  dim: number
  count: number
}

export type VecsArray = Float32Array | Int32Array | Uint8Array

type ArrayOf<P extends string> = P extends `${string}.fvecs`
  ? Float32Array
  : P extends `${string}.ivecs`
    ? Int32Array
    : P extends `${string}.bvecs`
      ? Uint8Array
      : VecsArray

export interface IterateVecsOptions {
  /** Rows per block; the last may have fewer. Default: as many as make a megabyte. */
  batch?: number
}

const arrays = { fvecs: Float32Array, ivecs: Int32Array, bvecs: Uint8Array }
const block = 1 << 20

/**
 * Reads all vectors of a `.fvecs`, `.ivecs` or `.bvecs` file. An empty file has none, of dimension 0.
 * Throws VqConfigError for other endings, VqFormatError where the file is truncated or its records disagree on their dimension.
 * Source: http://corpus-texmex.irisa.fr: each record is its dimension as a little-endian int32, then its values.
 */
export async function loadVecs<P extends string>(path: P): Promise<Vecs<ArrayOf<P>>> {
  const reader = await VecsReader.open(path, 'loadVecs')
  try {
    const { count, dim } = reader
    const data = reader.array(count)
    const batch = reader.rowsPerBlock()
    for (let row = 0; row < count; row += batch)
      await reader.read(row, data.subarray(row * dim, Math.min(row + batch, count) * dim))
    return { data: data as ArrayOf<P>, dim, count }
  } finally {
    await reader.close()
  }
}

/**
 * The vectors of a file in blocks of rows, of which only one is in memory. Throws as `loadVecs` does.
 *
 * @example
 * for await (const { data, dim, count } of iterateVecs('base.fvecs', { batch: 1000 })) index.add(data, count, dim)
 */
export async function* iterateVecs<P extends string>(
  path: P,
  options: IterateVecsOptions = {},
): AsyncGenerator<Vecs<ArrayOf<P>>> {
  if (options.batch !== undefined) expectInteger('iterateVecs', 'batch', options.batch, 1)
  const reader = await VecsReader.open(path, 'iterateVecs')
  try {
    const { dim } = reader
    const batch = options.batch ?? reader.rowsPerBlock()
    for (let row = 0; row < reader.count; row += batch) {
      const count = Math.min(batch, reader.count - row)
      const data = reader.array(count)
      await reader.read(row, data)
      yield { data: data as ArrayOf<P>, dim, count }
    }
  } finally {
    await reader.close()
  }
}

/**
 * Writes rows of `dim` values to a `.fvecs`, `.ivecs` or `.bvecs` file, atomically. The array is the one of the ending.
 * Throws VqShapeError where the array is another, or holds no whole rows.
 */
export async function saveVecs(path: string, vectors: { data: VecsArray; dim: number }): Promise<void> {
  const type = typeOf(path, 'saveVecs')
  const { data, dim } = vectors ?? {}
  expectInteger('saveVecs', 'dim', dim, 1, 2 ** 31 - 1)
  if (!(data instanceof type) || data.length % dim !== 0)
    throw new VqShapeError({
      operation: `saveVecs: ${path}`,
      expected: `a ${type.name} of rows of ${dim}`,
      received: `a ${(data as object)?.constructor?.name} of length ${(data as VecsArray)?.length}`,
      remedy: 'Take the ending of the values: .fvecs float32, .ivecs int32, .bvecs bytes.',
    })
  await writeFileAtomic(path, records(data, dim))
}

function* records(data: VecsArray, dim: number): Generator<Uint8Array> {
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
  const width = dim * data.BYTES_PER_ELEMENT
  const count = data.length / dim
  const batch = Math.max(1, Math.floor(block / (width + 4)))
  for (let row = 0; row < count; row += batch) {
    const part = Buffer.alloc(Math.min(batch, count - row) * (width + 4))
    for (let i = 0, at = 0; at < part.length; i++, at += width + 4) {
      part.writeInt32LE(dim, at)
      part.set(bytes.subarray((row + i) * width, (row + i + 1) * width), at + 4)
    }
    yield part
  }
}

function typeOf(
  path: string,
  operation: string,
): typeof Float32Array | typeof Int32Array | typeof Uint8Array {
  const ending = /\.([fib]vecs)$/.exec(path)?.[1]
  expectConfig(
    ending !== undefined,
    operation,
    'a name that ends in .fvecs, .ivecs or .bvecs',
    path,
    'Rename the file.',
  )
  return arrays[ending as keyof typeof arrays]
}

export class VecsReader {
  readonly dim: number
  readonly count: number
  private readonly file: FileBytes
  private readonly type: ReturnType<typeof typeOf>
  private readonly record: number

  private constructor(file: FileBytes, type: ReturnType<typeof typeOf>, dim: number) {
    this.file = file
    this.type = type
    this.dim = dim
    this.record = 4 + dim * type.BYTES_PER_ELEMENT
    this.count = file.size / this.record
  }

  static async open(path: string, operation: string): Promise<VecsReader> {
    const type = typeOf(path, operation)
    const file = await FileBytes.open(path, path.slice(-5))
    try {
      if (file.size === 0) return new VecsReader(file, type, 0)
      const dim = file.size < 4 ? 0 : Buffer.from(await file.read(0, 4)).readInt32LE()
      if (dim < 1)
        throw file.bad('records that begin with a dimension of at least 1', `${dim} in ${file.size} bytes`)
      const record = 4 + dim * type.BYTES_PER_ELEMENT
      if (file.size % record !== 0)
        throw file.bad(`records of ${record} bytes, of dimension ${dim}`, `${file.size} bytes`)
      return new VecsReader(file, type, dim)
    } catch (error) {
      await file.close()
      throw error
    }
  }

  get stamp(): string {
    return this.file.stamp
  }

  rowsPerBlock(): number {
    return Math.max(1, Math.floor(block / this.record))
  }

  array(rows: number): VecsArray {
    return new this.type(rows * this.dim)
  }

  /** Fills `out` with whole rows from `row` on. */
  async read(row: number, out: VecsArray): Promise<void> {
    const bytes = await this.file.read(row * this.record, (out.length / this.dim) * this.record)
    const words = new DataView(bytes.buffer)
    const to = new Uint8Array(out.buffer, out.byteOffset, out.byteLength)
    const width = this.record - 4
    for (let at = 0, i = 0; at < bytes.length; at += this.record, i++) {
      const dim = words.getInt32(at, true)
      if (dim !== this.dim)
        throw this.file.bad(`vectors of dimension ${this.dim}`, `${dim} for vector ${row + i}`)
      to.set(bytes.subarray(at + 4, at + this.record), i * width)
    }
  }

  close(): Promise<void> {
    return this.file.close()
  }
}
