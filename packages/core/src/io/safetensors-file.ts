import { VqConfigError } from '../errors.js'
import { FileBytes } from './file-bytes.js'
import { type Header, readHeader } from './safetensors-header.js'
import { areFlags, bitsOf, countOf, decodeValues, widens } from './stored-bytes.js'
import type { StoredArray, StoredTensor, StoredType, TensorEntry, TensorFile } from './stored-tensor.js'

// Bytes: a multiple of 12, so that values of every width fill it.
const part = 3 << 18

export interface ReadOptions {
  /** Only the rows (indices of the first axis) from the first number up to, not including, the second. */
  rows?: readonly [begin: number, end: number]
}

/** Open safetensors: a file, or several with an index. */
export interface OpenSafetensors extends TensorFile {
  /** Reads one tensor, or some of its rows. Throws VqConfigError for names or rows that are not there. */
  read(name: string, options?: ReadOptions): Promise<StoredTensor>
}

/** One file, whose header alone is in memory. */
export class SingleFile implements OpenSafetensors {
  readonly entries: ReadonlyMap<string, TensorEntry>
  readonly metadata: Readonly<Record<string, string>>
  private readonly header: Header & { dataAt: number }
  private readonly file: FileBytes

  private constructor(file: FileBytes, header: Header & { dataAt: number }) {
    this.file = file
    this.header = header
    // Only what a reader may know; the places in the file stay with it.
    this.entries = new Map(
      [...header.entries].map(([name, { dtype, shape }]) => [name, { dtype, shape: [...shape] }]),
    )
    this.metadata = header.metadata
  }

  static async open(path: string): Promise<SingleFile> {
    const file = await FileBytes.open(path, 'safetensors')
    try {
      return new SingleFile(file, await readHeader(file))
    } catch (error) {
      await file.close()
      throw error
    }
  }

  /** Tells whether the file at the path is still the same one. */
  get stamp(): string {
    return this.file.stamp
  }

  async read(name: string, { rows }: ReadOptions = {}): Promise<StoredTensor> {
    const entry = this.header.entries.get(name)
    if (entry === undefined) throw unknownName(this.file.path, name)
    const { dtype, begin, end } = entry
    const at = this.header.dataAt + begin
    if (rows === undefined)
      return { dtype, shape: [...entry.shape], data: await this.values(name, dtype, at, end - begin) }
    const [first, last] = checkedRows(this.file.path, name, entry.shape, rows)
    const perRow = countOf(entry.shape.slice(1))
    // Values of 4 and 6 bits are read by groups of four, which are whole bytes, and cut to size.
    const bits = bitsOf[dtype]
    const group = bits < 8 ? 4 : 1
    const from = Math.floor((first * perRow) / group) * group
    const to = Math.min(Math.ceil((last * perRow) / group) * group, countOf(entry.shape))
    const data = await this.values(name, dtype, at + (from * bits) / 8, ((to - from) * bits) / 8)
    const shape = [last - first, ...entry.shape.slice(1)]
    if (to - from === (last - first) * perRow) return { dtype, shape, data }
    return { dtype, shape, data: data.slice(first * perRow - from, last * perRow - from) }
  }

  private async values(name: string, dtype: StoredType, at: number, length: number): Promise<StoredArray> {
    // What grows in memory is read by parts, so that its bytes are not there beside it.
    if (widens(dtype) && length > part) {
      const count = (length * 8) / bitsOf[dtype]
      const data = this.file.allocate(count, () => new Float32Array(count))
      for (let i = 0; i < length; i += part) {
        const bytes = await this.file.read(at + i, Math.min(part, length - i))
        data.set(decodeValues(dtype, bytes) as Float32Array, (i * 8) / bitsOf[dtype])
      }
      return data
    }
    const bytes = await this.file.read(at, length)
    if (dtype === 'BOOL' && !areFlags(bytes)) throw this.file.bad(`'${name}' to hold 0 and 1`, 'other bytes')
    return decodeValues(dtype, bytes)
  }

  close(): Promise<void> {
    return this.file.close()
  }
}

/** The error for a tensor that an open file does not have. */
export function unknownName(path: string, name: string): VqConfigError {
  return new VqConfigError({
    operation: `reading '${name}' of ${path}`,
    expected: 'the name of a tensor in the file',
    received: `'${name}'`,
    remedy: 'See `entries` for the names.',
  })
}

function checkedRows(
  path: string,
  name: string,
  shape: readonly number[],
  rows: readonly [number, number],
): readonly [number, number] {
  const [first, last] = rows
  const most = shape[0]
  if (Number.isInteger(first) && Number.isInteger(last) && 0 <= first && first <= last && last <= most)
    return rows
  throw new VqConfigError({
    operation: `reading rows of '${name}' of ${path}`,
    expected: most === undefined ? 'a tensor of at least one axis' : `rows within 0 and ${most}`,
    received: `[${rows}]`,
    remedy: 'Pass { rows: [begin, end] }, of which the end is not included.',
  })
}
