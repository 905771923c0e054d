import { tf } from '@vq/core'
import type { Dataset, Values } from '@vq/models/data'
import { crossModalRecall, type IdTable, type ItemVectors, type RecallAt } from '../analysis/index.js'
import { embedItems } from './embed.js'
import type { PipelineParts } from './parts.js'
import type { Tower } from './tower.js'

/** How often the other half of a pair is found; a is the first modality, b the second. */
export interface PairRecall {
  /** Pairs among which it is looked for. */
  pairs: number
  embeddings: RecallAt[]
  codes: RecallAt[]
}

const block = 256

/** Recall@k of pairs of `image_text`, such as those that training has not seen, by their embeddings and by their codes. */
export async function pairRecall(parts: PipelineParts, pairs: Dataset<Values>): Promise<PairRecall> {
  const { codec } = parts
  const [image, text] = parts.towers as [Tower, Tower]
  const { length } = pairs
  const { dim } = codec
  const [a, b] = [new Float32Array(length * dim), new Float32Array(length * dim)]
  for (let first = 0; first < length; first += block) {
    const n = Math.min(block, length - first)
    const at = Int32Array.from({ length: n }, (_, i) => first + i)
    const values = (await pairs.batch(at)) as Float32Array
    const { tokens, mask } = (await pairs.extras?.(at)) ?? {}
    if (tokens === undefined || mask === undefined) throw new Error('pairs without tokens')
    const rows = {
      ids: tokens.values as Int32Array,
      mask: mask.values as Int32Array,
      length: tokens.shape[1] as number,
    }
    a.set(embedItems(parts, image, values, n).values, first * dim)
    b.set(embedItems(parts, text, rows, n).values, first * dim)
  }
  const table = (values: Float32Array): IdTable => {
    const codes = tf.tidy(() => codec.encode(tf.tensor2d(values, [length, dim])))
    const [, levels] = codes.shape as [number, number]
    const own = codes.dataSync<'int32'>().slice()
    codes.dispose()
    const ids = Array.from({ length }, (_, i) => String(i))
    return { ids, codes: own, positions: 1, levels, codebookSizes: codec.codebookSizes }
  }
  const vectors = (values: Float32Array): ItemVectors => ({ values, dim })
  return {
    pairs: length,
    embeddings: crossModalRecall(vectors(a), vectors(b)).recall,
    codes: crossModalRecall(table(a), table(b)).recall,
  }
}
