import { expectConfig, expectInteger, expectNumber, type Random } from '@vq/core'

export interface IGPTOptions {
  /** Number of tokens: ids lie in [0, vocabSize). */
  vocabSize: number
  /** The longest sequence, in tokens. Default 58. */
  contextLength?: number
  /** Width, a multiple of nHeads. Default 128. */
  dModel?: number
  /** Default 4. */
  nHeads?: number
  /** Default 4. */
  nLayers?: number
  /** Of the embeddings and of what each part adds, in [0, 1). Default 0.1. */
  dropout?: number
  /** Draws the initial weights and what is dropped. Default: the global generator. */
  random?: Random
}

export type ResolvedIGPT = Required<Omit<IGPTOptions, 'random'>>

export function resolve(options: IGPTOptions): ResolvedIGPT {
  const name = 'IGPT'
  expectConfig(
    typeof options === 'object' && options !== null,
    name,
    'options',
    options,
    'Pass { vocabSize: 148 } at least.',
  )
  const { vocabSize, contextLength = 58, dModel = 128, nHeads = 4, nLayers = 4, dropout = 0.1 } = options
  expectInteger(name, 'vocabSize', vocabSize, 1)
  expectInteger(name, 'contextLength', contextLength, 1)
  expectInteger(name, 'dModel', dModel, 1)
  expectInteger(name, 'nHeads', nHeads, 1)
  expectInteger(name, 'nLayers', nLayers, 1, 1000)
  expectNumber(name, 'dropout', dropout, 0, 1 - 2 ** -24)
  expectConfig(
    dModel % nHeads === 0,
    name,
    `nHeads to divide dModel (${dModel})`,
    nHeads,
    'Choose a divisor.',
  )
  return { vocabSize, contextLength, dModel, nHeads, nLayers, dropout }
}
