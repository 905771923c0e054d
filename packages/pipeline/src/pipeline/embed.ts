import { noGrad, tf, VqAbortError } from '@vq/core'
import type { FailedItem, Source } from '../sources/index.js'
import type { PipelineParts } from './parts.js'
import type { Items, Tower } from './tower.js'

/** Items that the encoder sees at once, always: short batches are padded, so that an embedding never hangs on its neighbours. */
export const encodeBatch = 32

/** Embeddings of items, one after another; of one per position with what counts of each. */
export interface Embedded {
  /** [n, D], or [n, T, D] */
  values: Float32Array
  /** Of text per position: int32 [n, T]. */
  mask?: Int32Array
}

/** Embeddings of `count` items, in evaluation mode. */
export function embedItems(parts: PipelineParts, tower: Tower, items: Items, count: number): Embedded {
  const { granularity } = parts.config.values
  const { normalize } = parts.config
  const prepared = tower.prepared(items)
  // Vectors that go as they are: nothing to compute, nothing to pad.
  if (tower.encoder === undefined && !normalize && prepared instanceof Float32Array)
    return { values: prepared }
  tower.encoder?.eval()
  let values: Float32Array | undefined
  let mask: Int32Array | undefined
  for (let first = 0; first < count; first += encodeBatch) {
    const n = Math.min(encodeBatch, count - first)
    const part = slice(prepared, first, n, count)
    const z = tf.tidy(() =>
      noGrad(() => tower.embed(tower.batch(part, n, encodeBatch), granularity, normalize)),
    )
    const each = z.size / encodeBatch
    values ??= new Float32Array(count * each)
    values.set(z.dataSync<'float32'>().subarray(0, n * each), first * each)
    z.dispose()
  }
  if (granularity === 'position' && !(prepared instanceof Float32Array)) mask = prepared.mask
  return { values: values ?? new Float32Array(0), ...(mask && { mask }) }
}

function slice(items: Exclude<Items, readonly string[]>, first: number, n: number, count: number): Items {
  const of = <V extends Float32Array | Int32Array>(values: V): V => {
    const size = values.length / count
    return values.subarray(first * size, (first + n) * size) as V
  }
  if (items instanceof Float32Array) return of(items)
  return { ids: of(items.ids), mask: of(items.mask), length: items.length }
}

export interface EmbeddedBlock extends Embedded {
  /** Numbers of the items in the source. */
  indices: Int32Array
  failed: readonly FailedItem[]
}

/** The embeddings of a source's items from number `from` on, block by block; the next block is read while one is used. */
export async function* embedSource(
  parts: PipelineParts,
  tower: Tower,
  source: Source,
  options: { from?: number; order?: Int32Array; block?: number; signal?: AbortSignal | undefined } = {},
): AsyncGenerator<EmbeddedBlock> {
  const { from = 0, order, signal } = options
  const length = order?.length ?? source.length
  const block = options.block ?? blockOf(tower)
  const numbers = (first: number): Int32Array =>
    Int32Array.from(
      { length: Math.max(0, Math.min(block, length - first)) },
      (_, i) => order?.[first + i] ?? first + i,
    )
  const read = (first: number): ReturnType<Source['read']> | undefined => {
    if (first >= length) return undefined
    const reading = source.read(numbers(first), signal === undefined ? {} : { signal })
    // Whoever awaits it hears of it; until then it is not unhandled.
    reading.catch(() => {})
    return reading
  }
  let next = read(from)
  for (let first = from; next !== undefined; first += block) {
    const { values, indices, failed } = await next
    // Signals are delivered between turns of the event loop.
    await new Promise(resolve => setImmediate(resolve))
    if (signal?.aborted) throw new VqAbortError('encoding', signal.reason)
    next = read(first + block)
    if (indices.length === 0) yield { values: new Float32Array(0), indices, failed }
    else yield { ...embedItems(parts, tower, values as Items, indices.length), indices, failed }
  }
}

// About 16 MB of input at a time, in whole batches.
function blockOf(tower: Tower): number {
  const size = tower.modality === 'text' ? 1024 : tower.shape.reduce((a, b) => a * b, 4)
  return encodeBatch * Math.max(1, Math.min(512, Math.floor(2 ** 24 / size / encodeBatch)))
}
