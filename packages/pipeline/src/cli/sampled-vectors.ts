import { Random, tf } from '@vq/core'
import type { RatePoint } from '@vq/models/evaluate'
import type { IdTable, ItemVectors } from '../analysis/index.js'
import { joined } from '../joined.js'
import type { VQPipeline } from '../pipeline/index.js'
import type { Source } from '../sources/index.js'
import { someOf } from '../sources/some-of.js'

const mostRows = 10_000

/** Embeddings of some items and what their codes decode to, of those that are still in the data; per item only. */
export async function sampledVectors(
  pipeline: VQPipeline,
  source: Source,
  places: ReadonlyMap<string, number>,
  table: IdTable,
  sample: number,
  signal: AbortSignal,
): Promise<{ embeddings: ItemVectors; decoded: ItemVectors } | undefined> {
  if (table.positions !== 1 || pipeline.info.positions.length > 0) return undefined
  const there = Array.from(table.ids.keys()).filter(row => places.has(table.ids[row] as string))
  const wanted = Math.min(there.length, Math.max(sample, mostRows))
  const order = new Random(0).permutation(there.length).subarray(0, wanted).sort()
  const rows = Array.from(order, i => there[i] as number)
  if (rows.length < 2) return undefined
  const { dim } = pipeline
  const values: Float32Array[] = []
  const kept: number[] = []
  const some = someOf(
    source,
    rows.map(row => places.get(table.ids[row] as string) as number),
  )
  for await (const block of pipeline.embedSource(some, { signal })) {
    values.push(block.values)
    for (const index of block.indices) kept.push(rows[index] as number)
  }
  const embeddings = joined(values, Float32Array)
  const { levels } = table
  const codes = new Int32Array(kept.length * levels)
  for (const [i, row] of kept.entries())
    codes.set(table.codes.subarray(row * levels, (row + 1) * levels), i * levels)
  const decoded = await decodedVectors(pipeline, codes, levels)
  return {
    embeddings: { values: embeddings, dim, rows: kept },
    decoded: { values: decoded, dim, rows: kept },
  }
}

/** The error that is left behind each level of methods whose levels add up: mean squared, per number. */
export async function ratesOf(
  pipeline: VQPipeline,
  { embeddings }: { embeddings: ItemVectors },
  table: IdTable,
): Promise<{ points: (RatePoint & { name: string })[]; bits: string; error: string } | undefined> {
  const { levels, codebookSizes } = table
  if (levels < 2 || !['rq_vae', 'rvq', 'rq_kmeans'].includes(pipeline.config.values.vqMethod))
    return undefined
  const rows = Array.from(embeddings.rows ?? [])
  const points: (RatePoint & { name: string })[] = []
  for (let kept = 1; kept <= levels; kept++) {
    const codes = new Int32Array(rows.length * kept)
    for (const [i, row] of rows.entries())
      codes.set(table.codes.subarray(row * levels, row * levels + kept), i * kept)
    const decoded = await decodedVectors(pipeline, codes, kept)
    const error =
      decoded.reduce((sum, v, i) => sum + (v - (embeddings.values[i] as number)) ** 2, 0) / decoded.length
    const bits = codebookSizes.slice(0, kept).reduce((sum, k) => sum + Math.log2(k), 0)
    points.push({ bits, error, name: kept === 1 ? '1 level' : `${kept} levels` })
  }
  return { points, bits: 'bits of an item', error: 'mean squared error of embeddings' }
}

/** What codes [N, L] stand for, [N, D]. */
export async function decodedVectors(
  pipeline: VQPipeline,
  codes: Int32Array,
  levels: number,
): Promise<Float32Array> {
  const count = codes.length / levels
  const out = new Float32Array(count * pipeline.dim)
  const step = 2048
  for (let first = 0; first < count; first += step) {
    const n = Math.min(step, count - first)
    const part = tf.tensor2d(codes.subarray(first * levels, (first + n) * levels), [n, levels], 'int32')
    const { embeddings } = await pipeline.decodeFromSemanticIds(part, { vectorsOnly: true })
    out.set(embeddings.dataSync<'float32'>(), first * pipeline.dim)
    tf.dispose([part, embeddings])
  }
  return out
}
