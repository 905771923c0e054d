import * as tf from '@tensorflow/tfjs-core'
import { expectShape } from '../check.js'
import { VqShapeError } from '../errors.js'
import type { Activation } from './activation.js'
import { expectFloat32, expectInt32 } from './float32.js'
import { hasKernel, runKernel } from './kernel.js'
import { noGrad } from './no-grad.js'

/** Of a layer normalisation over the width; a {@link LayerNorm} is one. */
export interface DecoderNorm {
  readonly weight?: tf.Tensor | undefined
  readonly bias?: tf.Tensor | undefined
  readonly epsilon: number
}

/** x·weight + bias, weight [in, out]; a {@link Linear} is one. */
export interface DecoderProduct {
  readonly weight: tf.Tensor2D
  readonly bias?: tf.Tensor1D | undefined
}

/** x + out(attention(qkv(norm1(x)))), then that + narrow(activation(widen(norm2(·)))). */
export interface DecoderLayer {
  norm1: DecoderNorm
  /** [D, 3D]: queries, keys, values side by side, the heads of each side by side. */
  qkv: DecoderProduct
  out: DecoderProduct
  norm2: DecoderNorm
  widen: DecoderProduct
  narrow: DecoderProduct
}

/** A transformer that foretells the next token, pre-norm, with learned places. */
export interface DecoderWeights {
  /** [V, D]: a vector for each id. */
  table: tf.Tensor2D
  /** [T, D]: what is added at each place. */
  places: tf.Tensor2D
  heads: number
  /** Of the feed-forward parts. */
  activation: Activation
  layers: readonly DecoderLayer[]
  norm: DecoderNorm
  head: DecoderProduct
}

/** What the kernel is told. */
export interface DecodeAttributes {
  heads: number
  activation: Activation
  /** Of each layer's two norms, then of the last. */
  epsilons: readonly number[]
  held: number
  room: number
  last: boolean
}

const keyBlock = 16

/**
 * Keys and values of every layer for up to `capacity` tokens of a batch of sequences: made once, written in place by `decode`.
 * Dispose it when the batch is done.
 */
export class DecoderCache {
  readonly batch: number
  readonly capacity: number
  /** The capacity, up to whole blocks of keys. */
  readonly room: number
  /** [B, H, room / 16, D/H, 16] of each layer: keys in blocks of 16, transposed within. */
  readonly keys: readonly tf.Tensor5D[]
  /** [B, H, room, D/H] of each layer. */
  readonly values: readonly tf.Tensor4D[]
  private held = 0

  constructor({ table, heads, layers }: DecoderWeights, batch: number, capacity: number) {
    this.batch = batch
    this.capacity = capacity
    const dim = table.shape[1] / heads
    const blocks = Math.ceil(capacity / keyBlock)
    this.room = blocks * keyBlock
    const { room } = this
    this.keys = layers.map(() => tf.keep(tf.fill<tf.Rank.R5>([batch, heads, blocks, dim, keyBlock], 0)))
    this.values = layers.map(() => tf.keep(tf.fill<tf.Rank.R4>([batch, heads, room, dim], 0)))
  }

  /** Tokens held. */
  get length(): number {
    return this.held
  }

  /** Keys and values of layer `layer`, [B, H, T, D/H] each, as copies. */
  entries(layer: number): [tf.Tensor4D, tf.Tensor4D] {
    const { keys, values, held } = this
    const first = (x: tf.Tensor4D): tf.Tensor4D => tf.slice(x, [0, 0, 0, 0], [-1, -1, held, -1])
    return tf.tidy(() => [
      first(tf.reshape(tf.transpose(keys[layer], [0, 1, 2, 4, 3]), values[layer].shape)),
      first(values[layer]),
    ])
  }

  /** Counts tokens that `decode` has written. */
  grow(tokens: number): void {
    this.held += tokens
  }

  dispose(): void {
    tf.dispose([...this.keys, ...this.values])
  }
}

/** Whether the active backend can `decode`; on others models run layer by layer. */
export function canDecode(): boolean {
  return hasKernel('VqDecode')
}

