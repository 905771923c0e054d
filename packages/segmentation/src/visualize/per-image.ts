import { tf, VqAbortError } from '@vq/core'
import { DataLoader, type Dataset } from '@vq/models/data'
import { Confusion } from '../measure/scores.js'
import type { SqueezeModule } from '../model/squeeze-module.js'

export interface ImageResult {
  /** Its number in the data. */
  index: number
  id: string
  /** Mean IoU over the classes that the image's truth or the prediction has. */
  baseline: number
  squeezed: number
}

export interface Compared {
  images: ImageResult[]
  /** Over all pixels of all images, class by class. */
  baseline: Confusion
  squeezed: Confusion
}

/** What two networks make of every image of data with masks; an image in which nothing counts is left out of `images`. */
export async function compareOnImages(
  models: { baseline: SqueezeModule; squeezed: SqueezeModule },
  data: Dataset,
  { classes, batchSize, signal }: { classes: number; batchSize: number; signal?: AbortSignal },
): Promise<Compared> {
  const all = { baseline: new Confusion(classes), squeezed: new Confusion(classes) }
  const images: ImageResult[] = []
  for await (const { values, shape, extras, indices } of new DataLoader(data, {
    batchSize,
    shuffle: false,
  })) {
    if (signal?.aborted) throw new VqAbortError('compareOnImages', signal.reason)
    const truth = extras!.mask!.values
    const pixels = truth.length / indices.length
    const predicted = {
      baseline: predictions(models.baseline, values, shape),
      squeezed: predictions(models.squeezed, values, shape),
    }
    for (const [n, index] of indices.entries()) {
      const part = (all: ArrayLike<number> & { subarray(a: number, b: number): ArrayLike<number> }) =>
        all.subarray(n * pixels, (n + 1) * pixels)
      const iou = (['baseline', 'squeezed'] as const).map(name => {
        all[name].add(part(truth), part(predicted[name]))
        return new Confusion(classes).add(part(truth), part(predicted[name])).scores.meanIou
      })
      if (iou.some(Number.isNaN)) continue
      images.push({ index, id: data.ids?.[index] ?? String(index), baseline: iou[0]!, squeezed: iou[1]! })
    }
  }
  return { images, ...all }
}

/** The class of every pixel of images [N, H, W, 3]. */
export function predictions(
  model: SqueezeModule,
  values: ArrayLike<number>,
  shape: readonly number[],
): Int32Array {
  const classes = tf.tidy(() => model.predict(tf.tensor(values as Float32Array, [...shape])))
  const found = classes.dataSync<'int32'>().slice()
  classes.dispose()
  return found
}
