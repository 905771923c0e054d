import { expectInteger, VqValueError } from '@vq/core'
import type { Dataset, Extras } from '../dataset.js'

/** The token ids of a text, whole numbers from 0 to 2³¹ − 1. */
export type Tokenize = (text: string) => ArrayLike<number>

/**
 * Texts as sequences of `length` token ids, int32 [length], cut or padded at the end. Extras: `mask` [N, length] int32, 1 for
 * tokens and 0 for padding, and `length` [N] int32, the number of tokens.
 */
export interface TextDataset extends Dataset<Int32Array> {
  readonly dtype: 'int32'
  /** The texts themselves. Throws as `batch` does. */
  texts(indices: Int32Array): Promise<string[]>
  extras(indices: Int32Array): Promise<Extras>
}

export interface SequenceOptions {
  /** Tokens per sample; longer texts are cut, shorter ones padded. Default 128. */
  length?: number
  /** Default: the bytes of UTF-8, 0 to 255. */
  tokenize?: Tokenize
  /** What fills short texts. Default 0. */
  padId?: number
}

/** The bytes of a text in UTF-8 as tokens. */
export function utf8Tokens(text: string): Uint8Array {
  return Buffer.from(text, 'utf8')
}

export interface Sequences {
  ids: Int32Array
  extras: Extras
}

/** What turns texts into sequences; throws VqConfigError for options out of range, later VqValueError for ids that are none. */
export function sequencer(
  operation: string,
  options: SequenceOptions,
): { length: number; sequences: (texts: readonly string[]) => Sequences } {
  const { length = 128, tokenize = utf8Tokens, padId = 0 } = options
  expectInteger(operation, 'length', length, 1, 2 ** 24)
  expectInteger(operation, 'padId', padId, 0, 2 ** 31 - 1)
  const sequences = (texts: readonly string[]): Sequences => {
    const ids = new Int32Array(texts.length * length).fill(padId)
    const mask = new Int32Array(texts.length * length)
    const lengths = new Int32Array(texts.length)
    for (const [n, text] of texts.entries()) {
      const tokens = tokenize(text)
      lengths[n] = Math.min(tokens.length, length)
      for (let i = 0; i < lengths[n]; i++) {
        ids[n * length + i] = expectToken(operation, tokens[i])
        mask[n * length + i] = 1
      }
    }
    return {
      ids,
      extras: {
        mask: { values: mask, shape: [texts.length, length] },
        length: { values: lengths, shape: [texts.length] },
      },
    }
  }
  return { length, sequences }
}

export function expectToken(operation: string, id: unknown): number {
  if (Number.isInteger(id) && (id as number) >= 0 && (id as number) < 2 ** 31) return id as number
  throw new VqValueError({
    operation,
    expected: 'token ids from 0 to 2^31 − 1',
    received: String(id),
    remedy: 'Let tokenize give the ids of the tokens.',
  })
}
