import { join } from 'node:path'
import { Tokenizer as Engine } from '@huggingface/tokenizers'
import { expectConfig, expectInteger, tf, VqFormatError, VqValueError } from '@vq/core'
import { writeFileAtomic } from '@vq/core/io'
import { adapted, checkedDefinition, type Json, type TokenizerDefinition } from './definition.js'
import { keptTokens } from './truncate.js'

export interface EncodeTextOptions {
  /** A second text, such as the answer to a question. */
  pair?: string
  /** Whether the tokens that the model wants around texts are added. Default true. */
  addSpecialTokens?: boolean
  /** Longer texts are cut to this many tokens, special ones counted. Default: not cut. */
  maxLength?: number
}

export interface EncodeBatchOptions extends Omit<EncodeTextOptions, 'pair'> {
  /** The second text of each. */
  pairs?: readonly string[]
  /** To the longest text of the batch, or to maxLength. Default 'longest'. */
  padding?: 'longest' | 'max_length'
  /** Whether texts longer than maxLength are cut. Default true. */
  truncation?: boolean
}

export interface TextEncoding {
  ids: number[]
  tokens: string[]
  /** 0 for the first text, 1 for the second. */
  tokenTypes: number[]
}

// A type, not an interface: tf.tidy wants an index signature.
export type TokenBatch = {
  /** int32 [B, T] */
  ids: tf.Tensor2D
  /** int32 [B, T]: 1 is a token, 0 is padding. */
  mask: tf.Tensor2D
  /** int32 [B, T] */
  tokenTypes: tf.Tensor2D
}

/** What the library keeps of a post-processor. */
type PostProcessor = (
  first: string[],
  second: string[] | null,
  addSpecialTokens: boolean,
) => { tokens: string[]; token_type_ids?: number[] }

/**
 * Texts to ids of tokens and back, of a `tokenizer.json` and, where there is one, a `tokenizer_config.json`, which says the
 * token for padding, the side it is put on, and the longest text. `loadTokenizer` reads them, `train…Tokenizer` makes new ones.
 *
 * @example
 * const { ids, mask } = tokenizer.encodeBatch(['To be', 'or not to be'])   // int32 [2, 4] each
 * const { embedding } = encoder.forward(ids, { mask })
 */
export class Tokenizer {
  readonly definition: TokenizerDefinition
  readonly config: Readonly<Json>
  /** Longest text in tokens; Infinity where nothing is known of it. */
  readonly maxLength: number
  /** Id of padding; 0 where the model has no token for it. */
  readonly padId: number
  private readonly engine: Engine
  private readonly unknownId: number | undefined

  /** Throws VqFormatError for what is no tokenizer.json, VqConfigError for kinds that are not supported. */
  constructor(definition: unknown, config: Readonly<Json> = {}, source = 'a tokenizer') {
    this.definition = checkedDefinition(definition, source)
    this.config = config
    const { model } = this.definition
    try {
      const settings = { ...config, unk_token: model.unk_token ?? contentOf(config.unk_token) }
      this.engine = new Engine(adapted(this.definition), settings)
    } catch (cause) {
      throw new VqFormatError({
        operation: `reading ${source}`,
        expected: 'a tokenizer of a known kind',
        received: cause instanceof Error ? cause.message : String(cause),
        remedy: 'The file is damaged, or of a kind that is not supported.',
        cause,
      })
    }
    this.expectAddedTokens(source)
    this.fuseWithinWords()
    this.unknownId = (this.engine.model as { unk_token_id?: number } | null)?.unk_token_id
    const longest = config.model_max_length
    this.maxLength = typeof longest === 'number' && longest < 1e9 ? longest : Number.POSITIVE_INFINITY
    const padding = this.definition.padding as { pad_id?: number } | null | undefined
    const padToken = contentOf(config.pad_token)
    this.padId = (padToken === undefined ? undefined : this.tokenToId(padToken)) ?? padding?.pad_id ?? this.usualPad() // biome-ignore format: one line
  }

  /** Unknown tokens of one word are one: the JavaScript library joins those of neighbouring words as well. */
  private fuseWithinWords(): void {
    const model = this.engine.model as unknown as {
      fuse_unk?: boolean
      _call: (words: string[]) => string[]
    }
    if (model.fuse_unk !== true) return
    const whole = model._call.bind(model)
    model._call = words => words.flatMap(word => whole([word]))
  }

