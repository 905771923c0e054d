import type { RatePoint } from '@vq/models/evaluate'
import type { MetricsLine, TrainingPoint } from '@vq/models/plot'
import type { CrossModalRecall, IdAnalysis, IdTable } from '../analysis/index.js'

/**
 * What an item looks like: the bytes of a picture that sharp reads (JPEG, PNG, WebP, GIF, TIFF, SVG, AVIF; what it is they
 * say themselves, `type` is for those who pass it on), or a text.
 */
export type Preview =
  | { kind: 'image'; bytes: Uint8Array; type?: string; caption?: string }
  | { kind: 'text'; text: string }

export interface ReportInput {
  title: string
  /** A sentence under the title. */
  subtitle?: string
  /** What was analysed, line by line, such as { name: 'model', value: 'runs/photos' }. */
  about?: readonly { name: string; value: string | number }[]
  table: IdTable
  /** Of this table. */
  analysis: IdAnalysis
  /** [N], as they were passed to `analyzeIds`. */
  labels?: ArrayLike<string | number>
  /** Items that could not be encoded. */
  skipped?: { count: number; examples?: readonly { id: string; reason: string }[] }
  /** Asked for the items that are shown, at most `sample` and those of the neighbours and collisions. */
  preview?: (row: number, id: string) => Preview | undefined | Promise<Preview | undefined>
  /** Most items in the explorer. Default 4,000, fewer where an item has very many codes. */
  sample?: number
  /** Codebooks [K, dim], one for each level, for their projection. */
  codebooks?: { values: readonly Float32Array[]; dim: number }
  /** History of training, as in metrics.jsonl. */
  metrics?: readonly (MetricsLine | TrainingPoint)[]
  /** Size against error by levels, as of `residualRatePoints`. */
  rates?: { points: readonly (RatePoint & { name?: string })[]; bits?: string; error?: string }
  /** Recall between two modalities, one entry for each kind of comparison. */
  recall?: readonly { name: string; from: string; to: string; result: CrossModalRecall }[]
  /** Decoded from codes alone, beside the items' own previews. */
  reconstructions?: readonly { row: number; decoded: Preview }[]
  /** Rows and columns of the positions where they are patches of an image: previews must show what the encoder saw. */
  grid?: readonly [number, number]
  /** Of samples. Default 0. */
  seed?: number
}

export interface ReportSummary {
  /** Of the file. */
  bytes: number
  /** Items in the explorer. */
  items: number
  /** Different pictures in the file. */
  pictures: number
  /** Pictures left out, because they could not be read or because the file would have become too large. */
  unreadable: number
  leftOut: number
}
