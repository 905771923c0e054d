import { expectConfig, expectInteger, expectNumber, expectOneOf, type Random } from '@vq/core'
import { expectOptions } from '../base/options.js'
import { type ActivationName, activationNames } from '../transformer/index.js'
import { type TextPooling, textPoolings } from './pooling.js'

/** Of every transformer over tokens; the classes have defaults of their own. */
export interface TokenTransformerOptions {
  /** Number of tokens: ids lie in [0, vocabSize). */
  vocabSize: number
  /** Length of the embedding; where it differs from hiddenDim, a linear layer leads there. Default: hiddenDim. */
  embeddingDim?: number
  /** Width of the tokens, a multiple of numHeads. */
  hiddenDim?: number
  numLayers?: number
  numHeads?: number
  /** Width inside the feed-forward part. */
  mlpDim?: number
  /** The longest text, in tokens. */
  maxLength?: number
  /** Positions are a learned table or sines of which nothing is learned. */
  positions?: 'learned' | 'sinusoidal'
  /** Id of padding whose positions do not count, as RoBERTa has it: the first token then is at position countedFrom + 1. */
  countedFrom?: number
  /** Number of kinds of tokens ("segments"); 0 for none. */
  typeVocabSize?: number
  /** How tokens become the embedding. */
  pooling?: TextPooling
  /** Id of the end of a text, for pooling 'eos'. 'highest' takes the token with the highest id instead. */
  eosTokenId?: number | 'highest'
  /** Whether a linear layer and an activation lie behind the pooling. */
  pooler?: boolean
  /** Of that layer. Default 'tanh'. */
  poolerActivation?: ActivationName
  /** Whether the embedding is divided by its length. Default false. */
  normalize?: boolean
  /** Whether token i sees tokens up to i only. Default false. */
  causal?: boolean
  /** Whether layers normalise what they read, and the last one's result is normalised. */
  preNorm?: boolean
  /** Whether the sum of tokens, kinds and positions is normalised. */
  embeddingNorm?: boolean
  activation?: ActivationName
  /** Added to variances. */
  epsilon?: number
  /** Of embeddings and of what each part of a layer adds, in training. Default 0.1. */
  dropout?: number
  /** Of attention weights, in training. Default: dropout. */
  attentionDropout?: number
  /** Inside the feed-forward part, in training. Default 0. */
  mlpDropout?: number
  /** Deviation of the tables' start. */
  deviation?: number
  /** Whether a linear layer leads to the embedding although the widths agree. Default false. */
  head?: boolean
  /** Whether that layer has a bias. Default true. */
  headBias?: boolean
  /** Draws the initial weights and what is dropped. Default: the global generator. */
  random?: Random
}

type Chosen = 'random' | 'countedFrom' | 'eosTokenId'
export type TokenTransformerDefaults = Omit<Required<TokenTransformerOptions>, Chosen | 'vocabSize' | 'embeddingDim' | 'attentionDropout' | 'head'> // biome-ignore format: one list
export type CheckedTextOptions = Required<Omit<TokenTransformerOptions, Chosen>> &
  Pick<TokenTransformerOptions, Chosen>

export function checkedTextOptions(
  name: string,
  options: TokenTransformerOptions,
  defaults: TokenTransformerDefaults,
): CheckedTextOptions {
  expectOptions(name, options, 'vocabSize')
  const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined))
  const all = { ...defaults, ...(given as unknown as TokenTransformerOptions) }
  const { hiddenDim, embeddingDim = hiddenDim, dropout, attentionDropout = dropout } = all
  const { head = embeddingDim !== hiddenDim } = all
  const checked: CheckedTextOptions = { ...all, embeddingDim, attentionDropout, head }
  for (const size of ['vocabSize', 'hiddenDim', 'embeddingDim', 'numHeads', 'mlpDim', 'maxLength'] as const)
    expectInteger(name, size, checked[size], 1)
  expectInteger(name, 'numLayers', checked.numLayers, 0, 1000)
  expectInteger(name, 'typeVocabSize', checked.typeVocabSize, 0)
  expectOneOf(name, 'positions', checked.positions, ['learned', 'sinusoidal'])
  expectOneOf(name, 'pooling', checked.pooling, textPoolings)
  expectOneOf(name, 'activation', checked.activation, activationNames)
  expectOneOf(name, 'poolerActivation', checked.poolerActivation, activationNames)
  expectNumber(name, 'deviation', checked.deviation, 0, 1e3)
  for (const rate of ['dropout', 'attentionDropout', 'mlpDropout'] as const)
    expectNumber(name, rate, checked[rate], 0, 1 - 2 ** -24)
  const { eosTokenId, countedFrom, pooling, vocabSize, maxLength } = checked
  if (countedFrom !== undefined) {
    expectInteger(name, 'countedFrom', countedFrom, 0, maxLength - 2)
    expectOneOf(name, 'positions with countedFrom', checked.positions, ['learned'])
  }
  if (pooling === 'eos' && eosTokenId !== 'highest')
    expectInteger(name, 'eosTokenId', eosTokenId, 0, vocabSize - 1)
  expectConfig(
    head || embeddingDim === hiddenDim,
    name,
    `embeddingDim to be hiddenDim (${hiddenDim}) where there is no head`,
    embeddingDim,
    'Leave head out.',
  )
  return checked
}
