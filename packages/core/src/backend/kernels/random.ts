import { distributions, type RandomAttributes } from '../../ops/random.js'
import type { RandomBlocks } from '../../random.js'
import { sizeOf } from '../data.js'
import type { KernelTable } from '../kernel.js'

const position = ({ seed, stream, block }: RandomBlocks): number[] => [...seed, ...stream, ...block]

/** Tensors of random numbers, and dropout. */
export const randomKernels: KernelTable = {
  VqRandom: (_, attrs, backend) => {
    const { shape, distribution, a, b, blocks } = attrs as unknown as RandomAttributes
    const out = backend.allocate(shape, 'float32')
    backend.run(
      'RandomFill',
      distributions.indexOf(distribution),
      sizeOf(shape),
      a,
      b,
      ...position(blocks),
      out,
    )
    return out
  },
  VqDropout: ({ x }, { rate, blocks }, backend) => {
    const y = backend.allocate(x.shape, 'float32')
    backend.run('Dropout', sizeOf(x.shape), rate as number, ...position(blocks as RandomBlocks), x, y)
    return y
  },
}