  /** Tokens that are looked for in normalised text would never be found where that is in lower case. */
  private expectAddedTokens(source: string): void {
    const { normalizer } = this.engine as unknown as { normalizer: ((text: string) => string) | null }
    for (const { content, normalized } of this.definition.added_tokens) {
      const lower = content.toLowerCase()
      expectConfig(
        normalized !== true || lower === content || normalizer?.(content) !== lower,
        `reading ${source}`,
        'no normalized added token in upper case, as the text is put into lower case',
        content,
        'Set normalized to false, or write the token in lower case.',
      )
    }
  }

  /** Number of ids, which lie in [0, vocabSize): the least vocabSize of an encoder. */
  get vocabSize(): number {
    let most = -1
    for (const id of this.engine.get_vocab(true).values()) most = Math.max(most, id)
    return most + 1
  }

  tokenToId(token: string): number | undefined {
    return this.engine.token_to_id(token)
  }

  idToToken(id: number): string | undefined {
    return this.engine.id_to_token(id)
  }

  /** Throws VqConfigError where maxLength leaves no room, VqValueError for tokens that are unknown and have no substitute. */
  encode(text: string, options: EncodeTextOptions = {}): TextEncoding {
    const operation = 'Tokenizer.encode'
    const { pair, addSpecialTokens = true, maxLength } = options
    for (const t of pair === undefined ? [text] : [text, pair])
      expectConfig(typeof t === 'string', operation, 'texts', t, 'Pass strings.')
    let first = this.engine.tokenize(text)
    let second = pair === undefined ? null : this.engine.tokenize(pair)
    if (maxLength !== undefined) {
      expectInteger(operation, 'maxLength', maxLength, 1)
      const extra = this.around([], second && [], addSpecialTokens).tokens.length
      expectInteger(operation, 'maxLength, less the special tokens,', maxLength - extra, 0)
      const [a, b] = keptTokens(
        this.readUpTo(text, first.length, maxLength),
        second === null ? 0 : this.readUpTo(pair!, second.length, maxLength),
        maxLength - extra,
      )
      first = this.cut(first, a)
      second = second && this.cut(second, b)
    }
    const { tokens, token_type_ids } = this.around(first, second, addSpecialTokens)
    const ids = tokens.map(token => this.idOf(token))
    return { ids, tokens, tokenTypes: token_type_ids ?? this.typesOf(tokens.length) }
  }

  /** Texts as tensors of one length, which the caller disposes of. */
  encodeBatch(texts: readonly string[], options: EncodeBatchOptions = {}): TokenBatch {
    const operation = 'Tokenizer.encodeBatch'
    const { pairs, padding = 'longest', truncation = true, addSpecialTokens = true } = options
    const { maxLength = this.maxLength } = options
    expectConfig(
      Array.isArray(texts) && texts.length > 0 && (pairs === undefined || pairs.length === texts.length),
      operation,
      'texts, and as many pairs if any',
      pairs ?? texts,
      "Pass ['one', 'two'].",
    )
    const limit = truncation && Number.isFinite(maxLength) ? { maxLength } : {}
    const rows = texts.map((text, i) =>
      this.encode(text, { addSpecialTokens, ...limit, ...(pairs && { pair: pairs[i]! }) }),
    )
    const longest = Math.max(1, ...rows.map(({ ids }) => ids.length))
    const steps = padding === 'max_length' ? Math.max(longest, maxLength) : longest
    expectInteger(operation, "maxLength, to which padding 'max_length' fills up,", steps, 1, 2 ** 24)
    const left = this.paddingSide() === 'left'
    const made = [this.padId, 0, 0].map(v => new Int32Array(texts.length * steps).fill(v))
    for (const [i, { ids, tokenTypes }] of rows.entries()) {
      const at = i * steps + (left ? steps - ids.length : 0)
      made[0]!.set(ids, at)
      made[1]!.fill(1, at, at + ids.length)
      made[2]!.set(tokenTypes, at)
    }
    const [ids, mask, tokenTypes] = made.map(values => tf.tensor2d(values, [texts.length, steps], 'int32'))
    return { ids: ids!, mask: mask!, tokenTypes: tokenTypes! }
  }

