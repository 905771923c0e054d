import { expectConfig, expectInteger, Random, random, type tf } from '@vq/core'
import type { BaseQuantizer } from '../base/quantizer.js'

/** What every layer takes besides the options of its quantizer. */
export interface LayerOptions {
  /** Default: the class's name and a number. */
  name?: string
  /** False freezes the quantizer: no gradient and no moving average changes it. Default true. */
  trainable?: boolean
  /** Shape of one example, [..., D]; only the first layer of a model needs it. */
  inputShape?: (number | null)[]
  /** The same with the batch in front. */
  batchInputShape?: (number | null)[]
  /** The batch in front of `inputShape`, where it is fixed. */
  batchSize?: number
  dtype?: 'float32'
  /** First values of all weights, in the order of `getWeights()`. */
  weights?: tf.Tensor[]
  /** Seed of the layer's own generator, 0 … 2^53 − 1. Default: drawn from the global one. */
  seed?: number
  /** What a saved layer had besides weights, such as the state of its generator; `getConfig()` gives it. */
  extraState?: ExtraState
}

/** By the number of the module among `namedModules()`. tfjs-layers would rewrite names that hold an underscore. */
export type ExtraState = [module: number, state: unknown][]

// tfjs-layers adds the last one to what it deserializes.
const layerKeys = [
  'name',
  'trainable',
  'inputShape',
  'batchInputShape',
  'batchSize',
  'dtype',
  'weights',
  'customObjects',
]

/** The part of the options that tfjs-layers takes. */
export function layerArguments(options: LayerOptions): Record<string, unknown> {
  return Object.fromEntries(Object.entries(options).filter(([key]) => layerKeys.includes(key)))
}

/** The part that the quantizer takes, with a generator of the layer's own: a saved layer must not rewind the global one. */
export function quantizerOptions<O extends object>(name: string, options: O & LayerOptions): O {
  const { extraState: _, seed, ...rest } = options
  const own = Object.fromEntries(Object.entries(rest).filter(([key]) => !layerKeys.includes(key)))
  if (seed !== undefined) expectInteger(name, 'seed', seed, 0)
  const given = 'random' in own
  expectConfig(!(given && seed !== undefined), name, 'seed or random, not both', seed, 'Leave one out.')
  if (given) return own as unknown as O
  return { ...own, random: new Random(seed ?? random.integer(2 ** 53 - 1)) } as unknown as O
}

/** Options as plain JSON. Arrays of first codes and functions are left out: what they made lies in the weights. */
export function plainOptions(options: object): Record<string, unknown> {
  const held = Object.entries(options).filter(([key]) => !layerKeys.includes(key) && key !== 'extraState')
  return Object.fromEntries(held.filter(([, value]) => isPlain(value)))
}

function isPlain(value: unknown): boolean {
  if (Array.isArray(value)) return value.every(isPlain)
  if (typeof value === 'object' && value !== null)
    return Object.getPrototypeOf(value) === Object.prototype && Object.values(value).every(isPlain)
  return ['number', 'string', 'boolean'].includes(typeof value)
}

export function extraStateOf(quantizer: BaseQuantizer): ExtraState {
  return quantizer.namedModules().flatMap(([, module], place): ExtraState => {
    const state = module.extraState()
    return state === undefined ? [] : [[place, state]]
  })
}

export function loadExtraState(quantizer: BaseQuantizer, states: ExtraState): void {
  const modules = quantizer.namedModules()
  for (const [place, state] of states) modules[place]?.[1].loadExtraState(state)
}
