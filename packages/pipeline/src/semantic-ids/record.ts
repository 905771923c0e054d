import { VqConfigError, VqFormatError, VqValueError } from '@vq/core'

/** One item's semantic ID. */
export interface SemanticId {
  id: string
  /** One integer per level, position after position, each from 0 to 2³¹ − 1. */
  codes: ArrayLike<number>
  caption?: string
  /**
   * How far the codes are from others, such as the distance to the second nearest entry over that to the nearest: one number for the
   * item or one for each level, kept as float32, from 0 up to infinity.
   */
  margin?: number | ArrayLike<number>
}

/** As it comes back from a file: a margin of one number is an array too. */
export interface StoredSemanticId extends SemanticId {
  codes: Int32Array
  margin?: Float32Array
}

export type SemanticIdFormat = 'parquet' | 'jsonl' | 'vqids'

/** By the file's name: .parquet, .jsonl, .vqids. */
export function formatOf(operation: string, file: string): SemanticIdFormat {
  for (const format of ['parquet', 'jsonl', 'vqids'] as const) if (file.endsWith(`.${format}`)) return format
  throw new VqConfigError({
    operation,
    expected: 'a file name that ends in .parquet, .jsonl or .vqids',
    received: file,
    remedy: 'Rename the file.',
  })
}

/** What a file says of its items as a whole. */
export interface SemanticIdInfo {
  /** Of an item's codes: [levels], or [positions, levels]. */
  shape?: readonly number[]
  /** K of each level: codes are below it. */
  codebookSizes?: readonly number[]
  metadata: Readonly<Record<string, string>>
}

/** What is written, checked: no format says so itself when a number does not fit. */
export function checkedItem(
  item: SemanticId,
  row: number,
  { shape, codebookSizes }: Omit<SemanticIdInfo, 'metadata'>,
): { codes: number[]; margin: Float32Array | undefined } {
  const bad = (expected: string, received: string): VqValueError =>
    new VqValueError({
      operation: 'writeSemanticIds',
      expected,
      received: `row ${row}: id ${JSON.stringify(item?.id)}${received}`,
      remedy: 'Leave masked positions (-1) out before writing.',
    })
  const codes = Array.from(item.codes)
  const wrong = codes.find(code => !isCode(code))
  if (typeof item.id !== 'string' || wrong !== undefined)
    throw bad(
      'a string id and codes that are whole numbers from 0 to 2^31 - 1',
      wrong === undefined ? '' : `, code ${wrong}`,
    )
  if (shape !== undefined && codes.length !== countOf(shape))
    throw bad(`${countOf(shape)} codes, as the shape [${shape}] says`, `, ${codes.length} codes`)
  if (codebookSizes !== undefined)
    for (const [i, code] of codes.entries()) {
      const size = codebookSizes[i % codebookSizes.length]
      if (code >= size)
        throw bad(`codes below ${size} at level ${i % codebookSizes.length}`, `, code ${code}`)
    }
  if (item.margin === undefined) return { codes, margin: undefined }
  const margin =
    typeof item.margin === 'number' ? Float32Array.of(item.margin) : Float32Array.from(item.margin)
  if (!margin.every(isMargin))
    throw bad('margins from 0 to infinity', `, margin ${[...margin].find(m => !isMargin(m))}`)
  return { codes, margin }
}

/** A row as read from a file, checked. */
export function checkedRow(file: string, row: number, value: unknown): StoredSemanticId {
  const { id, codes, caption, margin } = (value ?? {}) as Record<string, unknown>
  const margins = margin === undefined || margin === null ? undefined : margin
  const fits =
    margins === undefined ||
    ((Array.isArray(margins) || margins instanceof Float32Array) && margins.every(isMargin))
  const listed = Array.isArray(codes) || codes instanceof Int32Array
  if (typeof id !== 'string' || !listed || !codes.every(isCode) || !fits)
    throw new VqFormatError({
      operation: 'readSemanticIds',
      expected:
        'rows of a string "id", a list "codes" of whole numbers from 0 to 2^31 - 1, and perhaps a list "margin" of numbers from 0 up',
      received: `row ${row} of ${file}: ${JSON.stringify(value)?.slice(0, 120)}`,
      remedy: 'Write the file with writeSemanticIds, or give it these columns.',
    })
  return {
    id,
    codes: codes instanceof Int32Array ? codes : Int32Array.from(codes),
    ...(typeof caption === 'string' && { caption }),
    ...(margins !== undefined && {
      margin: margins instanceof Float32Array ? margins : Float32Array.from(margins as number[]),
    }),
  }
}

/** Throws VqConfigError unless shape and sizes are ones that files can have. */
export function expectInfo(
  operation: string,
  { shape, codebookSizes }: Omit<SemanticIdInfo, 'metadata'>,
): void {
  const whole = (value: unknown, most: number): boolean =>
    Number.isInteger(value) && (value as number) >= 1 && (value as number) <= most
  const bad = (expected: string, received: unknown): VqConfigError =>
    new VqConfigError({
      operation,
      expected,
      received: String(received),
      remedy: 'Pass what the quantizer has.',
    })
  if (shape !== undefined) {
    const fits = Array.isArray(shape) && (shape.length === 1 || shape.length === 2)
    if (!fits || !shape.every(size => whole(size, mostCodes)) || countOf(shape) > mostCodes)
      throw bad(`a shape [levels] or [positions, levels] of at most ${mostCodes} codes`, `[${shape}]`)
  }
  if (codebookSizes === undefined) return
  if (!Array.isArray(codebookSizes) || !codebookSizes.every(size => whole(size, 2 ** 31)))
    throw bad('codebook sizes from 1 to 2^31', `[${codebookSizes}]`)
  if (shape === undefined || shape.at(-1) !== codebookSizes.length)
    throw bad(`a shape with ${codebookSizes.length} levels for as many codebooks`, shape && `[${shape}]`)
}

/** More codes than an item can have. */
export const mostCodes: number = 2 ** 20

export function countOf(shape: readonly number[]): number {
  return shape.reduce((a, b) => a * b, 1)
}

function isCode(code: unknown): code is number {
  return Number.isInteger(code) && (code as number) >= 0 && (code as number) <= 0x7fffffff
}

function isMargin(margin: unknown): boolean {
  return typeof margin === 'number' && margin >= 0
}
