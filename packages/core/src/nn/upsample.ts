import * as tf from '@tensorflow/tfjs-core'
import { expectConfig, expectNumber, expectOneOf, expectShape } from '../check.js'
import { VqConfigError } from '../errors.js'
import { type PerAxis, perAxis } from '../ops/convolution-geometry.js'
import { customGradient } from '../ops/custom-gradient.js'
import { expectTensor, optionsOf } from './given.js'
import { Layer } from './layer.js'
import { largestSize, resample, turned, type Weights } from './resample.js'

export interface UpsampleOptions {
  /** Size of the result, one number or [height, width]. Either this or scaleFactor. */
  size?: PerAxis
  /** How much larger the result is, one number or [height, width]; sizes are rounded down. */
  scaleFactor?: number | readonly [number, number]
  /** Default 'nearest'. */
  mode?: 'nearest' | 'bilinear'
}

/**
 * Resizes images, x [B, H, W, C] → [B, H′, W′, C], as PyTorch's Upsample without align_corners. With s the input's size over
 * the result's, or 1/scaleFactor where that changes the size, place i of the result is 'nearest' to ⌊i·s⌋, and 'bilinear'
 * between the two places around (i + ½)·s − ½, at least 0. Throws VqConfigError for options out of range, VqShapeError for other shapes.
 */
export class Upsample extends Layer {
  readonly mode: 'nearest' | 'bilinear'
  private readonly size: readonly number[] | undefined
  private readonly scales: readonly number[] | undefined

  constructor(options: UpsampleOptions) {
    super()
    const { size, scaleFactor, mode = 'nearest' } = optionsOf('Upsample', options)
    expectOneOf('Upsample', 'mode', mode, ['nearest', 'bilinear'])
    if ((size === undefined) === (scaleFactor === undefined))
      throw new VqConfigError({
        operation: 'Upsample',
        expected: 'either size or scaleFactor',
        received: size === undefined ? 'neither' : 'both',
        remedy: 'Pass one of them.',
      })
    this.mode = mode
    if (size !== undefined) this.size = perAxis('Upsample', 'size', size, 2, 1, largestSize)
    if (scaleFactor === undefined) return
    expectConfig(
      typeof scaleFactor === 'number' || (Array.isArray(scaleFactor) && scaleFactor.length === 2),
      'Upsample',
      'scaleFactor to be a number or [height, width]',
      scaleFactor,
      'Pass 2, for example.',
    )
    const [first, second] = typeof scaleFactor === 'number' ? [scaleFactor, scaleFactor] : scaleFactor
    this.scales = [first, second]
    for (const s of this.scales) expectNumber('Upsample', 'scaleFactor of height and width', s, 1e-6, 1e6)
  }

  forward(x: tf.Tensor): tf.Tensor4D {
    expectTensor('Upsample.forward', x, this.mode === 'nearest' ? ['float32', 'int32', 'bool'] : ['float32'])
    const [, h, w] = x.shape
    const sizes = this.size ?? [h, w].map((n, i) => Math.floor(n * (this.scales?.[i] ?? 1)))
    expectShape(
      x.rank === 4 && h > 0 && w > 0 && sizes.every(n => n > 0 && n <= largestSize),
      'Upsample.forward',
      `images [B, H, W, C] that become 1 to ${largestSize} places high and wide`,
      `a tensor [${x.shape.join(', ')}]`,
      'Pass NHWC images.',
    )
    const steps = [h, w].map((n, i) => this.step(n, sizes[i], i))
    const image = x as tf.Tensor4D
    return tf.tidy(() => {
      const places = image.shape.slice(1, 3)
      if (this.mode === 'nearest')
        return places.reduce((y, n, i) => tf.gather(y, nearest(n, sizes[i], steps[i]), i + 1), image)
      const weights = places.map((n, i) => between(n, sizes[i], steps[i]))
      if (places.some((n, i) => steps[i] !== n / sizes[i])) return resample(image, weights)
      // tfjs's kernel, but not its gradient, which knows no centres of pixels.
      return customGradient<tf.Tensor4D>(
        [image],
        () => tf.image.resizeBilinear(image, sizes as [number, number], false, true),
        dy => [resample(dy, weights.map(turned))],
      )
    })
  }

  /** s of one axis. As in PyTorch, a scale that changes nothing after rounding is none, and twice the size is exactly that. */
  private step(size: number, out: number, axis: number): number {
    const exact = this.scales === undefined || out === size || (this.mode === 'nearest' && out === 2 * size)
    return exact ? size / out : 1 / (this.scales?.[axis] ?? 1)
  }
}

function nearest(size: number, out: number, step: number): tf.Tensor1D {
  // In float32, as PyTorch computes it: in double precision whole numbers may come out on the other side.
  const places = Int32Array.from({ length: out }, (_, i) =>
    Math.min(size - 1, Math.floor(Math.fround(i * Math.fround(step)))),
  )
  return tf.tensor1d(places, 'int32')
}

// [out][size]: two weights per place, that add up to 1.
function between(size: number, out: number, step: number): Weights {
  return Array.from({ length: out }, (_, i) => {
    const at = Math.max(0, (i + 0.5) * step - 0.5)
    const low = Math.min(size - 1, Math.floor(at))
    const high = Math.min(size - 1, low + 1)
    const weights = new Float32Array(size)
    weights[low] += 1 - Math.min(1, at - low)
    weights[high] += Math.min(1, at - low)
    return weights
  })
}
