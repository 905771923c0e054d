import { VqConfigError } from '@vq/core'
import {
  loadTokenizer,
  type Tokenizer,
  trainBytePairTokenizer,
  trainCharacterTokenizer,
  trainWordTokenizer,
} from '@vq/encoders'
import type { TokenizerValues } from '../config/values.js'

const specials = ['<pad>', '<unk>', '<s>', '</s>']

const trainers: Readonly<Record<string, typeof trainWordTokenizer>> = {
  word: trainWordTokenizer,
  character: trainCharacterTokenizer,
  bpe: trainBytePairTokenizer,
}

/** Whether a tokenizer of this type is learned from the texts. */
export function isTrained(type: string): boolean {
  return Object.hasOwn(trainers, type)
}

/** The tokenizer that a configuration describes, learned from texts or read. */
export async function makeTokenizer(
  { type, vocabSize, lowercase, minFrequency }: TokenizerValues,
  texts: Iterable<string>,
): Promise<Tokenizer> {
  const train = trainers[type]
  if (train === undefined) return await loadTokenizer(type)
  const special = { specialTokens: specials, ...(type !== 'bpe' && { unknownToken: '<unk>' }) }
  return train(texts, { vocabSize, lowercase, minFrequency, ...special })
}

/** Texts as tokens: ids int32 [N, T], padded, and a mask of those that count. */
export interface TokenRows {
  ids: Int32Array
  mask: Int32Array
  length: number
}

/** The id that a text begins with in a decoder, and the one behind its end where there is one. */
export function endsOf(tokenizer: Tokenizer): { startId: number; endId?: number } {
  const first = (names: readonly string[]): number | undefined =>
    names.map(name => tokenizer.tokenToId(name)).find(id => id !== undefined)
  const startId = first(['<s>', '[CLS]', '<|startoftext|>']) ?? tokenizer.padId
  const endId = first(['</s>', '[SEP]', '<|endoftext|>'])
  return { startId, ...(endId !== undefined && { endId }) }
}

/** Always `length` tokens per text, so that an embedding never hangs on the texts beside it; the end is marked. */
export function tokenRows(tokenizer: Tokenizer, texts: readonly string[], length: number): TokenRows {
  const ids = new Int32Array(texts.length * length).fill(tokenizer.padId)
  const mask = new Int32Array(texts.length * length)
  const { endId } = endsOf(tokenizer)
  for (const [row, text] of texts.entries()) {
    const tokens = tokenizer.encode(text, { maxLength: length }).ids
    const marked =
      endId === undefined || tokens.at(-1) === endId ? tokens : [...tokens.slice(0, length - 1), endId]
    // An empty text is one token of padding that counts: nothing has no embedding.
    const all = marked.length === 0 ? [tokenizer.padId] : marked
    ids.set(all, row * length)
    mask.fill(1, row * length, row * length + all.length)
  }
  return { ids, mask, length }
}

/** Throws VqConfigError where a tokenizer has more ids than the encoder was made for. */
export function expectFits(tokenizer: Tokenizer, vocabSize: number): void {
  if (tokenizer.vocabSize <= vocabSize) return
  throw new VqConfigError({
    operation: 'VQPipeline',
    expected: `a tokenizer of at most ${vocabSize} ids`,
    received: `${tokenizer.vocabSize}`,
    remedy: 'Set tokenizer.vocabSize to as many.',
  })
}
