import { sizeOf } from '../data.js'
import type { KernelTable } from '../kernel.js'

/** Normalisation. */
export const normalization: KernelTable = {
  FusedBatchNorm: ({ x, mean, variance, scale, offset }, { varianceEpsilon }, backend) => {
    const channels = x.shape[x.shape.length - 1]
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
