import { describe, expectShape, noGrad, tf, VqValueError } from '@vq/core'

/** Throws VqShapeError unless x is float32 [B, H, W, channels], B at least 1, with height and width that `stride` divides. */
export function expectImages(operation: string, x: tf.Tensor, channels: number, stride: number): void {
  const [count, h, w, c] = shapeOf(x)
  expectShape(
    isImages(x) && count > 0 && c === channels && h > 0 && w > 0 && h % stride === 0 && w % stride === 0,
    operation,
    `float32 images [B, H, W, ${channels}] with H and W divisible by ${stride}`,
    textOf(x),
    count === 0 ? 'Pass at least one image.' : `Resize, crop or pad the images to multiples of ${stride}.`,
  )
}

/** Throws VqShapeError unless x is float32 [B, ...size], B at least 1. */
export function expectImagesOf(operation: string, x: tf.Tensor, size: readonly number[]): void {
  const [count, ...each] = shapeOf(x)
  expectShape(
    isImages(x) && count > 0 && tf.util.arraysEqual(each, [...size]),
    operation,
    `float32 images [B, ${size.join(', ')}]`,
    textOf(x),
    'Resize or crop the images, or make a model of their size (inputSize, inChannels).',
  )
}

/** Throws VqValueError naming the first image with NaN or infinity, or, where a range is given, with a value outside of it. */
export function expectUsableValues(
  operation: string,
  x: tf.Tensor,
  [low, high]: readonly [number, number] = [-Number.MAX_VALUE, Number.MAX_VALUE],
): void {
  const bounded = high < Number.MAX_VALUE
  const seen = noGrad(() =>
    tf.tidy(() => {
      const sum = tf.sum(x).dataSync()[0] // any NaN or infinity survives it
      return bounded ? [sum, tf.min(x).dataSync()[0], tf.max(x).dataSync()[0]] : [sum, 0, 0]
    }),
  )
  if (Number.isFinite(seen[0]) && (!bounded || (seen[1] >= low && seen[2] <= high))) return
  const values = x.dataSync()
  const bad = values.findIndex(v => !(v >= low && v <= high))
  if (bad < 0) return
  throw new VqValueError({
    operation,
    expected: bounded ? `images with values from ${low} to ${high}` : 'images with finite values',
    received: `${values[bad]} in image ${Math.floor((bad * x.shape[0]) / x.size)}`,
    remedy: bounded ? 'Scale the images to that range.' : 'Look for such values in the data.',
  })
}

function isImages(x: tf.Tensor): boolean {
  return x instanceof tf.Tensor && x.rank === 4 && x.dtype === 'float32'
}

function shapeOf(x: tf.Tensor): number[] {
  return x instanceof tf.Tensor ? x.shape : []
}

/** What x is, for messages: anything. */
export function textOf(x: unknown): string {
  return x instanceof tf.Tensor ? `a tensor [${x.shape.join(', ')}] of ${x.dtype}` : describe(x)
}
