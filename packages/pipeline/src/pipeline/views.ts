// Two random looks at the same items, for the contrastive objective.
import { random, tf } from '@vq/core'
import type { Modality, TrainingValues } from '../config/values.js'
import type { Batch } from './tower.js'

/**
 * Two views of a batch. Images and videos: a random part of the area, mirrored at times, with other brightness, contrast and at
 * times without colours (Chen et al. 2020, https://arxiv.org/abs/2002.05709, appendix A); all frames of a video alike. Text: its
 * tokens dealt out to the two views. Vectors: with noise. Everything is drawn from the global generator.
 */
export function twoViews(batch: Batch, modality: Modality, options: TrainingValues): [Batch, Batch] {
  if (modality === 'text') return textViews(batch, options.keepTokens)
  const view = (): Batch => {
    if (modality === 'vector') return { x: noisy(batch.x, options.noise) }
    if (modality === 'image') return { x: imageView(batch.x as tf.Tensor4D, options) }
    return { x: videoView(batch.x as tf.Tensor5D, options) }
  }
  return [view(), view()]
}

function noisy(x: tf.Tensor, noise: number): tf.Tensor {
  const draws = tf.tensor(random.fillNormal(new Float32Array(x.size)), x.shape)
  const spread = tf.sqrt(tf.mean(tf.moments(x, 0).variance))
  return tf.add(x, tf.mul(draws, tf.mul(spread, noise)))
}

// Each token is in one of the views, or where there are too few of them in both.
function textViews({ x, mask }: Batch, keep: number): [Batch, Batch] {
  const known = (mask as tf.Tensor).dataSync() as Int32Array
  const [rows, length] = x.shape as [number, number]
  const [first, second] = [new Int32Array(known.length), new Int32Array(known.length)]
  for (let row = 0; row < rows; row++) {
    const counts = [0, 0]
    for (let i = row * length; i < (row + 1) * length; i++) {
      if (known[i] === 0) continue
      const view = random.uniform() < keep ? 0 : 1
      counts[view]!++
      if (view === 0) first[i] = 1
      else second[i] = 1
    }
    for (const [view, part] of [first, second].entries())
      if (counts[view] === 0) part.set(known.subarray(row * length, (row + 1) * length), row * length)
  }
  const part = (flags: Int32Array): Batch => ({ x, mask: tf.tensor(flags, [rows, length], 'int32') })
  return [part(first), part(second)]
}

function imageView(x: tf.Tensor4D, options: TrainingValues, frames = 1): tf.Tensor4D {
  const [b, height, width, channels] = x.shape
  const items = b / frames
  const boxes = new Float32Array(b * 4)
  const colours = new Float32Array(b * 3)
  for (let i = 0; i < items; i++) {
    const box = randomBox(options, height, width)
    const colour = [
      1 + options.colorJitter * (2 * random.uniform() - 1) * 0.8,
      1 + options.colorJitter * (2 * random.uniform() - 1) * 0.8,
      random.uniform() < options.grayscale ? 1 : 0,
    ]
    for (let f = 0; f < frames; f++) {
      boxes.set(box, (i * frames + f) * 4)
      colours.set(colour, (i * frames + f) * 3)
    }
  }
  const order = tf.range(0, b, 1, 'int32') as tf.Tensor1D
  const cropped = tf.image.cropAndResize(x, tf.tensor2d(boxes, [b, 4]), order, [height, width], 'bilinear')
  const each = (at: number): tf.Tensor =>
    tf.tensor(
      Float32Array.from({ length: b }, (_, i) => colours[3 * i + at] as number),
      [b, 1, 1, 1],
    )
  const mean = tf.mean(cropped, [1, 2, 3], true)
  const contrasted = tf.add(tf.mul(tf.sub(cropped, mean), each(1)), mean)
  const bright = tf.clipByValue(tf.mul(contrasted, each(0)), 0, 1)
  if (channels !== 3) return bright as tf.Tensor4D
  const gray = tf.sum(tf.mul(bright, tf.tensor1d([0.299, 0.587, 0.114])), -1, true)
  return tf.add(bright, tf.mul(tf.sub(gray, bright), each(2))) as tf.Tensor4D
}

function videoView(x: tf.Tensor5D, options: TrainingValues): tf.Tensor5D {
  const [b, t, height, width, channels] = x.shape
  const flat = tf.reshape(x, [b * t, height, width, channels]) as tf.Tensor4D
  return tf.reshape(imageView(flat, options, t), x.shape) as tf.Tensor5D
}

// [y1, x1, y2, x2] in shares of the image; mirrored where x2 lies before x1.
function randomBox(
  { cropScale: [least, most], flip }: TrainingValues,
  height: number,
  width: number,
): number[] {
  const area = least + (most - least) * random.uniform()
  const ratio = Math.exp((2 * random.uniform() - 1) * Math.log(4 / 3))
  const h = Math.min(1, Math.sqrt(area / ratio))
  const w = Math.min(1, Math.sqrt(area * ratio))
  const y = (1 - h) * random.uniform()
  const x = (1 - w) * random.uniform()
  // The outermost pixels are at 0 and 1.
  const [top, bottom] = [y, y + h - (height > 1 ? (1 - h) / height : 0)]
  const [left, right] = [x, x + w - (width > 1 ? (1 - w) / width : 0)]
  return flip && random.uniform() < 0.5 ? [top, right, bottom, left] : [top, left, bottom, right]
}
