import type { TensorInfo } from '@tensorflow/tfjs-core'
import { type Estimator, estimators } from '../../quantize/estimator-gradient.js'
import { sizeOf } from '../data.js'
import type { KernelTable } from '../kernel.js'

const rowsOf = (x: TensorInfo, dim: number): number => sizeOf(x.shape) / dim

/** Quantization on tensor handles; the ops check shapes before. */
export const quantize: KernelTable = {
  VqNearestCode: ({ z, codebook }, { metric }, backend) => {
    const [k, dim] = codebook.shape
    const indices = backend.allocate(z.shape.slice(0, -1), 'int32')
    backend.run('VqNearestCode', rowsOf(z, dim), k, dim, metric as number, z, codebook, indices)
    return indices
  },
  VqNearestImplicitCode: ({ z, shift, start, up, down }, _attrs, backend) => {
    const [blocks, dim, hidden] = up.shape
    const [n, k] = [z.shape[0], start.shape[0]]
    const indices = backend.allocate([n], 'int32')
    backend.run('VqNearestImplicitCode', n, k, dim, hidden, blocks, z, shift, start, up, down, indices)
    return indices
  },
  VqOrderedLinear: ({ x, weight, bias }, _attrs, backend) => {
    const [inputs, outputs] = weight.shape
    const lead = x.shape.slice(0, -1)
    const y = backend.allocate([...lead, outputs], 'float32')
    backend.run('VqOrderedLinear', sizeOf(lead), inputs, outputs, x, weight, bias, y)
    return y
  },
  // New tensors rather than the old ones changed: a clone of a variable shares its data.
  VqEmaUpdate: ({ vectors, indices, codebook, counts, sums }, { decay, epsilon }, backend) => {
    const [k, dim] = codebook.shape
    const next = [codebook, counts, sums].map(t => backend.allocate(t.shape, 'float32'))
    const sizes = [rowsOf(vectors, dim), k, dim, decay as number, epsilon as number]
    backend.run('VqEmaUpdate', ...sizes, vectors, indices, codebook, counts, sums, ...next)
    return next
  },
  VqEstimatorGradient: ({ z, q, g }, { estimator }, backend) => {
    const out = backend.allocate(z.shape, 'float32')
    const dim = z.shape[z.shape.length - 1]
    const number = estimators.indexOf(estimator as Estimator)
    backend.run('VqEstimatorGradient', number, rowsOf(z, dim), dim, z, q, g, out)
    return out
  },
}
