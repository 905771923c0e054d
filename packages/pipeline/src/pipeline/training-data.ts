import { expectConfig } from '@vq/core'
import { type Dataset, type Extras, splitDataset, subset, type Values } from '@vq/models/data'
import type { PipelineValues } from '../config/values.js'
import type { Source } from '../sources/index.js'
import { type TokenRows, tokenRows } from './tokens.js'
import type { Tower } from './tower.js'

/** What the Trainer goes through: images, videos, vectors or tokens; of pairs the texts' tokens beside the images. */
export async function trainingData(towers: readonly Tower[], source: Source): Promise<Dataset<Values>> {
  const [first, second] = towers as [Tower, Tower | undefined]
  if (first.modality === 'text') return tokenDataset(tokensOf(first, await textsOf(source)))
  const data = source.dataset() as Dataset<Values>
  if (second === undefined) return data
  const { captions = [] } = source
  expectConfig(
    captions.length === source.length && captions.every(c => typeof c === 'string'),
    'VQPipeline.fit',
    'images with a caption each',
    captions,
    "Put a .txt file of the same name beside each (captions: 'txt'), or pass a CSV file of file and caption.",
  )
  const rows = tokensOf(second, captions)
  return { ...forwarded(data), extras: (at): Extras => pairExtras(rows, at) }
}

function forwarded(data: Dataset<Values>): Dataset<Values> {
  return {
    length: data.length,
    shape: data.shape,
    batch: at => data.batch(at),
    ...(data.ids && { ids: data.ids }),
    ...(data.labels && { labels: data.labels }),
  }
}

function pairExtras(rows: TokenRows, at: Int32Array): Extras {
  const field = (values: Int32Array): Extras[string] => ({
    values: picked(values, rows.length, at),
    shape: [at.length, rows.length],
  })
  return { tokens: field(rows.ids), mask: field(rows.mask) }
}

function tokensOf(tower: Tower, texts: readonly string[]): TokenRows {
  if (tower.tokenizer === undefined) throw new Error('tokens before the tokenizer')
  return tokenRows(tower.tokenizer, texts, tower.shape[0] as number)
}

function tokenDataset(rows: TokenRows): Dataset<Values> {
  const { ids, mask, length } = rows
  return {
    length: ids.length / length,
    shape: [length],
    dtype: 'int32',
    batch: at => picked(ids, length, at),
    extras: at => ({ mask: { values: picked(mask, length, at), shape: [at.length, length] } }),
  }
}

function picked(values: Int32Array, size: number, at: Int32Array): Int32Array {
  const out = new Int32Array(at.length * size)
  for (const [row, i] of at.entries()) out.set(values.subarray(i * size, (i + 1) * size), row * size)
  return out
}

/** All texts of a source, for the tokenizer; of pairs the captions. */
export async function textsOf(source: Source): Promise<string[]> {
  if (source.modality !== 'text') return [...(source.captions ?? [])]
  const texts: string[] = []
  const block = 4096
  for (let first = 0; first < source.length; first += block) {
    const length = Math.min(block, source.length - first)
    const { values } = await source.read(Int32Array.from({ length }, (_, i) => first + i))
    for (const text of values as string[]) texts.push(text)
  }
  return texts
}

/** Two parts of the items: those to learn from and those to measure on; all for both where they are too few. */
export function heldOutOf(
  data: Dataset<Values>,
  { training }: PipelineValues,
): { train: Dataset<Values>; heldOut: Dataset<Values> | undefined } {
  if (training.heldOut === 0 || data.length < 20) return { train: data, heldOut: undefined }
  const { train, heldOut } = splitDataset(data, { heldOut: training.heldOut, seed: training.seed })
  // Measuring must not take longer than learning.
  const most = Math.min(heldOut.length, 2000)
  return {
    train,
    heldOut:
      most < heldOut.length
        ? subset(
            heldOut,
            Int32Array.from({ length: most }, (_, i) => i),
          )
        : heldOut,
  }
}
