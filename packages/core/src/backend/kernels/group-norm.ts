import type { TensorInfo } from '@tensorflow/tfjs-core'
import { sizeOf } from '../data.js'
import type { KernelTable } from '../kernel.js'

function sizes(x: TensorInfo, groups: unknown): number[] {
  return [x.shape[0], sizeOf(x.shape.slice(1, -1)), x.shape[x.shape.length - 1], groups as number]
}

/** Group normalisation. */
export const groupNorm: KernelTable = {
  VqGroupNorm: ({ x, gamma, beta }, { groups, epsilon }, backend) => {
    const perChannel = [x.shape[0], x.shape[x.shape.length - 1]]
    const y = backend.allocate(x.shape, 'float32')
    const mean = backend.allocate(perChannel, 'float32')
    const inverse = backend.allocate(perChannel, 'float32')
    backend.run('GroupNorm', ...sizes(x, groups), epsilon as number, x, gamma, beta, y, mean, inverse)
    return [y, mean, inverse]
  },
  VqGroupNormGrad: ({ x, gamma, mean, inverse, dy }, { groups }, backend) => {
    const channels = [x.shape[x.shape.length - 1]]
    const dx = backend.allocate(x.shape, 'float32')
    const dgamma = backend.allocate(channels, 'float32')
    const dbeta = backend.allocate(channels, 'float32')
    backend.run('GroupNormGrad', ...sizes(x, groups), x, gamma, mean, inverse, dy, dx, dgamma, dbeta)
    return [dx, dgamma, dbeta]
  },
}
