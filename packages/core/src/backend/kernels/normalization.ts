import { VqShapeError } from '../../errors.js'
import { sizeOf } from '../data.js'
import type { KernelTable } from '../kernel.js'

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
}
