import { sizeOf } from '../data.js'
import type { KernelTable } from '../kernel.js'

/** Layer normalisation. */
export const layerNorm: KernelTable = {
  VqLayerNorm: ({ x, gamma, beta }, { epsilon }, backend) => {
    const columns = x.shape[x.shape.length - 1]
    const rows = sizeOf(x.shape.slice(0, -1))
    const y = backend.allocate(x.shape, 'float32')
    const mean = backend.allocate([rows], 'float32')
    const inverse = backend.allocate([rows], 'float32')
    backend.run('LayerNorm', rows, columns, epsilon as number, x, gamma, beta, y, mean, inverse)
    return [y, mean, inverse]
  },
  VqLayerNormGrad: ({ x, gamma, mean, inverse, dy }, { parameters }, backend) => {
    const columns = x.shape[x.shape.length - 1]
    const rows = sizeOf(x.shape.slice(0, -1))
    const dx = backend.allocate(x.shape, 'float32')
    const sums = parameters === true ? [0, 1].map(() => backend.allocate([columns], 'float32')) : []
    backend.run('LayerNormGrad', rows, columns, x, gamma, mean, inverse, dy, dx, sums[0], sums[1])
    return [dx, ...sums]
  },
}
