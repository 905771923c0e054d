import assert from 'node:assert/strict'
import * as tf from '@tensorflow/tfjs-core'
import { VqShapeError } from '../errors.js'
import type { Module } from '../nn/module.js'
import {
  assertClose,
  assertFinite,
  type ContractCheck,
  checkOn,
  sample,
  throwsTyped,
  valuesOf,
} from './contract.js'
import { assertBatchIndependent, moduleContract } from './module.js'

/** What the checks need of an encoder; `BaseEncoder` of `@vq/encoders` has it. */
export interface EncoderLike extends Module {
  /** Shape of one input, null where any size goes. */
  readonly inputShape: readonly (number | null)[]
  /** Of the input; 'int32' for ids of tokens. */
  readonly inputType: 'float32' | 'int32'
  readonly embeddingDim: number
  readonly outputShape: readonly number[]
  forward(x: tf.Tensor, options?: { mask?: tf.Tensor }): { embedding: tf.Tensor; sequence?: tf.Tensor }
}

export interface EncoderContractOptions {
  /** A fresh encoder; each call must give one with the same weights. */
  make: () => EncoderLike
  /** Shape of one input to test with, as `inputShape` allows. Default: `inputShape` with 8 for null. */
  sampleShape?: readonly number[]
  /** Ids of tokens are drawn below this. Default 10. */
  vocabSize?: number
  /** Whether it takes a mask [B, T] over the first axis of an input. Default false. */
  takesMask?: boolean
  /** As in `moduleContract`. */
  gradients?: number | false
  unused?: readonly string[]
}

/** What every encoder promises: all that a module promises, and one embedding per input, whatever else is in the batch. */
export function encoderContract(options: EncoderContractOptions): ContractCheck[] {
  const { make, vocabSize = 10, takesMask = false } = options
  const inputs = (e: EncoderLike, batch: number, seed = 1): tf.Tensor => {
    const shape = options.sampleShape ?? e.inputShape.map(n => n ?? 8)
    return sample([batch, ...shape], seed, e.inputType === 'int32' ? vocabSize : undefined)
  }
  const check = (name: string, test: (e: EncoderLike) => void): ContractCheck => checkOn(make, name, test)
  const checks = [
    ...moduleContract({ ...options, run: e => e.forward(inputs(e, 3)).embedding }),

    check('gives float32 embeddings [B, D], and sequences [B, T, D′] where it has them', e => {
      for (const batch of [3, 1]) {
        // One vector has no variance to normalise by.
        e.train(batch > 1)
        const { embedding, sequence } = e.forward(inputs(e, batch))
        assert.deepEqual(embedding.shape, [batch, e.embeddingDim], 'shape of the embedding')
        assert.equal(embedding.dtype, 'float32', 'type of the embedding')
        assert.deepEqual([...e.outputShape], [e.embeddingDim], 'outputShape')
        assertFinite(embedding, 'embedding')
        if (sequence === undefined) continue
        assert.deepEqual(
          [sequence.rank, sequence.shape[0], sequence.dtype],
          [3, batch, 'float32'],
          'sequence',
        )
        assertFinite(sequence, 'sequence')
      }
    }),

    check('embeds each input as it would alone, in evaluation', e => {
      e.eval()
      assertBatchIndependent(inputs(e, 3), x => e.forward(x).embedding, 1e-4, 'embedding')
    }),

    check('tells different inputs apart', e => {
      e.eval()
      const [a, b] = tf.unstack(e.forward(inputs(e, 2)).embedding).map(valuesOf)
      assert.notDeepEqual(a, b)
    }),

    check('refuses other shapes and types with a VqShapeError', e => {
      const x = inputs(e, 2)
      throwsTyped(() => e.forward(tf.expandDims(x, 0)), VqShapeError)
      throwsTyped(() => e.forward(tf.cast(x, 'bool')), VqShapeError)
      const fixed = e.inputShape.findIndex(n => n !== null)
      if (fixed < 0) return
      const wrong = x.shape.map((n, i) => (i === fixed + 1 ? n + 1 : n))
      throwsTyped(() => e.forward(tf.zeros(wrong, e.inputType)), VqShapeError)
    }),
  ]
  if (!takesMask) return checks
  return [
    ...checks,
    check('is not moved by what a mask leaves out, and refuses masks of other shapes', e => {
      e.eval()
      const x = inputs(e, 2)
      const steps = x.shape[1] ?? 0
      const kept = Math.ceil(steps / 2)
      const flags = Uint8Array.from({ length: 2 * steps }, (_, i) => (i % steps < kept ? 1 : 0))
      const mask = tf.tensor2d(flags, [2, steps], 'bool')
      const tail = x.shape.map((n, i) => (i === 1 ? steps - kept : n))
      const head = tf.slice(
        x,
        x.shape.map(() => 0),
        x.shape.map((n, i) => (i === 1 ? kept : n)),
      )
      const other = tf.concat([head, sample(tail, 99, e.inputType === 'int32' ? vocabSize : undefined)], 1)
      const [a, b] = [x, other].map(v => valuesOf(e.forward(v, { mask }).embedding))
      assertClose(b, a, 1e-4, 'embedding with other values behind the mask')
      throwsTyped(() => e.forward(x, { mask: tf.ones([3, steps], 'bool') }), VqShapeError)
    }),
  ]
}
