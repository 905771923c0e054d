import { expectConfig, expectInteger } from '@vq/core'
import { learnMerges } from './byte-pairs.js'
import type { AddedToken, Json } from './definition.js'
import { Tokenizer } from './tokenizer.js'

export interface TrainTokenizerOptions {
  /** Most tokens, special ones counted. Default 30,000. */
  vocabSize?: number
  /** What is rarer becomes no token of its own. Default 1. */
  minFrequency?: number
  /** They get the first ids. '[PAD]' or '<pad>' is taken for padding. Default ['[PAD]', '[UNK]']; byte pairs: ['<pad>']. */
  specialTokens?: readonly string[]
  /** What stands for unknown words or characters; one of specialTokens. Default '[UNK]'. Byte pairs know everything. */
  unknownToken?: string
  /** Whether texts are written in small letters first. Default false. */
  lowercase?: boolean
}

type Kind = 'words' | 'characters' | 'bytes'

const steps: Readonly<Record<Kind, { pre_tokenizer: Json; decoder: Json | null }>> = {
  words: { pre_tokenizer: { type: 'Whitespace' }, decoder: null },
  characters: {
    pre_tokenizer: {
      ...{ type: 'Split', pattern: { Regex: '[\\s\\S]' }, behavior: 'Isolated', invert: false },
    },
    decoder: { type: 'Fuse' },
  },
  bytes: {
    pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true },
    decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
  },
}

/** A tokenizer of words and punctuation marks, the most frequent ones first (equally frequent ones by their letters). */
export function trainWordTokenizer(corpus: Iterable<string>, options: TrainTokenizerOptions = {}): Tokenizer {
  return trainLevel('trainWordTokenizer', 'words', corpus, options)
}

/** A tokenizer whose tokens are characters (code points), blanks and line ends included. */
export function trainCharacterTokenizer(
  corpus: Iterable<string>,
  options: TrainTokenizerOptions = {},
): Tokenizer {
  return trainLevel('trainCharacterTokenizer', 'characters', corpus, options)
}

/**
 * A tokenizer of byte pairs: the 256 bytes and what is merged of them, so that no text is unknown. The same corpus gives the
 * same tokens always, those that Python's `tokenizers` learns with its BpeTrainer.
 * Throws VqConfigError where vocabSize has no room for special tokens and bytes, or the corpus is no texts.
 * Source: Sennrich, Haddow, Birch 2015, https://arxiv.org/abs/1508.07909; bytes: Radford et al. 2019 (GPT-2), section 2.2.
 *
 * @example
 * const tokenizer = trainBytePairTokenizer(lines, { vocabSize: 1000 })
 * tokenizer.decode(tokenizer.encode('To be, or not').ids)   // 'To be, or not'
 */
export function trainBytePairTokenizer(
  corpus: Iterable<string>,
  options: TrainTokenizerOptions = {},
): Tokenizer {
  const name = 'trainBytePairTokenizer'
  const { vocabSize, minFrequency, specials } = checked(name, options, ['<pad>'])
  expectInteger(name, 'vocabSize', vocabSize, specials.length + 256, 2 ** 24 - 1)
  const vocab = new Map(specials.map((token, id) => [token, id]))
  for (const letter of byteLetters()) if (!vocab.has(letter)) vocab.set(letter, vocab.size)
  const counts = countWords(name, corpus, definition('bytes', options, {}, specials))
  const merges = learnMerges(counts, vocab, vocabSize, minFrequency)
  const model = {
    ...{ type: 'BPE', dropout: null, unk_token: null, continuing_subword_prefix: null },
    ...{ end_of_word_suffix: null, fuse_unk: false, byte_fallback: false, ignore_merges: false },
    ...{ vocab: Object.fromEntries(vocab), merges },
  }
  return new Tokenizer(definition('bytes', options, model, specials), configOf(specials))
}

function trainLevel(
  name: string,
  kind: Kind,
  corpus: Iterable<string>,
  options: TrainTokenizerOptions,
): Tokenizer {
  // biome-ignore format: one line
  const { vocabSize, minFrequency, specials } = checked(name, options, ['[PAD]', '[UNK]'])
  const { unknownToken = '[UNK]' } = options
  expectConfig(
    specials.includes(unknownToken),
    name,
    'unknownToken to be one of specialTokens',
    unknownToken,
    "Add it, such as '[UNK]'.",
  )
  expectInteger(name, 'vocabSize', vocabSize, specials.length + 1, 2 ** 24)
  const counts = countWords(name, corpus, definition(kind, options, {}, specials))
  const kept = [...counts]
    .filter(([word, count]) => count >= minFrequency && !specials.includes(word))
    .sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1))
    .slice(0, vocabSize - specials.length)
    .map(([word]) => word)
  const vocab = Object.fromEntries([...specials, ...kept].map((token, id) => [token, id]))
  const model = { type: 'WordLevel', vocab, unk_token: unknownToken }
  return new Tokenizer(definition(kind, options, model, specials), {
    ...configOf(specials),
    unk_token: unknownToken,
  })
}

function checked(name: string, options: TrainTokenizerOptions, usual: readonly string[]) {
  const { vocabSize = 30_000, minFrequency = 1, specialTokens = usual } = options
  expectInteger(name, 'minFrequency', minFrequency, 1)
  const specials = [...specialTokens]
  expectConfig(
    specials.every(token => typeof token === 'string' && token !== '') &&
      new Set(specials).size === specials.length,
    name,
    'specialTokens that differ',
    specials.join(' '),
    "Pass ['[PAD]', '[UNK]'].",
  )
  return { vocabSize, minFrequency, specials }
}

function definition(
  kind: Kind,
  { lowercase = false }: TrainTokenizerOptions,
  model: Json,
  specials: readonly string[],
): Json {
  // biome-ignore format: one line
  const added: AddedToken[] = specials.map((content, id) => ({
    ...{ id, content, single_word: false, lstrip: false, rstrip: false },
    ...{ normalized: false, special: true },
  }))
  return {
    ...{ version: '1.0', truncation: null, padding: null, added_tokens: added },
    normalizer: lowercase ? { type: 'Lowercase' } : null,
    ...steps[kind],
    post_processor: null,
    model: { type: 'WordLevel', vocab: {}, unk_token: specials[0] ?? '', ...model },
  }
}

function configOf(specials: readonly string[]): Json {
  const pad = specials.find(token => token === '[PAD]' || token === '<pad>')
  return pad === undefined ? {} : { pad_token: pad }
}

function countWords(name: string, corpus: Iterable<string>, pieces: Json): Map<string, number> {
  const splitter = new Tokenizer(pieces)
  const counts = new Map<string, number>()
  expectConfig(
    typeof corpus === 'object' && corpus !== null && Symbol.iterator in corpus,
    name,
    'texts',
    corpus,
    'Pass an array of strings, such as the lines of a file.',
  )
  for (const text of corpus) {
    expectConfig(typeof text === 'string', name, 'texts', text, 'Pass strings.')
    for (const word of splitter.wordsOf(text)) counts.set(word, (counts.get(word) ?? 0) + 1)
  }
  return counts
}

/** The letters that stand for the 256 bytes, in the order of their code points: what is visible stands for itself. */
function byteLetters(): string[] {
  const visible = (byte: number): boolean =>
    (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || (byte >= 174 && byte <= 255)
  let next = 256
  const codes = Array.from({ length: 256 }, (_, byte) => (visible(byte) ? byte : next++))
  return codes.sort((a, b) => a - b).map(code => String.fromCodePoint(code))
}