  /** The text of ids. `skipSpecialTokens` leaves out what was put around the text. Default true. */
  decode(ids: ArrayLike<number>, { skipSpecialTokens = true }: { skipSpecialTokens?: boolean } = {}): string {
    const list = Array.from(ids)
    const bad = list.find(id => this.engine.id_to_token(id) === undefined)
    if (bad !== undefined)
      throw new VqValueError({
        operation: 'Tokenizer.decode',
        expected: `ids from 0 to ${this.vocabSize - 1}`,
        received: String(bad),
        remedy: 'Pass ids of this tokenizer.',
      })
    if (list.length === 0) return ''
    return this.engine.decode(list, {
      skip_special_tokens: skipSpecialTokens,
      clean_up_tokenization_spaces: this.config.clean_up_tokenization_spaces === true,
    })
  }

  /** Writes tokenizer.json and tokenizer_config.json into a folder, as Python's libraries read them. */
  async save(folder: string): Promise<void> {
    await writeFileAtomic(join(folder, 'tokenizer.json'), JSON.stringify(this.definition))
    const config = { tokenizer_class: 'PreTrainedTokenizerFast', ...this.config }
    await writeFileAtomic(join(folder, 'tokenizer_config.json'), JSON.stringify(config, null, 2))
  }

  /** Words as the normalizer and the pre-tokenizer make them; for training. */
  wordsOf(text: string): string[] {
    const { normalizer, pre_tokenizer } = this.engine as unknown as {
      normalizer: ((text: string) => string) | null
      pre_tokenizer: ((text: string, options: object) => string[]) | null
    }
    const plain = normalizer?.(text) ?? text
    return pre_tokenizer?.(plain, { section_index: 0 }) ?? [plain]
  }

  private around(
    first: string[],
    second: string[] | null,
    addSpecialTokens: boolean,
  ): ReturnType<PostProcessor> {
    const post = this.engine.post_processor as unknown as PostProcessor | null
    if (post !== null) {
      const made = post(first, second, addSpecialTokens)
      // RoBERTa has one kind of token, also around pairs.
      const one = this.definition.post_processor?.type === 'RobertaProcessing'
      return one ? { tokens: made.tokens } : made
    }
    const tokens = [...first, ...(second ?? [])]
    return { tokens, token_type_ids: tokens.map((_, i) => (i < first.length ? 0 : 1)) }
  }

  /** Python's library reads no word more once it has `limit` tokens, and takes what it has for the text's length. */
  private readUpTo(text: string, length: number, limit: number): number {
    if (length <= limit) return length
    const model = this.engine.model as unknown as (words: string[]) => string[]
    let count = 0
    for (const word of this.wordsOf(text)) {
      count += model([word]).length
      if (count >= limit) return Math.min(count, length)
    }
    return length
  }

  private cut(tokens: string[], count: number): string[] {
    const direction = (this.definition.truncation as { direction?: string } | null | undefined)?.direction
    const side = String(this.config.truncation_side ?? direction ?? 'right').toLowerCase()
    return side === 'left' ? tokens.slice(tokens.length - count) : tokens.slice(0, count)
  }

  private paddingSide(): string {
    const direction = (this.definition.padding as { direction?: string } | null | undefined)?.direction
    return String(this.config.padding_side ?? direction ?? 'right').toLowerCase()
  }

  private typesOf(count: number): number[] {
    return new Array<number>(count).fill(0)
  }

  private usualPad(): number {
    for (const token of ['[PAD]', '<pad>']) {
      const id = this.tokenToId(token)
      if (id !== undefined) return id
    }
    return 0
  }

  private idOf(token: string): number {
    const id = this.tokenToId(token) ?? this.unknownId
    if (id !== undefined) return id
    throw new VqValueError({
      operation: 'Tokenizer.encode',
      expected: 'text of known tokens: this tokenizer has none for unknown ones',
      received: JSON.stringify(token),
      remedy: 'Use a tokenizer with an unknown token, or a byte-level one.',
    })
  }
}

/** Files hold tokens as text or as objects. */
export function contentOf(token: unknown): string | undefined {
  if (typeof token === 'string') return token
  const content = (token as { content?: unknown } | null | undefined)?.content
  return typeof content === 'string' ? content : undefined
}
