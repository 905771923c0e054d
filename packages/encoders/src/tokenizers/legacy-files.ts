// Tokenizers from before tokenizer.json: vocab.txt of BERT, vocab.json and merges.txt of GPT-2, RoBERTa and CLIP.
import { VqFormatError } from '@vq/core'
import type { AddedToken, Json } from './definition.js'
import { contentOf } from './tokenizer.js'

type Vocabulary = Record<string, number>

function special(vocab: Vocabulary, names: readonly (string | undefined)[]): AddedToken[] {
  const contents = [...new Set(names.filter(name => name !== undefined && Object.hasOwn(vocab, name)))]
  return (contents as string[])
    .map(content => ({
      ...{ id: vocab[content]!, content, single_word: false, lstrip: false, rstrip: false },
      ...{ normalized: false, special: true },
    }))
    .sort((a, b) => a.id - b.id)
}

function idOf(vocab: Vocabulary, token: string): number {
  const id = Object.hasOwn(vocab, token) ? vocab[token] : undefined
  if (id !== undefined) return id
  throw new VqFormatError({
    operation: 'reading the vocabulary of a tokenizer',
    expected: `the token ${token}`,
    received: 'none',
    remedy: 'The vocabulary and tokenizer_config.json do not belong together.',
  })
}

/** BERT's tokenizer: one token per line of vocab.txt. */
export function wordPieceDefinition(vocabText: string, config: Readonly<Json>): Json {
  const lines = vocabText.split(/\r?\n/)
  if (lines.at(-1) === '') lines.pop()
  const vocab: Vocabulary = Object.fromEntries(lines.map((token, id) => [token, id]))
  const name = (key: string, usual: string): string => contentOf(config[key]) ?? usual
  const [cls, sep] = [name('cls_token', '[CLS]'), name('sep_token', '[SEP]')]
  const unknown = name('unk_token', '[UNK]')
  const names = [name('pad_token', '[PAD]'), unknown, cls, sep, name('mask_token', '[MASK]')]
  const [start, end] = [cls, sep].map(token => ({ SpecialToken: { id: token, type_id: 0 } }))
  const single = [start, { Sequence: { id: 'A', type_id: 0 } }, end]
  const more = [{ Sequence: { id: 'B', type_id: 1 } }, { SpecialToken: { id: sep, type_id: 1 } }]
  const described = Object.fromEntries(
    [cls, sep].map(token => [token, { id: token, ids: [idOf(vocab, token)], tokens: [token] }]),
  )
  return {
    version: '1.0',
    added_tokens: special(vocab, names),
    normalizer: {
      ...{ type: 'BertNormalizer', clean_text: true },
      handle_chinese_chars: config.tokenize_chinese_chars ?? true,
      strip_accents: config.strip_accents ?? null,
      lowercase: config.do_lower_case ?? true,
    },
    pre_tokenizer: { type: 'BertPreTokenizer' },
    post_processor: { type: 'TemplateProcessing', single, pair: [...single, ...more], special_tokens: described }, // biome-ignore format: one line
    decoder: { type: 'WordPiece', prefix: '##', cleanup: true },
    model: {
      ...{ type: 'WordPiece', unk_token: unknown, continuing_subword_prefix: '##' },
      ...{ max_input_chars_per_word: 100, vocab },
    },
  }
}

const clipPattern =
  "<\\|startoftext\\|>|<\\|endoftext\\|>|'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+"

/** GPT-2's, RoBERTa's or CLIP's tokenizer, whichever `kind` or the special tokens say. */
export function bytePairDefinition(
  vocab: Vocabulary,
  mergesText: string,
  config: Readonly<Json>,
  kind: string,
): Json {
  const merges = mergesText
    .split(/\r?\n/)
    .filter((line, i) => line !== '' && !(i === 0 && line.startsWith('#version')))
    .map(line => line.split(' '))
  const name = (key: string, usual: string): string => contentOf(config[key]) ?? usual
  const clip = /clip/i.test(kind)
  const roberta = !clip && (/roberta|bart/i.test(kind) || Object.hasOwn(vocab, '</s>'))
  const prefix = config.add_prefix_space === true
  const bytes = { type: 'ByteLevel', add_prefix_space: prefix, trim_offsets: true, use_regex: true }
  const cls = name(clip ? 'bos_token' : 'cls_token', clip ? '<|startoftext|>' : '<s>')
  const sep = name(clip ? 'eos_token' : 'sep_token', clip ? '<|endoftext|>' : '</s>')
  const unknown = clip ? name('unk_token', '<|endoftext|>') : null
  const names = ['bos_token', 'eos_token', 'unk_token', 'sep_token', 'pad_token', 'cls_token', 'mask_token'].map(key => contentOf(config[key])) // biome-ignore format: one line
  const usual = roberta ? ['<s>', '<pad>', '</s>', '<unk>', '<mask>'] : [cls, sep, '<|endoftext|>']
  const around = (token: string): [string, number] => [token, idOf(vocab, token)]
  return {
    version: '1.0',
    added_tokens: special(vocab, [...names, ...usual]).map(token =>
      roberta && token.content === '<mask>' ? { ...token, lstrip: true } : token,
    ),
    normalizer: clip
      ? {
          type: 'Sequence',
          normalizers: [
            { type: 'NFC' },
            { type: 'Replace', pattern: { Regex: '\\s+' }, content: ' ' },
            { type: 'Lowercase' },
          ],
        }
      : null,
    pre_tokenizer: clip
      ? {
          type: 'Sequence',
          pretokenizers: [
            { type: 'Split', pattern: { Regex: clipPattern }, behavior: 'Removed', invert: true },
            { ...bytes, add_prefix_space: false },
          ],
        }
      : bytes,
    post_processor:
      clip || roberta
        ? { type: 'RobertaProcessing', sep: around(sep), cls: around(cls), trim_offsets: !clip, add_prefix_space: prefix } // biome-ignore format: one line
        : { type: 'ByteLevel', add_prefix_space: true, trim_offsets: false, use_regex: true },
    decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: {
      ...{ type: 'BPE', dropout: null, unk_token: unknown, continuing_subword_prefix: '' },
      ...{ end_of_word_suffix: clip ? '</w>' : '', fuse_unk: false, byte_fallback: false },
      ...{ ignore_merges: false, vocab, merges },
    },
  }
}
