import assert from 'node:assert/strict'
import * as tf from '@tensorflow/tfjs-core'
import { VqShapeError } from '../errors.js'
import type { Module } from '../nn/module.js'
import { valueAndGradients } from '../optim/gradients.js'
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

/** What the checks need of a backbone; `SegmentationBackbone` of `@vq/segmentation` has it. */
export interface BackboneLike extends Module {
  readonly featureDim: number
  readonly numClasses: number
  extractFeatures(images: tf.Tensor, options?: { detach?: boolean }): tf.Tensor
  classify(features: tf.Tensor, size: readonly [number, number]): tf.Tensor
  forward(images: tf.Tensor): tf.Tensor
}

export interface BackboneContractOptions {
  /** A fresh backbone; each call must give one with the same weights. */
  make: () => BackboneLike
  /** [H, W, C] of the images to test with. */
  imageShape: readonly [number, number, number]
  /** As in `moduleContract`. */
  gradients?: number | false
  unused?: readonly string[]
}

/** What every segmentation backbone promises: features that can be cut out and put back, and logits as large as the image. */
export function backboneContract(options: BackboneContractOptions): ContractCheck[] {
  const { make, imageShape } = options
  const [height, width] = imageShape
  const images = (batch: number): tf.Tensor => sample([batch, ...imageShape])
  const check = (name: string, test: (b: BackboneLike) => void): ContractCheck => checkOn(make, name, test)
  return [
    ...moduleContract({ ...options, run: b => b.forward(images(2)) }),

    check('gives features [B, h, w, featureDim] and logits [B, H, W, numClasses]', b => {
      const features = b.extractFeatures(images(2))
      assert.equal(features.rank, 4, 'rank of the features')
      assert.deepEqual(
        [features.shape[0], features.shape[3]],
        [2, b.featureDim],
        'batch and channels of the features',
      )
      assertFinite(features, 'features')
      const logits = b.forward(images(2))
      assert.deepEqual(logits.shape, [2, height, width, b.numClasses], 'shape of the logits')
      assertFinite(logits, 'logits')
    }),

    check('classifies its features to what forward gives, in evaluation', b => {
      b.eval()
      const x = images(2)
      const through = b.classify(b.extractFeatures(x, { detach: false }), [height, width])
      assertClose(valuesOf(through), valuesOf(b.forward(x)), 1e-6, 'logits')
    }),

    check('segments each image as it would alone, in evaluation', b => {
      b.eval()
      assertBatchIndependent(images(3), x => b.forward(x), 1e-4, 'logits')
    }),

    check('hands gradients through its features only where they are not detached', b => {
      b.eval()
      const x = tf.variable(images(1))
      const flows = (detach: boolean): boolean => {
        const loss = (): tf.Scalar =>
          tf.add(tf.sum(tf.square(b.extractFeatures(x, { detach }))), tf.mul(tf.sum(x), 0)) as tf.Scalar
        const { value, gradients } = valueAndGradients(loss, [x])
        const some = valuesOf(gradients[0] as tf.Tensor).some(v => v !== 0)
        tf.dispose([value, ...gradients.filter(g => g !== null)])
        return some
      }
      try {
        assert.deepEqual([flows(false), flows(true)], [true, false], 'gradients without and with detach')
      } finally {
        x.dispose()
      }
    }),

    check('refuses other images with a VqShapeError', b => {
      throwsTyped(() => b.forward(tf.zeros([...imageShape])), VqShapeError)
      throwsTyped(() => b.forward(tf.zeros([1, height, width, imageShape[2] + 1])), VqShapeError)
      throwsTyped(() => b.forward(tf.zeros([1, ...imageShape], 'int32')), VqShapeError)
    }),
  ]
}
