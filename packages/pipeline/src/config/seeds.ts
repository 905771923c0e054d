// The Python system's configurations: snake_case keys, channels in front.

type Json = Record<string, unknown>

const isObject = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** Whether a configuration is written the Python way: any of its own keys has an underscore. */
export function isSnakeCase(config: unknown): config is Json {
  return isObject(config) && Object.keys(config).some(key => key.includes('_') && !key.startsWith('$'))
}

const camel = (name: string): string =>
  name.replace(/_+([a-z0-9])/g, (_, letter: string) => letter.toUpperCase())

const camelKeys = (value: unknown): unknown =>
  isObject(value)
    ? Object.fromEntries(Object.entries(value).map(([k, v]) => [camel(k), camelKeys(v)]))
    : value

// What the Python encoders and methods call otherwise.
const renamedEncoderOptions: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  bert: {
    dModel: 'hiddenDim',
    intermediateSize: 'mlpDim',
    maxPositionEmbeddings: 'maxLength',
    hiddenSize: 'hiddenDim',
  },
  transformer: {
    dModel: 'hiddenDim',
    dimFeedforward: 'mlpDim',
    maxSeqLength: 'maxLength',
    nhead: 'numHeads',
  },
  lstm: { hiddenSize: 'hiddenDim', embedDim: 'tokenDim' },
  vit: { embedDim: 'hiddenDim', dModel: 'hiddenDim' },
  video_transformer: { embedDim: 'hiddenDim', dModel: 'hiddenDim', temporalNumLayers: 'temporalLayers' },
}

/**
 * The same configuration in this package's names, channels last: [C, H, W] and [C, T, H, W] are turned where the first
 * number can be one of channels (1 to 4) and the last cannot.
 */
export function fromSnakeCase(config: Json, encoderOf: (name: string) => string): Json {
  const { encoderConfig, vqConfig, ...rest } = camelKeys(config) as Json
  const type = typeof rest.encoderType === 'string' ? encoderOf(rest.encoderType) : ''
  const result: Json = { ...rest }
  if (encoderConfig !== undefined && encoderConfig !== null)
    result.encoderConfig = renamed(encoderConfig, renamedEncoderOptions[type])
  if (vqConfig !== undefined && vqConfig !== null)
    result.vqConfig = renamed(vqConfig, { numStages: 'nStages', beta: 'commitmentCost' })
  if (Array.isArray(rest.inputDim)) result.inputDim = channelsLast(rest.inputDim)
  else if (rest.modality === 'text' && typeof rest.inputDim === 'number') {
    // There it is the size of the vocabulary.
    result.tokenizer = { vocabSize: rest.inputDim, ...(isObject(rest.tokenizer) ? rest.tokenizer : {}) }
    delete result.inputDim
  }
  return result
}

function renamed(options: unknown, names: Readonly<Record<string, string>> = {}): unknown {
  if (!isObject(options)) return options
  return Object.fromEntries(
    Object.entries(options).map(([key, value]) => {
      // useAttention: false of the Python LSTM is the mean over time.
      if (key === 'useAttention') return ['pooling', value === false ? 'mean' : 'attention']
      return [names[key] ?? key, value]
    }),
  )
}

function channelsLast(dims: readonly unknown[]): unknown[] {
  const isChannels = (n: unknown): boolean => typeof n === 'number' && n >= 1 && n <= 4
  if (dims.length < 3 || !isChannels(dims[0]) || isChannels(dims.at(-1))) return [...dims]
  return [...dims.slice(1), dims[0]]
}
