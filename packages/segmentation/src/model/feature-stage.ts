import { expectConfig, tf } from '@vq/core'
import { Module } from '@vq/core/nn'
import { startQuantizer } from '../quantizers/start.js'
import { expectModel, type SegmentationResults, type SqueezeModule } from './squeeze-module.js'

/**
 * What learns behind a frozen backbone, the head and the quantizer, as a model of features [B, h, w, D] that were computed before.
 * Its checkpoints hold these two alone.
 */
export class FeatureStage extends Module {
  private readonly whole: SqueezeModule
  private readonly vectors: Float32Array

  /** vectors: features [N, D] row by row, from which the quantizer starts. */
  constructor(whole: SqueezeModule, vectors: Float32Array) {
    super()
    expectModel('FeatureStage', whole)
    const { featureDim } = whole.backbone
    expectConfig(
      vectors instanceof Float32Array && vectors.length % featureDim === 0,
      'FeatureStage',
      `vectors of ${featureDim} numbers each, a Float32Array`,
      vectors instanceof Float32Array ? `${vectors.length} numbers` : vectors,
      'Pass what sampleVectors gives.',
    )
    this.whole = whole
    this.vectors = vectors
    this.addModule('classifier', whole.backbone.headModule)
    if (whole.quantizer !== undefined) this.addModule('quantizer', whole.quantizer)
  }

  async prepare(): Promise<void> {
    const { quantizer, backbone } = this.whole
    if (quantizer === undefined) return
    const rows = tf.tensor2d(this.vectors, [this.vectors.length / backbone.featureDim, backbone.featureDim])
    try {
      await startQuantizer(quantizer, rows)
    } finally {
      rows.dispose()
    }
  }

  forward(features: tf.Tensor, extras: Record<string, tf.Tensor> = {}): SegmentationResults {
    return this.whole.fromFeatures(features, extras)
  }
}
