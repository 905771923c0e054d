import { expectInteger, tf } from '@vq/core'
import { expectModel, type SqueezeModule } from '../model/squeeze-module.js'

/** Milliseconds that one image takes, the least of several runs: in the backbone, in the quantizer, and in the head. */
export interface Latency {
  backbone: number
  quantizer: number
  head: number
}

const runs = 5

export function latencyOf(model: SqueezeModule, imageSize: number): Latency {
  expectModel('latencyOf', model)
  expectInteger('latencyOf', 'imageSize', imageSize, 8, 4096)
  model.eval()
  const images = tf.zeros([1, imageSize, imageSize, model.backbone.inChannels])
  const features = model.features(images)
  const squeezed = tf.tidy(() => model.quantizer?.forward(features).quantized ?? tf.clone(features))
  const least = (work: () => tf.Tensor): number => {
    let best = Number.POSITIVE_INFINITY
    for (let run = 0; run <= runs; run++) {
      const started = performance.now()
      tf.tidy(() => {
        // Read back, or the time would be that of asking.
        tf.sum(work()).dataSync()
      })
      if (run > 0) best = Math.min(best, performance.now() - started)
    }
    return best
  }
  try {
    const { quantizer } = model
    return {
      backbone: least(() => model.features(images)),
      quantizer: quantizer === undefined ? 0 : least(() => quantizer.forward(features).quantized),
      head: least(() => model.backbone.classify(squeezed, [imageSize, imageSize])),
    }
  } finally {
    tf.dispose([images, features, squeezed])
  }
}
