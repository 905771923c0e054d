import { tf } from '@vq/core'
import type { IdTable } from '../analysis/index.js'
import type { VQPipeline } from '../pipeline/index.js'
import type { Preview } from '../report/index.js'
import { pictureOf } from './picture.js'

const shown = 16

/** Some items, evenly spread, as their codes alone decode to; undefined where a pipeline has no decoder. */
export async function reconstructed(
  pipeline: VQPipeline,
  table: IdTable,
): Promise<{ row: number; decoded: Preview }[] | undefined> {
  if (pipeline.config.objective !== 'reconstruction') return undefined
  const { levels, positions } = table
  const total = table.ids.length
  const rows = Array.from({ length: Math.min(shown, total) }, (_, i) =>
    Math.floor((i * total) / Math.min(shown, total)),
  )
  const each = positions * levels
  const places = pipeline.info.positions.length === 0 ? [] : [positions]
  const result: { row: number; decoded: Preview }[] = []
  for (const row of rows) {
    const own = table.codes.subarray(row * each, (row + 1) * each)
    const codes = tf.tensor(own, [1, ...places, levels], 'int32')
    const { embeddings, reconstructed: images, texts } = await pipeline.decodeFromSemanticIds(codes)
    if (texts?.[0] !== undefined) result.push({ row, decoded: { kind: 'text', text: texts[0] } })
    if (images !== undefined) {
      const bytes = await pictureOf(images.dataSync<'float32'>(), images.shape.slice(1))
      result.push({ row, decoded: { kind: 'image', bytes, type: 'image/png' } })
    }
    tf.dispose([codes, embeddings, ...(images === undefined ? [] : [images])])
  }
  return result
}
