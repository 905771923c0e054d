import type { TensorInfo } from '@tensorflow/tfjs-core'
import { activationCode } from '../../ops/activation.js'
import type { DecodeAttributes } from '../../ops/decode.js'
import type { DrawAttributes } from '../../ops/draw-tokens.js'
import { badId } from '../../ops/embedding.js'
import type { KernelTable } from '../kernel.js'

type Parameters = readonly (TensorInfo | undefined)[]

/** A transformer's step behind its cache, a native call for each layer, and the drawing of tokens. */
export const decoder: KernelTable = {
  // parameters: of each layer 12, then 4 of the end (ops/decode.ts); keys and values, one of each a layer, are written in place.
  VqDecode: ({ ids, table, places, ...lists }, attrs, backend) => {
    const { heads, activation, epsilons, held, room, last } = attrs as unknown as DecodeAttributes
    const { parameters, keys, values } = lists as unknown as Record<string, Parameters>
    const [batch, tokens] = ids.shape
    const [rows, width] = table.shape
    const x = backend.allocate([batch, tokens, width], 'float32')
    backend.run('DecoderStart', batch, tokens, width, rows, places.shape[0], held, ids, table, places, x)
    const bad = backend.core.args[0]
    if (bad >= 0) throw badId(backend.integers(ids)[bad], bad, rows)
    const kind = activationCode(activation)
    const layers = keys.length
    for (let i = 0; i < layers; i++) {
      const own = parameters.slice(12 * i, 12 * i + 12)
      const hidden = (own[8] as TensorInfo).shape[1]
      const attention = [epsilons[2 * i], ...own.slice(0, 6)]
      const forward = [epsilons[2 * i + 1], ...own.slice(6)]
      const sizes = [batch, tokens, held, room, width, heads, hidden, kind]
      backend.run('DecoderLayer', ...sizes, x, ...attention, ...forward, keys[i], values[i])
    }
    const [gamma, beta, weight, bias] = parameters.slice(12 * layers)
    const outputs = (weight as TensorInfo).shape[1]
    const y = backend.allocate([batch, last ? 1 : tokens, outputs], 'float32')
    const end = [epsilons[2 * layers], gamma, beta, weight, bias]
    backend.run('DecoderEnd', batch, tokens, last, width, outputs, x, ...end, y)
    backend.disposeData(x.dataId)
    return y
  },
  VqDrawTokens: ({ logits }, attrs, backend) => {
    const { guidance, temperature, topK, topP, range, also, words, copies } =
      attrs as unknown as DrawAttributes
    const rows = words.length / 2
    const classes = logits.shape[1]
    const ids = backend.allocate([rows * copies], 'int32')
    const given: TensorInfo[] = [
      backend.tensor(Int32Array.from(also), [also.length], 'int32'),
      backend.tensor(words, [words.length], 'int32'),
    ]
    const how = [guidance, temperature, topK, topP, ...range, also.length]
    backend.run('DrawTokens', rows, classes, ...how, logits, ...given, copies, ids)
    for (const { dataId } of given) backend.disposeData(dataId)
    return ids
  },
}
