// tokenizer.json as Python's library `tokenizers` writes it, and what of it the JavaScript library reads otherwise.
import { VqConfigError, VqFormatError } from '@vq/core'

export type Json = Record<string, unknown>

export interface AddedToken extends Json {
  id: number
  content: string
}

/** The contents of a tokenizer.json. */
export interface TokenizerDefinition extends Json {
  added_tokens: AddedToken[]
  normalizer: Json | null
  pre_tokenizer: Json | null
  post_processor: Json | null
  decoder: Json | null
  model: Json
}

/** Throws VqFormatError for what is no tokenizer.json, VqConfigError for what is not supported. */
export function checkedDefinition(value: unknown, source: string): TokenizerDefinition {
  const definition = value as TokenizerDefinition
  const model = definition?.model
  const tokens = definition?.added_tokens ?? []
  const fits =
    typeof model === 'object' &&
    model !== null &&
    typeof model.vocab === 'object' &&
    model.vocab !== null &&
    Array.isArray(tokens) &&
    tokens.every(t => typeof t?.content === 'string' && Number.isInteger(t.id))
  if (!fits)
    throw new VqFormatError({
      operation: `reading ${source}`,
      expected: 'a tokenizer.json with model, its vocab, and added_tokens',
      received: JSON.stringify(value)?.slice(0, 100) ?? 'nothing',
      remedy: 'Write it with save_pretrained of transformers, or save of tokenizers.',
    })
  const whole: TokenizerDefinition = {
    ...{ normalizer: null, pre_tokenizer: null, post_processor: null, decoder: null },
    ...definition,
    added_tokens: tokens,
  }
  if (typeof model.type !== 'string') model.type = kindOf(model)
  const refuse = (ok: boolean, what: string, received: unknown): void => {
    if (ok) return
    throw new VqConfigError({
      operation: `reading ${source}`,
      expected: what,
      received: JSON.stringify(received),
      remedy: 'Tokenizers with another value are not supported.',
    })
  }
  const types = ['BPE', 'WordPiece', 'WordLevel', 'Unigram']
  refuse(types.includes(model.type as string), `a model among ${types.join(', ')}`, model.type)
  refuse(!model.dropout, 'no dropout of merges', model.dropout)
  if (model.type === 'BPE')
    refuse(!model.continuing_subword_prefix, 'no prefix of parts of words', model.continuing_subword_prefix)
  for (const token of tokens) refuse(token.single_word !== true, 'no single_word tokens', token.content)
  for (const part of partsOf(whole.pre_tokenizer, 'pretokenizers')) {
    const behavior = String(part.behavior ?? 'isolated').toLowerCase()
    if (part.type === 'Split')
      refuse(
        behavior === (part.invert === true ? 'removed' : 'isolated'),
        "splits that are 'Isolated', or 'Removed' and inverted",
        part.behavior,
      )
    if (part.type === 'Punctuation')
      refuse(
        ['isolated', 'contiguous'].includes(behavior),
        "punctuation that is 'Isolated' or 'Contiguous'",
        part.behavior,
      )
  }
  return whole
}

function kindOf(model: Json): string {
  if (Array.isArray(model.vocab)) return 'Unigram'
  if (Array.isArray(model.merges)) return 'BPE'
  return 'continuing_subword_prefix' in model ? 'WordPiece' : 'WordLevel'
}

function partsOf(step: Json | null, name: string): Json[] {
  if (step === null) return []
  return step.type === 'Sequence' ? (step[name] as Json[]).flatMap(part => partsOf(part, name)) : [step]
}

const word = String.raw`\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}`
const matches = (pattern: string): Json => ({
  ...{ type: 'Split', pattern: { Regex: pattern }, behavior: 'Removed', invert: true },
})

/**
 * The definition for the JavaScript library, which takes \w for ASCII's and does not divide at what Metaspace puts for
 * blanks: both are said by patterns.
 */
export function adapted(definition: TokenizerDefinition): TokenizerDefinition {
  return {
    ...definition,
    pre_tokenizer: definition.pre_tokenizer && adaptedStep(definition.pre_tokenizer),
    model: { ...definition.model, ...(definition.model.type === 'WordLevel' && { type: 'Words' }) },
  }
}

function adaptedStep(step: Json): Json {
  if (step.type === 'Sequence')
    return { ...step, pretokenizers: (step.pretokenizers as Json[]).map(adaptedStep) }
  if (step.type === 'Whitespace') return matches(`[${word}]+|[^${word}\\s]+`)
  if (step.type !== 'Metaspace' || step.split === false) return step
  const blank = String(step.replacement ?? '▁')
  return { type: 'Sequence', pretokenizers: [step, matches(`${blank}[^${blank}]*|[^${blank}]+`)] }
}
