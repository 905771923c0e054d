/** Rows of numbers from one file. */
export interface RowPart {
  readonly count: number
  /** Of one row; undefined where each may be of another length. */
  readonly shape: readonly number[] | undefined
  readonly labels?: readonly string[] | undefined
  readonly captions?: readonly string[] | undefined
  id(row: number): string
  /** These rows of `size` numbers, one after another; and why some could not be read, by their place. */
  read(rows: Int32Array, size: number): Promise<{ values: Float32Array; bad: Map<number, string> }>
  close(): Promise<void>
}
