import { badId } from '../../ops/embedding.js'
import { sizeOf } from '../data.js'
import type { KernelTable } from '../kernel.js'

/** Rows of a table, and the gradient that goes back into them. */
export const embedding: KernelTable = {
  VqEmbedding: ({ ids, table }, _, backend) => {
    const [rows, dim] = table.shape
    const out = backend.allocate([...ids.shape, dim], 'float32')
    backend.run('Embedding', sizeOf(ids.shape), rows, dim, ids, table, out)
    const bad = backend.core.args[0]
    if (bad >= 0) throw badId(backend.integers(ids)[bad], bad, rows)
    return out
  },
  VqEmbeddingGrad: ({ ids, dy }, { rows }, backend) => {
    const dim = dy.shape[dy.shape.length - 1]
    const out = backend.allocate([rows as number, dim], 'float32')
    backend.run('EmbeddingGrad', sizeOf(ids.shape), rows as number, dim, ids, dy, out)
    return out
  },
}
