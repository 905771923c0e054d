import { VqShapeError } from '../../errors.js'
import { sizeOf } from '../data.js'
import type { Attributes, KernelTable } from '../kernel.js'
import { expectSize, onFloats, turnInto } from './windows.js'

/** Normalisation. */
export const normalization: KernelTable = {
  FusedBatchNorm: ({ x, mean, variance, scale, offset }, { varianceEpsilon }, backend) => {
    // Statistics of more axes than the last are read as if those axes were one.
    const channels = sizeOf(mean.shape)
    const odd = [variance, scale, offset].find(t => t && sizeOf(t.shape) !== channels)
    if (odd !== undefined || sizeOf(x.shape) % Math.max(1, channels) !== 0)
      throw new VqShapeError({
        operation: 'FusedBatchNorm',
        expected: `mean, variance, scale and offset of one shape that fits the last axes of [${x.shape}]`,
        received: `a mean of [${mean.shape}]${odd ? ` beside [${odd.shape}]` : ''}`,
        remedy: 'Broadcast the smaller ones first.',
      })
    const out = backend.allocate(x.shape, 'float32')
    const rows = sizeOf(x.shape) / Math.max(1, channels)
    backend.run(
      'BatchNormInfer',
      rows,
      channels,
      (varianceEpsilon as number | undefined) ?? 1e-3,
      false,
      x,
      scale,
      offset,
      mean,
      variance,
      out,
    )
    return out
  },
  LRN: ({ x }, attrs, backend) =>
    turnInto(
      backend,
      onFloats(backend, [x], ([image]) => {
        const y = backend.allocate(x.shape, 'float32')
        backend.run('LRN', ...responseArguments(x.shape, attrs), image, y)
        return y
      }),
      x.dtype,
    ),
  LRNGrad: ({ x, y, dy }, attrs, backend) => {
    expectSize('LRNGrad', 'y', y, x.shape)
    expectSize('LRNGrad', 'dy', dy, x.shape)
    return onFloats(backend, [x, y, dy], floats => {
      const dx = backend.allocate(x.shape, 'float32')
      backend.run('LRNGrad', ...responseArguments(x.shape, attrs), ...floats, dx)
      return dx
    })
  },
}

// Rows, channels, and the formula's numbers.
function responseArguments(shape: readonly number[], attrs: Attributes): number[] {
  const { depthRadius, bias, alpha, beta } = attrs as Record<string, number>
  return [sizeOf(shape.slice(0, -1)), shape[shape.length - 1], depthRadius, bias, alpha, beta]
}
