import { tf } from '@vq/core'
import sharp from 'sharp'
import type { IdTable } from '../analysis/index.js'
import type { VQPipeline } from '../pipeline/index.js'
import type { Preview } from '../report/index.js'

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
    if (images !== undefined) result.push({ row, decoded: await pictureOf(images) })
    tf.dispose([codes, embeddings, ...(images === undefined ? [] : [images])])
  }
  return result
}

// The image, or the middle frame of a video.
async function pictureOf(images: tf.Tensor): Promise<Preview> {
  const shape = images.shape.slice(1)
  const [height, width, channels] = shape.slice(-3) as [number, number, 1 | 3]
  const frames = shape.length === 4 ? (shape[0] as number) : 1
  const size = height * width * channels
  const from = Math.floor(frames / 2) * size
  const raw = Uint8Array.from(images.dataSync<'float32'>().subarray(from, from + size), v =>
    Math.round(255 * Math.min(1, Math.max(0, v))),
  )
  const bytes = await sharp(raw, { raw: { width, height, channels } }).png().toBuffer()
  return { kind: 'image', bytes, type: 'image/png' }
}
