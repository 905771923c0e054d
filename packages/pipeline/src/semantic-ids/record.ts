import { VqConfigError, VqFormatError, VqValueError } from '@vq/core'

/** One item's semantic ID. */
export interface SemanticId {
  id: string
  /** One integer per level or position, each from 0 to 2³¹ − 1. */
  codes: ArrayLike<number>
  caption?: string
}

export type SemanticIdFormat = 'parquet' | 'jsonl'

/** By the file's name: .parquet, .jsonl. */
export function formatOf(operation: string, file: string): SemanticIdFormat {
  if (file.endsWith('.parquet')) return 'parquet'
  if (file.endsWith('.jsonl')) return 'jsonl'
  throw new VqConfigError({
    operation,
    expected: 'a file name that ends in .parquet or .jsonl',
    received: file,
    remedy: 'Rename the file.',
  })
}

/** The codes as a plain array, checked: neither format says so when a number does not fit. */
export function checkedCodes(item: SemanticId, row: number): number[] {
  const codes = Array.from(item.codes)
  const bad = codes.find(code => !isCode(code))
  if (typeof item.id !== 'string' || bad !== undefined)
    throw new VqValueError({
      operation: 'writeSemanticIds',
      expected: 'a string id and codes that are whole numbers from 0 to 2^31 - 1',
      received: `row ${row}: id ${JSON.stringify(item.id)}${bad === undefined ? '' : `, code ${bad}`}`,
      remedy: 'Leave masked positions (-1) out before writing.',
    })
  return codes
}

/** A row as read from a file, checked. */
export function checkedRow(file: string, row: number, value: unknown): SemanticId & { codes: Int32Array } {
  const { id, codes, caption } = (value ?? {}) as Record<string, unknown>
  if (typeof id !== 'string' || !Array.isArray(codes) || !codes.every(isCode))
    throw new VqFormatError({
      operation: 'readSemanticIds',
      expected: 'rows of a string "id" and a list "codes" of whole numbers from 0 to 2^31 - 1',
      received: `row ${row} of ${file}: ${JSON.stringify(value)?.slice(0, 120)}`,
      remedy: 'Write the file with writeSemanticIds, or give it these columns.',
    })
  return { id, codes: Int32Array.from(codes), ...(typeof caption === 'string' && { caption }) }
}

function isCode(code: unknown): code is number {
  return Number.isInteger(code) && (code as number) >= 0 && (code as number) <= 0x7fffffff
}
