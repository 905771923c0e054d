import type { TensorInfo } from '@tensorflow/tfjs-core'
import type { AttentionAttributes } from '../../ops/attention.js'
import type { Attributes, KernelTable } from '../kernel.js'
import type { Argument } from '../vq-cpu.js'

/** Attention in blocks, forward and backward. */
export const attention: KernelTable = {
  VqAttention: ({ q, k, v, mask }, attrs, backend) => {
    const out = backend.allocate(q.shape, 'float32')
    const lse = backend.allocate(q.shape.slice(0, 3), 'float32')
    backend.run('Attention', ...settings(q, k, mask, attrs), q, k, v, out, lse)
    return [out, lse]
  },
  VqAttentionGrad: ({ q, k, v, mask, out, lse, dout }, attrs, backend) => {
    const [dq, dk, dv] = [q, k, v].map(x => backend.allocate(x.shape, 'float32'))
    backend.run('AttentionGrad', ...settings(q, k, mask, attrs), q, k, v, out, lse, dout, dq, dk, dv)
    return [dq, dk, dv]
  },
}

function settings(q: TensorInfo, k: TensorInfo, mask: TensorInfo | undefined, attrs: Attributes): Argument[] {
  const { causal, scale, dropout, blocks } = attrs as unknown as AttentionAttributes
  const [b, h, tq, d] = q.shape
  const kind = mask === undefined ? 0 : mask.dtype === 'bool' ? 1 : 2
  const position = [...blocks.seed, ...blocks.stream, ...blocks.block]
  return [b, h, tq, k.shape[2], d, scale, causal, kind, mask?.shape ?? [], mask, dropout, ...position]
}
