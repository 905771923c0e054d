import { createHash } from 'node:crypto'
import { expectInteger, Random, tf, VqAbortError } from '@vq/core'
import { expectOptions } from '@vq/core/nn'
import type { Dataset, Extras } from '@vq/models/data'
import { type AugmentMaskedOptions, augmentMasked } from '../data/augment.js'
import { expectModel, type SqueezeModule } from '../model/squeeze-module.js'
import { expectDataset, expectPath } from '../options.js'
import { type FeatureFile, keyOf, openFeatures } from './feature-file.js'

export interface FeatureDataOptions {
  /** Folder of the files of features. */
  folder: string
  /** Images that go through the backbone at once. Default 4. */
  batchSize?: number
  /** Versions of each image, the first as it is. Default 1. */
  copies?: number
  /** What the other versions are like. */
  augment?: Omit<AugmentMaskedOptions, 'copies' | 'keepFirst' | 'size'>
  /** Ends the computation; nothing of it stays. */
  signal?: AbortSignal
  /** Told how far it is. */
  onProgress?: (done: number, total: number) => void
}

export interface FeatureData extends FeatureFile {
  /** Features [h, w, D] with the extra `mask` of their image. */
  data: Dataset
}

/**
 * The features that the frozen backbone of `model` makes of images with masks, computed once for these weights, this preparation
 * and these images, and read from then on.
 */
export async function featureData(
  model: SqueezeModule,
  images: Dataset,
  options: FeatureDataOptions,
): Promise<FeatureData> {
  expectModel('featureData', model)
  expectDataset('featureData', images)
  expectOptions('featureData', options, "{ folder: 'outputs/cache' }")
  expectPath('featureData', options.folder)
  const { folder, batchSize = 4, copies = 1, augment = {}, signal, onProgress } = options
  const all = copies > 1 ? augmentMasked(images, { ...augment, copies, keepFirst: true }) : images
  const how = JSON.stringify({
    size: images.shape,
    normalization: model.normalization,
    // The last bits of a convolution follow the batch that it is part of, and a file has one set of sums.
    batchSize,
    ...(copies > 1 && { copies, augment }),
  })
  const [size, channels] = [images.shape[0]!, images.shape[2]!]
  const { shape, digest } = probe(model, size, channels)
  const key = keyOf([weightsDigest(model), digest, how, await imagesDigest(images)])
  const file = await openFeatures(
    { folder, key, count: all.length, shape },
    async (from, to) => {
      // Signals come between turns of the event loop.
      await new Promise(resolve => setImmediate(resolve))
      if (signal?.aborted) throw new VqAbortError('featureData', signal.reason)
      const batch = await all.batch(Int32Array.from({ length: to - from }, (_, i) => from + i))
      const features = tf.tidy(() => {
        const x = tf.tensor4d(batch, [to - from, size, size, channels])
        return model.features(x)
      })
      const values = features.dataSync<'float32'>().slice()
      features.dispose()
      onProgress?.(to, all.length)
      return values
    },
    batchSize,
  )
  const data: Dataset = {
    length: all.length,
    shape,
    batch: indices => file.features.batch(indices),
    extras: indices => all.extras?.(indices) as Promise<Extras>,
  }
  return { ...file, data }
}

/**
 * The features of an image of noise: they tell what weights do not, such as a Transformer's heads, a normalisation's epsilon and
 * the dilation of convolutions.
 */
function probe(
  model: SqueezeModule,
  size: number,
  channels: number,
): { shape: [number, number, number]; digest: string } {
  model.eval()
  const noise = new Random(0).fillUniform(new Float32Array(size * size * channels))
  const features = tf.tidy(() => model.features(tf.tensor4d(noise, [1, size, size, channels])))
  const values = features.dataSync<'float32'>()
  const digest = createHash('sha256')
    .update(new Uint8Array(values.buffer, values.byteOffset, values.byteLength))
    .digest('hex')
  features.dispose()
  return { shape: features.shape.slice(1) as [number, number, number], digest }
}

/** Of all that features come from, the head left out. */
export function weightsDigest(model: SqueezeModule): string {
  const hash = createHash('sha256')
  const head = new Set(model.backbone.headModule.namedParameters().map(p => p.variable))
  for (const [name, slot] of model.backbone.slotsToLoad()) {
    if (!('variable' in slot) || head.has(slot.variable as never)) continue
    // Statistics of the head's normalisations are no part of the features either.
    if (name.startsWith('classifier.')) continue
    const values = slot.variable.dataSync()
    hash.update(`${name} ${slot.variable.shape}`)
    hash.update(new Uint8Array(values.buffer, values.byteOffset, values.byteLength))
  }
  return hash.digest('hex')
}

async function imagesDigest(images: Dataset): Promise<string> {
  const hash = createHash('sha256')
  for (let from = 0; from < images.length; from += 16) {
    const count = Math.min(16, images.length - from)
    const batch = await images.batch(Int32Array.from({ length: count }, (_, i) => from + i))
    hash.update(new Uint8Array(batch.buffer, batch.byteOffset, batch.byteLength))
  }
  return hash.digest('hex')
}

/** At most `most` feature vectors, evenly spread over all of them: [N, D] row by row. */
export async function sampleVectors(data: Dataset, most: number): Promise<Float32Array> {
  expectDataset('sampleVectors', data)
  expectInteger('sampleVectors', 'most', most, 1)
  const [h, w, dim] = data.shape as [number, number, number]
  const places = h * w
  const perItem = Math.max(1, Math.min(places, Math.floor(most / data.length)))
  const items = Math.min(data.length, Math.max(1, Math.floor(most / perItem)))
  const out = new Float32Array(items * perItem * dim)
  for (let n = 0; n < items; n++) {
    const row = await data.batch(Int32Array.of(Math.floor((n * data.length) / items)))
    for (let k = 0; k < perItem; k++) {
      // Other places in each item, or the same few would stand for all.
      const at = (Math.floor((k * places) / perItem) + n * 7) % places
      out.set(row.subarray(at * dim, (at + 1) * dim), (n * perItem + k) * dim)
    }
  }
  return out
}