/**
 * Logits [B, T, V] of the token behind each of ids, int32 [B, T], which go on behind what the cache holds and join it; with `last`
 * [B, 1, V], of the last alone. One native call a layer, without gradients. A sequence's logits depend on no other sequence of the
 * batch, on no number of threads and on no way in which its tokens are split over calls, not in one bit.
 * Throws VqShapeError where sizes do not fit or the cache is full, VqValueError naming the first id that is none.
 */
export function decode(
  weights: DecoderWeights,
  ids: tf.Tensor,
  cache: DecoderCache,
  { last = false }: { last?: boolean } = {},
): tf.Tensor3D {
  const operation = 'decode'
  expectInt32(operation, 'ids', ids)
  expectShape(
    ids.rank === 2 && ids.shape[0] === cache.batch && (ids.shape[1] as number) > 0,
    operation,
    `ids [${cache.batch}, T]`,
    `[${ids.shape.join(', ')}]`,
    'Make a cache for each batch of sequences.',
  )
  const tokens = ids.shape[1] as number
  const held = cache.length
  if (held + tokens > cache.capacity)
    throw new VqShapeError({
      operation,
      expected: `at most ${cache.capacity} tokens`,
      received: `${held + tokens}`,
      remedy: 'Make the cache larger, or shorten the sequences.',
    })
  expectShape(
    cache.keys.length === weights.layers.length && cache.capacity <= (weights.places.shape[0] as number),
    operation,
    `a cache of ${weights.layers.length} layers for at most ${weights.places.shape[0]} tokens`,
    `one of ${cache.keys.length} layers for ${cache.capacity}`,
    'Make the cache for these weights.',
  )
  const { parameters, epsilons } = listed(weights)
  const { table, places, heads, activation } = weights
  const { keys, values, room } = cache
  const inputs = { ids, table, places, parameters, keys, values } as unknown as Record<string, tf.Tensor>
  const attrs: DecodeAttributes = { heads, activation, epsilons, held, room, last }
  const y = noGrad(() => runKernel('VqDecode', inputs, { ...attrs }))
  cache.grow(tokens)
  return y as tf.Tensor3D
}

interface Listed {
  parameters: (tf.Tensor | undefined)[]
  epsilons: number[]
}
const lists = new WeakMap<DecoderWeights, Listed>()

// Sizes of variables stay as they are: a model's are looked at once.
function listed(weights: DecoderWeights): Listed {
  const known = lists.get(weights)
  if (known !== undefined) return known
  expectWeights(weights)
  const { layers, norm, head } = weights
  const all: (DecoderNorm | DecoderProduct)[] = [
    ...layers.flatMap(l => [l.norm1, l.qkv, l.out, l.norm2, l.widen, l.narrow]),
    norm,
    head,
  ]
  const made: Listed = {
    parameters: all.flatMap(({ weight, bias }) => [weight, bias]),
    epsilons: [...layers.flatMap(l => [l.norm1.epsilon, l.norm2.epsilon]), norm.epsilon],
  }
  lists.set(weights, made)
  return made
}

function expectWeights({ table, places, heads, layers, norm, head }: DecoderWeights): void {
  const width = table.shape[1]
  const fits = (p: DecoderProduct, inputs: number, outputs = p.weight.shape[1]): boolean =>
    tf.util.arraysEqual(p.weight.shape, [inputs, outputs]) && fitsVector(p.bias, outputs)
  const products = layers.flatMap(({ qkv, out, widen, narrow }) => [qkv, out, widen, narrow])
  const norms = [norm, ...layers.flatMap(l => [l.norm1, l.norm2])]
  const right =
    places.shape[1] === width &&
    width % heads === 0 &&
    norms.every(n => fitsVector(n.weight, width) && fitsVector(n.bias, width)) &&
    layers.every(
      l =>
        fits(l.qkv, width, 3 * width) &&
        fits(l.out, width, width) &&
        fits(l.widen, width) &&
        fits(l.narrow, l.widen.weight.shape[1], width),
    ) &&
    fits(head, width)
  expectShape(
    right,
    'decode',
    `weights of a transformer ${width} wide with ${heads} heads`,
    'others',
    'Products are [in, out], norms as long as the width.',
  )
  const all = [...products, ...norms, head].flatMap(({ weight, bias }) => [weight, bias])
  expectFloat32('decode', table, places, ...all)
}

const fitsVector = (v: tf.Tensor | undefined, length: number): boolean =>
  v === undefined || tf.util.arraysEqual(v.shape, [length])
