import assert from 'node:assert/strict'
import * as tf from '@tensorflow/tfjs-core'
import { VqShapeError } from '../errors.js'
import type { Module } from '../nn/module.js'
import { assertFinite, type ContractCheck, checkOn, sample, throwsTyped } from './contract.js'
import { assertBatchIndependent, moduleContract } from './module.js'

/** What the checks need of a decoder; `BaseDecoder` of `@vq/encoders` has it. */
export interface DecoderLike extends Module {
  /** Shape of one latent, null where any size goes. */
  readonly inputShape: readonly (number | null)[]
  /** Shape of one output, null where it follows the input's. */
  readonly outputShape: readonly (number | null)[]
  forward(z: tf.Tensor): tf.Tensor
}

export interface DecoderContractOptions {
  /** A fresh decoder; each call must give one with the same weights. */
  make: () => DecoderLike
  /** Shape of one latent to test with. Default: `inputShape` with 4 for null. */
  sampleShape?: readonly number[]
  /** As in `moduleContract`. */
  gradients?: number | false
  unused?: readonly string[]
}

/** What every decoder promises: all that a module promises, and one output per latent, whatever else is in the batch. */
export function decoderContract(options: DecoderContractOptions): ContractCheck[] {
  const { make } = options
  const latents = (d: DecoderLike, batch: number): tf.Tensor =>
    sample([batch, ...(options.sampleShape ?? d.inputShape.map(n => n ?? 4))])
  const check = (name: string, test: (d: DecoderLike) => void): ContractCheck => checkOn(make, name, test)
  return [
    ...moduleContract({ ...options, run: d => d.forward(latents(d, 3)) }),

    check('gives float32 outputs of the shape that it says', d => {
      for (const batch of [3, 1]) {
        // One vector has no variance to normalise by.
        d.train(batch > 1)
        const y = d.forward(latents(d, batch))
        assert.equal(y.dtype, 'float32', 'type of the output')
        assert.deepEqual(
          [y.rank, y.shape[0]],
          [d.outputShape.length + 1, batch],
          'rank and batch of the output',
        )
        for (const [i, n] of d.outputShape.entries())
          if (n !== null) assert.equal(y.shape[i + 1], n, `axis ${i + 1} of the output`)
        assertFinite(y, 'output')
      }
    }),

    check('decodes each latent as it would alone, in evaluation', d => {
      d.eval()
      assertBatchIndependent(latents(d, 3), z => d.forward(z), 1e-4, 'output')
    }),

    check('hands a gradient back to the latents', d => {
      d.eval()
      const z = latents(d, 2)
      const weights = sample(d.forward(z).shape, 3)
      const g = tf.grad(x => tf.sum(tf.mul(d.forward(x), weights)))(z)
      assert.deepEqual(g.shape, z.shape, 'shape of the gradient')
      assertFinite(g, 'gradient')
      assert.ok(tf.any(tf.notEqual(g, 0)).dataSync()[0], 'the gradient is 0 everywhere')
    }),

    check('refuses other shapes and types with a VqShapeError', d => {
      const z = latents(d, 2)
      throwsTyped(() => d.forward(tf.expandDims(z, 0)), VqShapeError)
      throwsTyped(() => d.forward(tf.cast(z, 'int32')), VqShapeError)
      const fixed = d.inputShape.findIndex(n => n !== null)
      if (fixed < 0) return
      throwsTyped(
        () => d.forward(tf.zeros(z.shape.map((n, i) => (i === fixed + 1 ? n + 1 : n)))),
        VqShapeError,
      )
    }),
  ]
}
