import { closeSync, ftruncateSync, mkdtempSync, openSync, readSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

// Numbers of a block: 2 MB, so that what is done to it finds it in the cache.
const blockNumbers = 1 << 19

/**
 * Rows of float32 numbers that are gone through many times, block by block: in memory up to a limit, the others in a
 * temporary file that `close` removes. Visitors may change a block in place.
 */
export class RowStore {
  readonly dim: number
  readonly rowsPerBlock: number
  /** Rows so far. */
  count = 0
  private readonly held: Float32Array[] = []
  private readonly most: number
  private partial: Float32Array
  private filled = 0
  private file: { descriptor: number; folder: string; blocks: number } | undefined

  /** `memoryLimit` in bytes, for the rows that are held; two more blocks are needed besides. */
  constructor(dim: number, memoryLimit: number) {
    this.dim = dim
    this.rowsPerBlock = Math.max(1, Math.floor(blockNumbers / dim))
    this.most = Math.floor(memoryLimit / (4 * this.rowsPerBlock * dim))
    this.partial = new Float32Array(this.rowsPerBlock * dim)
  }

  append(rows: Float32Array): void {
    for (let at = 0; at < rows.length; ) {
      const take = Math.min(rows.length - at, this.partial.length - this.filled)
      this.partial.set(rows.subarray(at, at + take), this.filled)
      at += take
      this.filled += take
      if (this.filled === this.partial.length) this.flush()
    }
    this.count += rows.length / this.dim
  }

  private flush(): void {
    if (this.held.length < this.most) {
      this.held.push(this.partial)
      this.partial = new Float32Array(this.partial.length)
    } else this.writeBlock(this.spilled().blocks++, this.partial)
    this.filled = 0
  }

  private spilled(): { descriptor: number; folder: string; blocks: number } {
    if (this.file === undefined) {
      const folder = mkdtempSync(join(tmpdir(), 'vq-rows-'))
      this.file = { descriptor: openSync(join(folder, 'rows'), 'w+', 0o600), folder, blocks: 0 }
      // Without a name at once, so that a process that is killed leaves nothing behind.
      try {
        rmSync(folder, { recursive: true })
      } catch {
        // Not on Windows, where `close` does it.
      }
    }
    return this.file
  }

  private writeBlock(block: number, rows: Float32Array): void {
    const bytes = new Uint8Array(rows.buffer, rows.byteOffset, rows.byteLength)
    const at = block * this.rowsPerBlock * this.dim * 4
    for (let done = 0; done < bytes.length; )
      done += writeSync(this.spilled().descriptor, bytes, done, bytes.length - done, at + done)
  }

  private readInto(rows: Float32Array, firstNumber: number): void {
    const bytes = new Uint8Array(rows.buffer, rows.byteOffset, rows.byteLength)
    for (let done = 0; done < bytes.length; ) {
      const got = readSync(
        this.spilled().descriptor,
        bytes,
        done,
        bytes.length - done,
        firstNumber * 4 + done,
      )
      if (got === 0) throw new Error('the temporary file of rows was cut short by something else')
      done += got
    }
  }

  /** Number of blocks. */
  get blocks(): number {
    return this.held.length + (this.file?.blocks ?? 0) + (this.filled > 0 ? 1 : 0)
  }

  /** Lets `visit` see block b, and keeps what it changed where it returns true. */
  visit(b: number, visit: (rows: Float32Array, firstRow: number) => boolean): void {
    const firstRow = b * this.rowsPerBlock
    if (b < this.held.length) {
      visit(this.held[b], firstRow)
      return
    }
    const inFile = b - this.held.length
    if (inFile >= (this.file?.blocks ?? 0)) {
      visit(this.partial.subarray(0, this.filled), firstRow)
      return
    }
    const rows = new Float32Array(this.rowsPerBlock * this.dim)
    this.readInto(rows, inFile * rows.length)
    if (visit(rows, firstRow)) this.writeBlock(inFile, rows)
  }

  /** Copies of some rows. */
  gather(rows: ArrayLike<number>): Float32Array {
    const { dim, rowsPerBlock } = this
    const found = new Float32Array(rows.length * dim)
    for (let i = 0; i < rows.length; ) {
      const block = Math.floor(rows[i] / rowsPerBlock)
      // Rows that lie one after another are copied at once.
      let run = 1
      while (
        i + run < rows.length &&
        rows[i + run] === rows[i] + run &&
        (rows[i] % rowsPerBlock) + run < rowsPerBlock
      )
        run++
      const at = (rows[i] % rowsPerBlock) * dim
      const into = found.subarray(i * dim, (i + run) * dim)
      const inFile = block - this.held.length
      if (inFile < 0) into.set(this.held[block].subarray(at, at + into.length))
      else if (inFile >= (this.file?.blocks ?? 0)) into.set(this.partial.subarray(at, at + into.length))
      else this.readInto(into, inFile * rowsPerBlock * dim + at)
      i += run
    }
    return found
  }

  /** Frees everything. */
  close(): void {
    this.held.length = 0
    this.filled = 0
    if (this.file === undefined) return
    const { descriptor, folder } = this.file
    this.file = undefined
    ftruncateSync(descriptor, 0)
    closeSync(descriptor)
    rmSync(folder, { recursive: true, force: true })
  }
}
