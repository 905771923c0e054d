import type { TensorInfo } from '@tensorflow/tfjs-core'
import { activationCode } from '../../ops/activation.js'
import type { DecodeAttributes, DecoderNorm, DecoderProduct } from '../../ops/decode.js'
import type { DrawAttributes } from '../../ops/draw-tokens.js'
import { badId } from '../../ops/embedding.js'
import type { KernelTable } from '../kernel.js'
import type { Argument } from '../vq-cpu.js'

const norm = ({ epsilon, weight, bias }: DecoderNorm): Argument[] => [epsilon, weight, bias]
const product = ({ weight, bias }: DecoderProduct): Argument[] => [weight, bias]

/** A transformer's step behind its cache, a native call for each layer, and the drawing of tokens. */
export const decoder: KernelTable = {
  VqDecode: ({ ids }, attrs, backend) => {
    const { weights, keys, values, held, room, last } = attrs as unknown as DecodeAttributes
    const { table, places, layers, heads, activation } = weights
    const [batch, tokens] = ids.shape
    const [rows, width] = table.shape
    const x = backend.allocate([batch, tokens, width], 'float32')
    backend.run('DecoderStart', batch, tokens, width, rows, places.shape[0], held, ids, table, places, x)
    const bad = backend.core.args[0]
    if (bad >= 0) throw badId(backend.integers(ids)[bad], bad, rows)
    const kind = activationCode(activation)
    for (const [i, { norm1, qkv, out, norm2, widen, narrow }] of layers.entries()) {
      const sizes = [batch, tokens, held, room, width, heads, widen.weight.shape[1], kind]
      const attention = [...norm(norm1), ...product(qkv), ...product(out)]
      const forward = [...norm(norm2), ...product(widen), ...product(narrow)]
      backend.run('DecoderLayer', ...sizes, x, ...attention, ...forward, keys[i], values[i])
    }
    const outputs = weights.head.weight.shape[1]
    const y = backend.allocate([batch, last ? 1 : tokens, outputs], 'float32')
    const end = [...norm(weights.norm), ...product(weights.head)]
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
