import * as tf from '@tensorflow/tfjs-core'
import { expectShape } from '../check.js'
import { detach } from '../ops/detach.js'

/**
 * What an attention layer remembers between calls, so that each step of decoding computes only what is new. It carries no
 * gradient. One cache serves one layer and one batch of sequences; dispose it when they are done.
 *
 * @example
 * const cache = new KeyValueCache()
 * for (const token of tokens) y = attention.forward(token, { causal: true, cache })   // token: [B, 1, E]
 * cache.dispose()
 */
export class KeyValueCache {
  /** True for keys and values that stay as the first call makes them: those of cross-attention. */
  readonly fixed: boolean
  private held: [tf.Tensor4D, tf.Tensor4D] | undefined

  constructor({ fixed = false }: { fixed?: boolean } = {}) {
    this.fixed = fixed
  }

  /** Number of keys held. */
  get length(): number {
    return this.held?.[0].shape[2] ?? 0
  }

  /** Keys and values, [B, H, T, D] each: the cache's own, not to be disposed. */
  get entries(): readonly [tf.Tensor4D, tf.Tensor4D] | undefined {
    return this.held
  }

  /** Adds keys and values [B, H, t, D] behind those held; all of them are returned. */
  append(keys: tf.Tensor4D, values: tf.Tensor4D): readonly [tf.Tensor4D, tf.Tensor4D] {
    const before = this.held
    const fits = (t: tf.Tensor, i: 0 | 1): boolean =>
      before === undefined || [0, 1, 3].every(axis => t.shape[axis] === before[i].shape[axis])
    expectShape(
      fits(keys, 0) && fits(values, 1),
      'KeyValueCache.append',
      `keys and values like those held, [${before?.[0].shape}]`,
      `[${keys.shape}] and [${values.shape}]`,
      'Call clear() before another batch.',
    )
    const all = [keys, values].map((t, i): tf.Tensor4D => {
      const held = before?.[i]
      return tf.tidy(
        () =>
          tf.keep(
            held === undefined ? detach(t) : detach(tf.concat([held, t as tf.Tensor4D], 2)),
          ) as tf.Tensor4D,
      )
    })
    this.clear()
    this.held = [all[0], all[1]]
    return this.held
  }

  /** Forgets everything; the cache can be used again. */
  clear(): void {
    tf.dispose(this.held ? [...this.held] : [])
    this.held = undefined
  }

  dispose(): void {
    this.clear()
  }
}
