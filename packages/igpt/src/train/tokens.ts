import { tf, VqAbortError, VqConfigError } from '@vq/core'
import { ArrayDataset, type Dataset } from '@vq/models/data'
import type { TextTokenizer } from '../tokens/text-tokenizer.js'
import type { Vocabulary } from '../tokens/vocabulary.js'

/** Whatever turns images [B, H, W, C] into codes int32 [B, h, w] or [B, h, w, L]: a VQVAE, an RQVAE. */
export interface ImageEncoder {
  encodeToIndices(x: tf.Tensor): tf.Tensor
}

/** Codes of all images of a data set, [N, places · levels], place by place: made once and kept. */
export interface ImageTokens {
  codes: Int32Array
  count: number
  /** Rows and columns of places. */
  grid: readonly [number, number]
  levels: number
}

const batch = 100

/** Encodes every image of a data set. `pixels` says how values of 0 to 1 go to the encoder. */
export async function imageTokens(
  encoder: ImageEncoder,
  images: Dataset,
  { pixels = 'unit', signal }: { pixels?: 'unit' | 'signed'; signal?: AbortSignal | undefined } = {},
): Promise<ImageTokens> {
  let codes: Int32Array | undefined
  let found: { grid: readonly [number, number]; levels: number } | undefined
  for (let first = 0; first < images.length; first += batch) {
    if (signal?.aborted) throw new VqAbortError('imageTokens', signal.reason)
    const n = Math.min(batch, images.length - first)
    const values = await images.batch(Int32Array.from({ length: n }, (_, i) => first + i))
    const indices = tf.tidy(() => {
      const x = tf.tensor(values, [n, ...images.shape])
      return encoder.encodeToIndices(pixels === 'signed' ? signed(x) : x)
    })
    const [, height = 1, width = 1, levels = 1] = indices.shape
    const each = height * width * levels
    codes ??= new Int32Array(images.length * each)
    found ??= { grid: [height, width], levels }
    codes.set(indices.dataSync() as Int32Array, first * each)
    indices.dispose()
  }
  if (codes === undefined || found === undefined)
    throw new VqConfigError({
      operation: 'imageTokens',
      expected: 'at least one image',
      received: 'none',
      remedy: 'Pass a data set that holds some.',
    })
  return { codes, count: images.length, ...found }
}

/** Images of values 0 to 1 as −1 to 1. */
export function signed(x: tf.Tensor): tf.Tensor {
  return tf.sub(tf.mul(x, 2), 1)
}

/**
 * The sequences of images and their captions, both orders of each: the first half of the samples have the text first. `parts` says
 * what each token belongs to. Of every `blankEvery`th text the words are blank, for guidance; 0: of none.
 */
export function pairSequences(
  tokens: ImageTokens,
  captions: readonly string[],
  {
    vocabulary,
    tokenizer,
    blankEvery = 10,
  }: { vocabulary: Vocabulary; tokenizer: TextTokenizer; blankEvery?: number },
): Dataset<Int32Array> {
  const { codes, count } = tokens
  const each = codes.length / count
  if (captions.length !== count)
    throw new VqConfigError({
      operation: 'pairSequences',
      expected: `${count} captions`,
      received: `${captions.length}`,
      remedy: 'Pass one per image.',
    })
  const length = vocabulary.sequenceLength
  const [ids, parts] = [new Int32Array(2 * count * length), new Int32Array(2 * count * length)]
  for (let row = 0; row < 2 * count; row++) {
    const i = row % count
    const textFirst = row < count
    const image = vocabulary.imageIds(codes.subarray(i * each, (i + 1) * each))
    const text = vocabulary.textIds(tokenizer.encode(captions[i] as string))
    // Blank words are given, never foretold.
    const blank = textFirst && blankEvery > 0 && i % blankEvery === blankEvery - 1
    const sequence = vocabulary.sequence(image, blank ? text.fill(vocabulary.blank) : text, textFirst)
    ids.set(sequence.ids, row * length)
    parts.set(blank ? sequence.parts.map(p => (p === 2 ? 0 : p)) : sequence.parts, row * length)
  }
  const shape = [2 * count, length]
  return new ArrayDataset(ids, [length], {
    parts: { values: parts, shape },
    weights: { values: Float32Array.from(ids, id => (id === vocabulary.blank ? 0 : 1)), shape },
  })
}
