import { tf, VqAbortError } from '@vq/core'
import type { VQVAE } from '@vq/models'
import type { Dataset } from '@vq/models/data'
import { bitsPerPixel, codeCounts, perplexity, SquaredError, usage } from '@vq/models/evaluate'
import type { SemanticId } from '../semantic-ids/record.js'

const batchSize = 100

export interface HeldOutFigures {
  images: number
  /** In dB, of reconstructions cut to 0..1. */
  psnr: number
  mse: number
  bitsPerPixel: number
  /** With an ideal entropy coder. */
  bitsPerPixelEntropy: number
  perplexity: number
  /** Share of the codes in use, 0..1. */
  usage: number
  codesUsed: number
  numEmbeddings: number
  /** Codes per image, [h, w]. */
  grid: [number, number]
}

export interface Measured {
  figures: HeldOutFigures
  counts: Float64Array
}

/** Encodes and decodes a data set and measures what came back. */
export async function measure(model: VQVAE, data: Dataset, signal: AbortSignal): Promise<Measured> {
  const { numEmbeddings } = model.architecture
  const counts = new Float64Array(numEmbeddings)
  const error = new SquaredError('vq demo')
  let grid: [number, number] = [0, 0]
  for await (const { values, shape } of batches(data, signal)) {
    const { indices, images, size } = decodeBatch(model, values, shape)
    grid = size
    for (const [code, count] of codeCounts(indices, numEmbeddings).entries()) counts[code]! += count
    error.add(images, values)
  }
  const [height, width] = data.shape as [number, number]
  const bits = bitsPerPixel({ numEmbeddings, tokens: grid[0] * grid[1], pixels: height * width, counts })
  const share = usage(counts)
  return {
    counts,
    figures: {
      images: data.length,
      psnr: error.psnr,
      mse: error.mse,
      bitsPerPixel: bits.fixed,
      bitsPerPixelEntropy: bits.entropy!,
      perplexity: perplexity(counts),
      usage: share,
      codesUsed: Math.round(share * numEmbeddings),
      numEmbeddings,
      grid,
    },
  }
}

/** Images and what the model makes of them, cut to 0..1. */
export async function reconstructions(
  model: VQVAE,
  data: Dataset,
  count: number,
): Promise<{ originals: Float32Array; decoded: Float32Array; shape: number[] }> {
  const originals = await data.batch(Int32Array.from({ length: count }, (_, i) => i))
  const shape = [count, ...data.shape]
  return { originals, decoded: decodeBatch(model, originals, shape).images, shape }
}

/** The semantic IDs of a data set, one batch in memory at a time. */
export async function* semanticIds(
  model: VQVAE,
  data: Dataset,
  signal: AbortSignal,
): AsyncGenerator<SemanticId> {
  for await (const { values, shape, first } of batches(data, signal)) {
    const codes = tf.tidy(() => model.encodeToIndices(tf.tensor(values, shape)))
    const all = codes.dataSync() as Int32Array
    codes.dispose()
    const tokens = all.length / shape[0]!
    for (let i = 0; i < shape[0]!; i++) {
      const caption = data.captions?.[first + i]
      yield {
        id: data.ids?.[first + i] ?? String(first + i),
        codes: all.subarray(i * tokens, (i + 1) * tokens),
        ...(caption !== undefined && { caption }),
      }
    }
  }
}

interface SequentialBatch {
  values: Float32Array
  shape: number[]
  first: number
}

async function* batches(data: Dataset, signal: AbortSignal): AsyncGenerator<SequentialBatch> {
  for (let first = 0; first < data.length; first += batchSize) {
    // Signals are delivered between turns of the event loop.
    await new Promise(resolve => setImmediate(resolve))
    if (signal.aborted) throw new VqAbortError('vq demo', signal.reason)
    const length = Math.min(batchSize, data.length - first)
    const values = await data.batch(Int32Array.from({ length }, (_, i) => first + i))
    yield { values, shape: [length, ...data.shape], first }
  }
}

function decodeBatch(
  model: VQVAE,
  values: Float32Array,
  shape: number[],
): { indices: Int32Array; images: Float32Array; size: [number, number] } {
  const [indices, images] = tf.tidy(() => {
    const codes = model.encodeToIndices(tf.tensor(values, shape))
    return [codes, tf.clipByValue(model.decodeFromIndices(codes), 0, 1)] as const
  }) as readonly [tf.Tensor, tf.Tensor]
  const result = {
    indices: indices.dataSync() as Int32Array,
    images: images.dataSync() as Float32Array,
    size: [indices.shape[1]!, indices.shape[2]!] as [number, number],
  }
  tf.dispose([indices, images])
  return result
}
