import type { RandomBlocks } from '../../random.js'
import { sizeOf } from '../data.js'
import type { KernelTable } from '../kernel.js'

/** The number of bits' tables: 2^group for each whole group, and what is left. */
function tableSize(bits: number, group: number): number {
  const whole = Math.floor(bits / group)
  return whole * 2 ** group + (bits % group === 0 ? 0 : 2 ** (bits % group))
}

/** Finite scalar, lookup-free and Gumbel quantization; the ops check shapes before. */
export const codes: KernelTable = {
  VqFsqEncode: ({ z }, { levels, bound }, backend) => {
    const dim = (levels as number[]).length
    const lead = z.shape.slice(0, -1)
    const quantized = backend.allocate(z.shape, 'float32')
    const indices = backend.allocate(lead, 'int32')
    const settings = [sizeOf(lead), dim, bound as number, ...(levels as number[])]
    backend.run('FsqEncode', ...settings, z, quantized, indices)
    return [quantized, indices]
  },
  VqFsqBound: ({ z }, { levels, bound }, backend) => {
    const dim = (levels as number[]).length
    const bounded = backend.allocate(z.shape, 'float32')
    const settings = [sizeOf(z.shape) / dim, dim, bound as number, ...(levels as number[])]
    backend.run('FsqBound', ...settings, z, bounded)
    return bounded
  },
  VqFsqGrad: ({ z, dy }, { levels, bound }, backend) => {
    const dim = (levels as number[]).length
    const dz = backend.allocate(z.shape, 'float32')
    const settings = [sizeOf(z.shape) / dim, dim, bound as number, ...(levels as number[])]
    backend.run('FsqGrad', ...settings, z, dy, dz)
    return dz
  },
  VqFsqDecode: ({ indices }, { levels, bound }, backend) => {
    const dim = (levels as number[]).length
    const values = backend.allocate([...indices.shape, dim], 'float32')
    const settings = [sizeOf(indices.shape), dim, bound as number, ...(levels as number[])]
    backend.run('FsqDecode', ...settings, indices, values)
    return values
  },
  VqLfqEncode: ({ z }, { scale }, backend) => {
    const bits = z.shape[z.shape.length - 1]
    const lead = z.shape.slice(0, -1)
    const quantized = backend.allocate(z.shape, 'float32')
    const indices = backend.allocate(lead, 'int32')
    backend.run('LfqEncode', sizeOf(lead), bits, scale as number, z, quantized, indices)
    return [quantized, indices]
  },
  VqLfqDecode: ({ indices }, { bits, scale }, backend) => {
    const values = backend.allocate([...indices.shape, bits as number], 'float32')
    backend.run('LfqDecode', sizeOf(indices.shape), bits as number, scale as number, indices, values)
    return values
  },
  VqLfqEntropy: ({ z }, { group, kappa }, backend) => {
    const [n, bits] = z.shape
    const found = [backend.allocate([], 'float32'), backend.allocate([], 'float32')]
    const table = backend.allocate([tableSize(bits, group as number)], 'float32')
    backend.run('LfqEntropy', n, bits, group as number, kappa as number, z, ...found, table)
    return [...found, table]
  },
  VqLfqEntropyGrad: ({ z, byEntropy, byDiversity, table }, { group, kappa }, backend) => {
    const [n, bits] = z.shape
    const dz = backend.allocate(z.shape, 'float32')
    const sizes = [n, bits, group as number, kappa as number]
    backend.run('LfqEntropyGrad', ...sizes, z, byEntropy, byDiversity, table, dz)
    return dz
  },
  VqGumbelSoftmax: ({ logits }, { temperature, blocks }, backend) => {
    const [n, k] = logits.shape
    const { seed, stream, block } = blocks as RandomBlocks
    const y = backend.allocate([n, k], 'float32')
    const indices = backend.allocate([n], 'int32')
    const divergence = backend.allocate([], 'float32')
    const rows = [backend.allocate([n], 'float32'), backend.allocate([n], 'float32')]
    const settings = [n, k, temperature as number, ...seed, ...stream, ...block]
    backend.run('GumbelSoftmax', ...settings, logits, y, indices, divergence, ...rows)
    return [y, indices, divergence, ...rows]
  },
  VqGumbelSoftmaxGrad: ({ logits, y, logSum, negentropy, dy, dkl }, { temperature }, backend) => {
    const [n, k] = logits.shape
    const dlogits = backend.allocate([n, k], 'float32')
    const inputs = [logits, y, logSum, negentropy, dy, dkl]
    backend.run('GumbelSoftmaxGrad', n, k, temperature as number, ...inputs, dlogits)
    return dlogits
  },
}
